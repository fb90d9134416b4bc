"""What people see: on a terminal of 80 columns, in a log, without colours, without UTF-8."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rich.cells import cell_len

from provision.architectures import PLATFORMS, of_platform
from provision.errors import HostError, UnreachableError, UsageError
from provision.fix import Fix, run
from provision.report import Report, Style, output, table
from provision.report.cells import duration
from provision.report.console import console
from provision.result import CheckLine, Finding, HostResult, HostStatus, PlatformRow, StepResult
from provision.spec import LOCAL, Host
from tests.lab.checkout import ROOT

WIDE = "x" * 100

DONE = (
    StepResult(
        id="packages", action="install", target="qemu-user-static", status="done", detail="by apt-get"
    ),
    StepResult(
        id="handler-arm", action="register", target="qemu-arm", status="skipped", detail="no such package"
    ),
    StepResult(
        id="unit", action="start", target="buildkit.service", status="failed", detail="boom\nlast line"
    ),
)
PENDING = (
    StepResult(
        id="packages", action="install", target="qemu-user-static", status="pending", detail="by apt-get"
    ),
    StepResult(
        id="buildkit-config",
        action="write",
        target="/etc/buildkit/buildkitd.toml",
        status="pending",
        detail=f"--- old\n+++ new\n@@ -1,2 +1,2 @@\n same\n-gone\n+{WIDE}",
    ),
)
ROWS = tuple(
    PlatformRow(
        platform=platform,
        mode="emulated",
        registered=True,
        listed=False,
        handler=f"qemu-{of_platform(platform).qemu}",
        flags="POCF",
        interpreter=f"/usr/bin/qemu-{of_platform(platform).qemu}-static",
        qemu="10.2.17",
    )
    for platform in PLATFORMS
)
CHECKS = (
    CheckLine(id="kernel", status="ok", seen="6.18.5", needed="4.8 or newer"),
    CheckLine(
        id="binfmt-misc",
        status="error",
        seen="not mounted",
        needed="mounted",
        fix=Fix.by(run("systemctl", "restart", WIDE)),
    ),
)


def host(name: str, status: HostStatus, **parts: object) -> HostResult:
    return HostResult(host=name, status=status, seconds=12.3, **parts)  # type: ignore[arg-type]


def on_terminal(report: Report, width: int = 80) -> str:
    stream = io.StringIO()
    made = console(stream, width=width)
    table.render(report, made, log=False)
    table.complain(report, made)
    return stream.getvalue()


def in_log(report: Report) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    output(report, Style.of("table", out=out, err=err))
    return out.getvalue(), err.getvalue()


def test_a_plan_is_a_readable_diff() -> None:
    text = on_terminal(
        Report(command="plan", hosts=(host("pi1", "pending", steps=PENDING, notes=("mind",)),))
    )
    assert text.splitlines() == [
        "• install qemu-user-static",
        "    by apt-get",
        "• write /etc/buildkit/buildkitd.toml",
        "    --- old",
        "    +++ new",
        "    @@ -1,2 +1,2 @@",
        "     same",
        "    -gone",
        f"    +{WIDE}",
        "2 changes pending",
        "note: mind",
    ]


def test_nothing_to_do_is_one_line() -> None:
    rows = (*ROWS[:3], PlatformRow(platform="linux/s390x", mode="none"))
    for_provision = on_terminal(Report(command="provision", hosts=(host("pi1", "ok", platforms=rows),)))
    assert for_provision == "nothing to change: 3 platforms run here\n"
    proven = tuple(replace(row, builds=row.mode != "none" or None) for row in rows)
    told = on_terminal(Report(command="provision", hosts=(host("pi1", "ok", platforms=proven),)))
    assert told == "nothing to change: 3 platforms run here, builds for 3 platforms succeeded\n"
    assert on_terminal(Report(command="plan", hosts=(host("pi1", "ok"),))) == "nothing to change\n"


def test_provisioning_shows_steps_then_platforms() -> None:
    error = HostError("start buildkit.service failed", cause="boom", hint="journalctl -u buildkit")
    result = host("pi1", "failed", steps=DONE, platforms=ROWS[:2], error=error)
    assert on_terminal(Report(command="provision", hosts=(result,))).splitlines() == [
        "✗ start buildkit.service",
        "    boom",
        "    last line",
        "finished: install",
        "PLATFORM    RUNS     HANDLER      FLAGS QEMU    REGISTERED LISTED BUILDS",
        "linux/amd64 emulated qemu-x86_64  POCF  10.2.17 yes        no     –",
        "linux/arm64 emulated qemu-aarch64 POCF  10.2.17 yes        no     –",
        "failed after 12 s: 1 step done, 1 failed, 1 not begun",
        "error: start buildkit.service failed",
        "  likely cause: boom",
        "  what to do: journalctl -u buildkit",
    ]


def test_every_row_of_the_table_fits_80_columns() -> None:
    text = on_terminal(Report(command="platforms", hosts=(host("pi1", "ok", platforms=ROWS),)))
    lines = text.splitlines()
    assert len(lines) == 1 + len(PLATFORMS)
    assert all(cell_len(line) <= 80 for line in lines)
    assert "…" not in text
    assert [line.split()[0] for line in lines[1:]] == list(PLATFORMS)


@pytest.mark.parametrize("width", [40, 80, 132])
def test_nothing_but_commands_and_diffs_is_wider_than_the_terminal(width: int) -> None:
    gone = UnreachableError("no answer " * 20, cause="off " * 40, hint="ping it")
    finding = Finding(
        id="stale",
        severity="warning",
        evidence="e " * 80,
        consequence="c " * 80,
        fix=Fix.by(run("fix", *("it",) * 40)),
    )
    hosts = (
        host("a-host-with-a-long-name", "unreachable", error=gone),
        host("pi1", "ok", checks=CHECKS, platforms=ROWS, findings=(finding,)),
    )
    for command in ("check", "platforms", "provision", "health", "something else"):
        for line in on_terminal(Report(command=command, hosts=hosts), width).splitlines():
            if "fix: " not in line:
                assert cell_len(line) <= width, line


def test_a_check_shows_seen_needed_and_a_fix_to_copy() -> None:
    assert on_terminal(
        Report(command="check", hosts=(host("pi1", "failed", checks=CHECKS),))
    ).splitlines() == [
        "✓ kernel       6.18.5",
        "✗ binfmt-misc  not mounted; needed: mounted",
        f"    fix: systemctl restart {WIDE}",
    ]


def test_hosts_shows_what_a_selection_means() -> None:
    pi1 = Host(name="pi1", host="10.0.0.5", user="ci", port=2222, platforms=("linux/arm64", "linux/386"))
    assert on_terminal(Report(command="hosts", selection=(LOCAL, pi1))).splitlines() == [
        "HOST       ADDRESS       USER  PORT  JUMP  PLATFORMS",
        "localhost  this machine  –     –     –     –",
        "pi1        10.0.0.5      ci    2222  –     linux/arm64,linux/386",
    ]


FLEET = Report(
    command="provision",
    hosts=(
        host("pi1", "changed", steps=DONE[:1], platforms=ROWS, notes=("mind",)),
        host("pi2", "ok", platforms=ROWS),
        host("pi3", "failed", steps=DONE, error=HostError("it failed", cause="boom", hint="mend it")),
        host("pi4", "unreachable", error=UnreachableError(f"no answer {WIDE}")),
    ),
)


def test_many_hosts_end_in_a_summary() -> None:
    stream = io.StringIO()
    table.render(FLEET, console(stream, width=80), log=False)
    assert stream.getvalue().splitlines() == [
        "pi1",
        "  note: mind",
        "pi3",
        "  ✗ start buildkit.service",
        "      boom",
        "      last line",
        "HOST  RESULT       TIME",
        "pi3   failed       12 s  it failed",
        f"pi4   unreachable  12 s  no answer {'x' * 44}…",
        "pi1   changed      12 s  1 change",
        "pi2   unchanged    12 s",
        "4 hosts: 1 failed, 1 unreachable, 1 changed, 1 unchanged",
    ]


def test_in_a_log_every_line_names_its_host_and_none_is_wrapped() -> None:
    out, err = in_log(FLEET)
    assert out.splitlines()[:4] == [
        "pi1: note: mind",
        "pi3: ✗ start buildkit.service",
        "pi3:     boom",
        "pi3:     last line",
    ]
    assert f"pi4   unreachable  12 s  no answer {WIDE}" in out.splitlines()
    assert err.splitlines() == [
        "error: pi3: it failed",
        "  likely cause: boom",
        "  what to do: mend it",
        f"error: pi4: no answer {WIDE}",
    ]
    assert "\x1b" not in out + err
    assert not re.search(r" +$", out + err, re.MULTILINE)


def test_one_host_needs_no_prefix_in_a_log() -> None:
    out, _ = in_log(Report(command="check", hosts=(host("pi1", "ok", checks=CHECKS[:1]),)))
    assert out == "✓ kernel       6.18.5\n"


def test_an_error_of_the_run_has_its_three_parts_on_stderr() -> None:
    error = UsageError("there is no host pi22", cause="nobody knows it", hint="Did you mean pi2?")
    assert in_log(Report(command="plan", error=error)) == (
        "",
        "error: there is no host pi22\n  likely cause: nobody knows it\n  what to do: Did you mean pi2?\n",
    )


@contextmanager
def terminal() -> Iterator[tuple[io.TextIOWrapper, int]]:
    """A real terminal: the stream of its user's side, and the file descriptor of its other."""
    master, slave = os.openpty()
    try:
        with open(slave, "w", encoding="utf-8", newline="\n") as stream:  # noqa: PTH123 - a descriptor
            yield stream, master
    finally:
        os.close(master)


