"""Showing is never a reason to stop work: streams that are closed, full, narrow, ASCII, absent; real processes."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.lab.checkout import ROOT
from tests.lab.cli import COMMAND, environment

pytestmark = pytest.mark.needs("ssh")

# Three hosts of ten steps, each told to the display as `provision` does it, and real sessions of this machine.
FLEET = """
import sys
from pathlib import Path
from provision.hosts.fleet import Fleet
from provision.report import Report, Style, output
from provision.result import HostResult
from provision.spec import Host
from provision.transport.local import Local

style = Style.of(sys.argv[1])

def work(transport, host):
    def step(record):
        style.progress.step(host.name, record, "begin", f"step {record} → …")
    answer = transport.ask("for n in 1 2 3 4 5 6 7 8 9 10; do echo $n; sleep 0.02; done", timeout=30, on_record=step)
    Path(host.name).write_text(str(len(answer.records)))
    return HostResult(host=host.name, status="changed", notes=("✓ done …",))

hosts = [Host(name=name) for name in ("a", "b", "c")]
fleet = Fleet(
    connect=lambda host: Local(name=host.name, become=False), work=work, jobs=3, progress=lambda: style.progress
)
raise SystemExit(output(Report(command="provision", hosts=fleet.run(hosts)), style))
"""


def closed_pipe() -> int:
    """Of a reader that has gone, as `head` has."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def gone_terminal() -> int:
    ours, theirs = pty.openpty()
    os.close(ours)
    return theirs


BROKEN: dict[str, Callable[[], int] | None] = {
    "pipe": closed_pipe,
    "full": full,
    "terminal": gone_terminal,
    "absent": None,
}


def run(
    command: list[str], out: str, err: str, folder: Path, **more: str
) -> tuple[int, subprocess.CompletedProcess[bytes]]:
    """The exit code with streams that are broken as these words say; "" is a pipe that is read."""
    made = [os.dup(make()) if (make := BROKEN.get(word)) else subprocess.PIPE for word in (out, err)]
    absent = [number for number, word in ((1, out), (2, err)) if word == "absent"]

    def close() -> None:
        for number in absent:
            os.close(number)

    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder) | {"PYTHONPATH": str(ROOT)} | more,
        stdin=subprocess.DEVNULL,
        stdout=made[0],
        stderr=made[1],
        check=False,
        timeout=120,
        preexec_fn=close,
    )
    for each in made:
        if each >= 0:
            os.close(each)
    return done.returncode, done


@pytest.mark.parametrize("word", BROKEN)
@pytest.mark.parametrize(("form", "which"), [("table", "both"), ("table", "err"), ("json", "out")])
def test_every_host_is_finished_whatever_becomes_of_the_streams(
    word: str, form: str, which: str, tmp_path: Path
) -> None:
    out, err = (word if which in (each, "both") else "" for each in ("out", "err"))
    code, done = run([sys.executable, "-c", FLEET, form], out, err, tmp_path)
    assert code == 0, done.stderr
    assert {(tmp_path / name).read_text() for name in "abc"} == {"10"}
    assert b"Traceback" not in (done.stderr or b"")
    assert b"Exception" not in (done.stderr or b"")


DEAD = ("platforms", "--hosts", "127.0.0.1:9")
WORDS: dict[tuple[str, ...], int] = {
    ("check", "--help"): 0,
    ("helth",): 1,
    ("hosts", "--hosts", "@none"): 1,
    ("hosts", "--format", "json"): 0,
    DEAD: 4,
    (*DEAD, "--format", "html"): 4,
}


# Each of these starts the program four times.
BROKEN_WORDS: Final = [
    word if word == "pipe" else pytest.param(word, marks=pytest.mark.thorough) for word in BROKEN
]


@pytest.mark.parametrize("word", BROKEN_WORDS)
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_exit_code_stays_true(words: tuple[str, ...], word: str, tmp_path: Path) -> None:
    for out, err in ((word, ""), (word, word)):
        code, done = run([str(COMMAND), *words], out, err, tmp_path)
        assert code == WORDS[words], (out, err, done.stderr)
        assert b"Traceback" not in (done.stderr or b"")
        assert b"Exception ignored" not in (done.stderr or b"")


@pytest.mark.parametrize("words", [("--list",), ("hosts",), ("hosts", "--format", "html")], ids=" ".join)
def test_one_line_says_that_the_output_is_lost(words: tuple[str, ...], tmp_path: Path) -> None:
    code, done = run([str(COMMAND), *words], "full", "", tmp_path)
    assert (code, done.stderr.decode()) == (
        0,
        "error: standard output could not be written to its end: No space left on device\n",
    )


def test_a_file_that_is_opened_later_does_not_take_the_place_of_a_stream(tmp_path: Path) -> None:
    """Without a descriptor 2, the next file would get that number, and all that is printed there."""
    program = "from provision.report import streams\nwith streams.steady(): file = open('kept', 'w')\n"
    program += "assert file.fileno() > 2, file.fileno()\nimport os; os.write(2, b'lost')"
    code, _ = run([sys.executable, "-c", program], "absent", "absent", tmp_path)
    assert (code, (tmp_path / "kept").read_text()) == (0, "")


@pytest.mark.thorough
@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_any_encoding_will_do(words: tuple[str, ...], encoding: str, tmp_path: Path) -> None:
    code, done = run([str(COMMAND), *words], "", "", tmp_path, PYTHONIOENCODING=encoding)
    assert code == WORDS[words], done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout or done.stderr
    if words[-1] == "html":
        assert "<!DOCTYPE html>" in done.stdout.decode("utf-8"), "it says itself that it is UTF-8"


def test_words_that_are_not_utf_8_can_be_complained_about(tmp_path: Path) -> None:
    for words in ([b"\xff"], [b"hosts", b"--hosts", b"\xff"], [b"hosts", b"--format", b"\xff"]):
        done = subprocess.run(
            [str(COMMAND).encode(), *words],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (1, False), done.stderr
        assert done.stderr.startswith(b"error: ")


@pytest.mark.thorough
@pytest.mark.parametrize("columns", [0, 1, 20])
@pytest.mark.parametrize("words", [("check", "--help"), DEAD], ids=" ".join)
def test_a_terminal_of_any_width(words: tuple[str, ...], columns: int, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 1, columns, 0, 0))
    with subprocess.Popen(
        [str(COMMAND), *words],
        cwd=tmp_path,
        env=environment(tmp_path) | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while data := _read(ours):
            shown += data
    os.close(ours)
    assert process.returncode == WORDS[words], shown
    assert b"Traceback" not in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed (EIO)
        return b""
