"""Ctrl-C, SIGTERM and SIGHUP end a command alike, in every phase: report, record, cursor, exit code. Real processes."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.lab.cli import COMMAND, environment
from tests.lab.patience import until

pytestmark = pytest.mark.needs("ssh")

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SETTINGS: Final = """
[ssh]
config = "ssh_config"
known_hosts = "known_hosts"
connect_timeout = 300
"""


class Silent:
    """A server that accepts connections and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self.port: int = self._listener.getsockname()[1]
        self._accepted: list[socket.socket] = []

    def await_call(self) -> None:
        self._accepted.append(self._listener.accept()[0])

    def close(self) -> None:
        for each in (*self._accepted, self._listener):
            each.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "provision.toml").write_text(SETTINGS)
    hang = f"touch {tmp_path}/reached; exec sleep 300"
    (tmp_path / "ssh_config").write_text(f'Match host slow exec "{hang}"\n  HostName 127.0.0.1\n')
    (tmp_path / "slow.sh").write_text(f"#!/bin/sh\n{hang}\n")
    (tmp_path / "slow.sh").chmod(0o755)
    return tmp_path


def start(folder: Path, *words: str, **more: object) -> subprocess.Popen[bytes]:
    # Not in the tester's own group, which may ignore a signal.
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [str(COMMAND), *words],
        cwd=folder,
        env=environment(folder) | {"XDG_STATE_HOME": str(folder / "state"), "TERM": "xterm"},
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more,
    )


PHASES: Final[dict[str, tuple[str, bool]]] = {
    "scan": ("platforms --hosts 127.0.0.1:{port},127.0.0.1:1 --accept-new-host-keys", True),
    "connect": ("platforms --hosts 127.0.0.1:{port},127.0.0.1:1", True),
    "queue": ("platforms --hosts 127.0.0.1:{port},127.0.0.1:1 --jobs 1 --connect-timeout 500", True),
    "password": ("platforms --hosts 127.0.0.1:1 --sudo-password-command ./slow.sh", True),
    "names": ("platforms --hosts slow,slower", False),
    "latest": ("check --buildkit-version latest --mirror http://127.0.0.1:{port}", False),
    "registry": ("verify 127.0.0.1:{port}/image", False),
}
"""What is typed, and whether the hosts are known by then."""


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_ends_alike(phase: str, number: signal.Signals, folder: Path, silent: Silent) -> None:
    words, hosts_known = PHASES[phase]
    with start(folder, *words.format(port=silent.port).split(), "--format", "json") as process:
        if "{port}" in words:
            silent.await_call()
        else:
            assert until((folder / "reached").exists, 60)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert err == b""
    report = json.loads(out)
    assert (report["exit_code"], report["status"]) == (128 + number, "error")
    assert {error["code"] for error in report["errors"]} <= {"interrupted", "unreachable", "host-key"}
    records = list((folder / "state/provision/runs").glob("*"))
    if hosts_known:
        assert "interrupted" in [host["status"] for host in report["hosts"]]
        (record,) = records
        assert not any(json.loads(record.read_text())["well"].values())
    else:
        assert (report["hosts"], records) == ([], [])
    assert until(lambda: not at_work_in(folder)), "what it started has ended with it"


def at_work_in(folder: Path) -> list[int]:
    """Processes whose current folder it is."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                found.append(process.pid)
    return found


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_terminal_gets_its_cursor_back_and_a_summary(
    number: signal.Signals, folder: Path, silent: Silent
) -> None:
    ours, theirs = pty.openpty()
    hosts = f"127.0.0.1:{silent.port},127.0.0.1:1"
    with start(folder, "platforms", "--hosts", hosts, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        silent.await_call()
        shown = b""
        while b"\x1b[?25l" not in shown:  # the display has hidden it
            shown += os.read(ours, 65536)
        process.send_signal(number)
        while data := read(ours):
            shown += data
    os.close(ours)
    assert process.returncode == 128 + number
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert b"interrupted" in shown
    assert b"2 hosts: " in shown


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed (EIO)
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_what_was_ignored_from_the_start_stays_so(
    number: signal.Signals, folder: Path, silent: Silent
) -> None:
    """As under nohup, and in the background of a script."""

    def ignore() -> None:
        signal.signal(number, signal.SIG_IGN)

    with start(folder, "platforms", "--hosts", f"127.0.0.1:{silent.port}", preexec_fn=ignore) as process:
        silent.await_call()
        process.send_signal(number)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_password_prompt_can_be_left(folder: Path) -> None:
    ours, theirs = pty.openpty()

    def controlling() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(0), os.O_RDWR))

    with start(
        folder,
        *("platforms", "--hosts", "127.0.0.1:1", "--ask-sudo-password"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=controlling,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"sudo password" not in shown:
            shown += os.read(ours, 65536)
        os.write(ours, b"\x03")
        while data := read(ours):
            shown += data
    os.close(ours)
    assert (process.returncode, b"Traceback" in shown) == (130, False), shown


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, None], ids=["empty", "absent"])
def test_without_terminal_and_input_nobody_can_be_asked_for_a_password(
    stdin: int | None, folder: Path
) -> None:
    def leave() -> None:
        os.setsid()
        if stdin is None:
            os.close(0)

    with start(
        folder, "platforms", "--hosts", "127.0.0.1:1", "--ask-sudo-password", stdin=stdin, preexec_fn=leave
    ) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, b"no sudo password was given" in err) == (1, True), err


WORK: Final[dict[str, Callable[[], object]]] = {}