def shown(report: Report) -> str:
    with terminal() as (stream, master):
        output(report, Style.of("table", out=stream, err=stream))
        stream.write("\0")  # the terminal hands over what it has, which may be less than all
        stream.flush()
        seen = b""
        while not seen.endswith(b"\0"):
            seen += os.read(master, 100_000)
        return seen[:-1].decode()


def test_colours_on_a_terminal_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    report = Report(command="plan", hosts=(host("pi1", "pending", steps=PENDING),))
    colours = shown(report)
    assert "\x1b[32m    +" in colours
    assert "\x1b[31m    -gone" in colours
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(report)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_marks_have_a_form_in_every_encoding(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    result = host("pi1", "failed", steps=DONE, platforms=ROWS[:1], notes=("grüße €",))
    output(Report(command="provision", hosts=(result,)), Style.of("table", out=stream, err=io.StringIO()))
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    lines = buffer.getvalue().decode(encoding).splitlines()
    assert lines[:2] == ["v install qemu-user-static", "- register qemu-arm"]
    assert lines[3] == "x start buildkit.service"


def test_a_hostile_host_cannot_drive_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\u202eevil [red]markup[/red] :smile: \x9b31m\udcff"
    fix = Fix.by(run(evil), words=evil)
    result = host(
        "pi1",
        "failed",
        steps=(StepResult(id="x", action=evil, target=evil, status="failed", detail=evil),),
        platforms=(PlatformRow(platform=evil, mode="none", handler=evil, flags=evil, qemu=evil),),
        checks=(CheckLine(id="x", status="error", seen=evil, needed=evil, fix=fix),),
        findings=(Finding(id="x", severity="error", evidence=evil, consequence=evil, fix=fix),),
        notes=(evil,),
        error=HostError(evil, cause=evil, hint=evil),
    )
    for command in ("plan", "provision", "check", "platforms", "health", "x"):
        text = "".join(in_log(Report(command=command, hosts=(result, host(evil, "ok")))))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udcff]", text)
        assert "[red]markup[/red] :smile:" in text, "it is text, not markup"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="xml") as caught:
        Style.of("xml")
    assert "table, json" in caught.value.hint


@pytest.mark.parametrize("style", ["table", "json"])
def test_a_reader_that_leaves_early_changes_nothing(style: str) -> None:
    program = f"""
from provision.report import Report, Style, output
from provision.result import HostResult
hosts = tuple(HostResult(host=str(n) * 100, status="pending") for n in range(2000))
raise SystemExit(output(Report(command="plan", hosts=hosts), Style.of({style!r})))
"""
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    running.stdout.close()
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (2, "")
