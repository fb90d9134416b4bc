"""The kernel's binfmt_misc, for us alone: a user and mount namespace with its own table. Needs no root."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from provision.binfmt import Entry, format_rule, parse_entry

TABLE: Final = Path("/proc/sys/fs/binfmt_misc")
_UNSHARE: Final = ("unshare", "--user", "--map-root-user", "--mount")
_HOLD: Final = f"mount -t binfmt_misc binfmt_misc {TABLE} && echo ready && read end"
_PATIENCE: Final = 20.0  # seconds, for a process to get where it must

# execvp, which most programs use, gives a file the kernel refused to a shell: so this calls execv.
_EXEC: Final = """
import os, sys
if sys.argv[1]:
    control = os.open("/proc/sys/fs/binfmt_misc/register", os.O_WRONLY)
    os.write(control, sys.argv[1].encode("utf-8", "surrogateescape"))
    os.close(control)
for path in sys.argv[2:]:
    if (child := os.fork()) == 0:
        try:
            os.execv(path, [path])
        except OSError as error:
            os._exit(100 + error.errno)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """The namespace lives as long as the process `pid`. The table is reached through that process's root."""

    pid: int

    @property
    def table(self) -> Path:
        return Path(f"/proc/{self.pid}/root{TABLE}")

    def write(self, file: str, text: str) -> None:
        """One write(2), as the kernel wants it. Raises OSError as the kernel says."""
        data = text.encode("utf-8", "surrogateescape")
        control = os.open(self.table / file, os.O_WRONLY)
        try:
            assert os.write(control, data) == len(data)
        finally:
            os.close(control)

    def register(self, rule: Entry | str) -> None:
        self.write("register", rule if isinstance(rule, str) else format_rule(rule))

    def names(self) -> list[str]:
        """In the order in which the kernel lists them."""
        with os.scandir(self.table) as listing:
            return [item.name for item in listing if item.name not in ("register", "status")]

    def read(self, name: str) -> str:
        return (self.table / name).read_bytes().decode("utf-8", "surrogateescape")

    def entries(self) -> tuple[Entry, ...]:
        return tuple(parse_entry(name, self.read(name)) for name in self.names())

    def clear(self) -> None:
        for name in self.names():
            self.write(name, "-1")

    def command(self, *argv: str | Path) -> list[str]:
        # The credentials are those of the namespace's owner, which is its root.
        enter = ["nsenter", "--user", "--mount", "--preserve-credentials", f"--target={self.pid}", "--"]
        return enter + [str(word) for word in argv]

    def run(self, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program in the namespace, with nothing on standard input."""
        nothing, command = subprocess.DEVNULL, self.command(*argv)
        return subprocess.run(
            command, check=False, stdin=nothing, capture_output=True, text=True, timeout=60
        )

    def start(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        """Start a program in the namespace, with a pipe as standard input."""
        return subprocess.Popen(self.command(*argv), stdin=subprocess.PIPE)

    def execute(self, paths: Sequence[Path], rule: str = "") -> list[int]:
        """Give each file to execve, without a shell: its exit code, or 100 + errno if the kernel refused.

        With a rule, that is registered once all that needs exec is running: it may match every program.
        """
        run = self.run(sys.executable, "-IS", "-c", _EXEC, rule, *paths)
        assert run.returncode == 0, run.stderr
        return [int(line) for line in run.stdout.splitlines()]


@contextmanager
def private_table() -> Iterator[Namespace]:
    """A namespace with an empty table, gone at the end."""
    holder = subprocess.Popen([*_UNSHARE, "sh", "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert _line(holder.stdout) == b"ready\n"
        yield Namespace(pid=holder.pid)
        assert holder.stdin is not None
        holder.stdin.close()


def _line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    return stream.readline()


def wait_blocked(process: subprocess.Popen[bytes], program: str) -> None:
    """Wait until /proc/PID/exe is this program and it sleeps. Raises AssertionError if it ends instead."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, f"it ended with {process.returncode}"
        if str(Path(f"/proc/{process.pid}/exe").readlink()) == program and _state(process.pid) == "S":
            return
        time.sleep(0.01)
    raise AssertionError(f"{program} did not start and block")


def _state(pid: int) -> str:
    """The third word of proc_pid_stat(5); the name before it ends at the last bracket."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
