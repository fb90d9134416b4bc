"""`top` on a real emulated process, started by the kernel through a handler, and seen from outside its namespace."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

from provision import binfmt, elf
from provision.architectures import of_platform
from tests.kernel.namespace import Namespace, wait_blocked
from tests.lab.cli import COMMAND, provision

QEMU = "/usr/bin/qemu-s390x-static"


def start(namespace: Namespace, folder: Path) -> subprocess.Popen[bytes]:
    """A program that waits for its standard input."""
    arch = of_platform("s390x")
    program = folder / "guest"
    program.write_bytes(elf.probe(arch))
    program.chmod(0o755)
    namespace.register(binfmt.handler(arch, QEMU, "PF"))
    process = namespace.start(program, "one", "two")
    wait_blocked(process, QEMU)
    return process


def test_an_emulated_process_is_shown_with_its_guest(namespace: Namespace, tmp_path: Path) -> None:
    with start(namespace, tmp_path) as process:
        seen = provision("top", "--interval", "0.2", "--format", "json", cwd=tmp_path)
        found = {each["pid"]: each for each in seen.host["processes"]}
        assert found[process.pid]["platform"] == "linux/s390x"
        assert found[process.pid]["command"].split()[0] == str(tmp_path / "guest")
        assert found[process.pid]["command"].endswith("one two")
        assert found[process.pid]["memory"] > 1 << 20
        assert process.stdin
        process.stdin.close()


def test_live_on_a_terminal_until_ctrl_c(namespace: Namespace, tmp_path: Path) -> None:
    with start(namespace, tmp_path) as process:
        screen = watch(tmp_path)
        assert process.stdin
        process.stdin.close()
    assert re.search(r"linux/s390x\s+1\s+\d+%", screen)
    # The last look stays when the screen is gone.
    assert "linux/s390x" in screen.rpartition("\x1b[?1049l")[2]


def watch(folder: Path) -> str:
    """What a terminal of 100 columns gets from two looks and Ctrl-C."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "100"}
        os.chdir(folder)
        os.execve(COMMAND, [str(COMMAND), "top", "--interval", "0.3"], environment)  # noqa: S606
    shown = ""
    end = time.monotonic() + 60
    stopped = False
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 1)
        try:
            shown += os.read(terminal, 65536).decode(errors="replace") if ready else ""
        except OSError:  # EIO: the other end is closed
            break
        if not stopped and shown.count("PLATFORM") >= 4:  # two tables each time
            os.kill(pid, signal.SIGINT)
            stopped = True
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    return shown


def test_other_machines_are_refused(tmp_path: Path) -> None:
    seen = provision("top", "--hosts", "root@127.0.0.1:1", "--format", "json", cwd=tmp_path)
    assert (seen.code, seen.envelope["errors"][0]["code"]) == (1, "usage")
