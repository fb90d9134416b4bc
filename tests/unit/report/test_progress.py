"""Live progress: on a real terminal, as lines of a log, from many threads."""

from __future__ import annotations

import io
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from provision.report import Style
from provision.report.console import console
from provision.report.progress import Guarded, Lines, Live, Progress

ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def work(progress: Progress, host: str = "pi1") -> None:
    progress.step(host, "handler-arm", "begin", "register qemu-arm")
    progress.step(host, "handler-arm", "done", "")
    progress.transfer(host, "send", 0, 64_200_000)
    progress.transfer(host, "send", 64_200_000, 64_200_000)
    progress.step(host, "unit", "begin", "start buildkit.service")
    progress.step(host, "unit", "failed", "boom")
    progress.finish(host, "failed")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_per_step_and_more_for_trouble() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(console(stream), clock)
    lines.step("pi1", "packages", "begin", "install qemu-user-static")
    clock.now = 34
    lines.step("pi1", "packages", "done", "")
    lines.step("pi1", "handler-arm", "begin", "register qemu-arm")
    clock.now = 35
    lines.step("pi1", "handler-arm", "done", "")
    lines.step("pi1", "unit", "begin", "start buildkit.service")
    lines.step("pi1", "unit", "failed", "boom\nno")
    lines.step("pi1", "late", "skipped", "")
    lines.finish("pi1", "failed")
    lines.say("stopping")
    assert stream.getvalue().splitlines() == [
        "pi1: install qemu-user-static",
        "pi1: done after 34 s: install qemu-user-static",
        "pi1: register qemu-arm",
        "pi1: start buildkit.service",
        "pi1: failed start buildkit.service: boom no",
        "pi1: skipped late",
        "pi1: failed",
        "stopping",
    ]


def test_a_transfer_is_a_line_per_quarter() -> None:
    stream = io.StringIO()
    lines = Lines(console(stream))
    for done in range(1001):
        lines.transfer("pi1", "send", done * 100_000, 100_000_000)
    lines.transfer("pi2", "download", 5_000_000, None)
    lines.transfer("pi2", "download", 6_000_000, None)
    assert stream.getvalue().splitlines() == [
        *(f"pi1: send {percent}% of 100.0 MB" for percent in (0, 25, 50, 75, 100)),
        "pi2: download 5.0 MB",
    ]


def test_a_step_with_parts_is_a_line_per_quarter() -> None:
    stream = io.StringIO()
    lines = Lines(console(stream))
    lines.step("pi1", "build-modules", "begin", "get the modules")
    for done in range(208):
        lines.count("pi1", "build-modules", done, None)
    lines.step("pi1", "build-compile", "begin", "compile")
    for done in range(1373):
        lines.count("pi1", "build-compile", done, 1372)
    assert stream.getvalue().splitlines() == [
        "pi1: get the modules",
        "pi1: compile",
        *(f"pi1: compile: {percent}%" for percent in (25, 50, 75, 100)),
    ]


def test_lines_of_many_threads_are_whole() -> None:
    stream = io.StringIO()
    lines = Lines(console(stream))
    gate = threading.Barrier(16)

    def one(number: int) -> None:
        gate.wait(timeout=30)
        for step in range(50):
            lines.step(f"host{number}", str(step), "begin", "x" * 60)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(16)))
    written = stream.getvalue().splitlines()
    assert len(written) == 16 * 50
    assert all(re.fullmatch(r"host\d+: x{60}", line) for line in written)


def test_the_live_display_shows_each_host_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    master, slave = os.openpty()
    seen = bytearray()

    def drain() -> None:
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: the other side is closed
                return
            seen.extend(data)

    reader = threading.Thread(target=drain)
    reader.start()
    with open(slave, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        made = Live(console(stream, width=80))
        with made as progress, ThreadPoolExecutor(4) as pool:
            progress.expect([f"pi{n}" for n in range(4)])
            progress.step("pi0", "early", "begin", "look at\x1b[2J it")
            made._bars.refresh()
            progress.say("stopping")
            progress.step("pi0", "build-compile", "begin", "compile it")
            progress.count("pi0", "build-compile", 312, 1372)
            made._bars.refresh()
            list(pool.map(lambda n: work(progress, f"pi{n}"), range(4)))
            made._bars.refresh()
    reader.join(timeout=30)
    os.close(master)
    text = bytes(seen).decode()
    plain = ESCAPES.sub("", text)
    assert "\x1b[2J" not in text, "what a host says does not clear the screen"
    assert "look at�[2J it" in plain
    assert "compile it: 312 of 1372" in plain
    for number in range(4):
        assert f"pi{number}: failed start buildkit.service: boom" in plain
    assert "4 of 4 hosts done" in plain
    assert "stopping" in plain
    assert text.rstrip().endswith(("\x1b[2K", "\x1b[?25h")), "the display is erased at the end"


def shown_by(style: Style) -> Progress:
    """What shows the progress, behind the guard."""
    progress = style.progress
    return progress.shown if isinstance(progress, Guarded) else progress


class Defective(Progress):
    """A display with a defect."""

    def __init__(self) -> None:
        self.asked = 0
        self.ended = False

    def say(self, text: str) -> None:
        self.asked += 1
        raise ZeroDivisionError(text)

    def __exit__(self, *_error: object) -> None:
        self.ended = True


def test_a_defect_of_the_display_does_not_reach_the_work() -> None:
    display = Defective()
    with Guarded(display) as progress:
        progress.say("one")
        progress.say("two")
        progress.finish("pi1", "ok")
    assert (display.asked, display.ended) == (1, True)


@pytest.mark.parametrize(("name", "kind"), [("json", Progress), ("table", Lines)])
def test_what_is_shown_follows_the_format_and_the_stream(name: str, kind: type) -> None:
    err = io.StringIO()
    style = Style.of(name, out=io.StringIO(), err=err)
    assert type(shown_by(style)) is kind
    with style.progress as progress:
        work(progress)
    assert bool(err.getvalue()) == (kind is Lines)


def test_a_terminal_gets_the_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setenv("TERM", "xterm")
        assert isinstance(shown_by(Style.of("table", err=stream)), Live)
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(shown_by(Style.of("table", err=stream)), Lines)
    os.close(master)


@pytest.mark.parametrize("kind", [Lines, Live])
def test_progress_that_nobody_reads_any_more_stops_no_work(kind: type[Lines | Live]) -> None:
    """A worker whose event cannot be printed would give up its host in the middle of a step."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        progress: Progress = kind(console(stream))
        with progress:
            work(progress)
            progress.say("stopping")
            work(progress, "pi2")
