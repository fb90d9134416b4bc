"""OpenSSH's own programs, `ssh -G`, `ssh-keygen` and `ssh -v`: asked for what they know, within a time."""

from __future__ import annotations

import atexit
import os
import selectors
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from provision.errors import UsageError

_MOST: Final = 1024 * 1024
"""Bytes that a program may say: `ssh -v` repeats what a host says, which may be without end."""
_KEPT: Final = 16 * 1024
_RUNNING: Final[set[int]] = set()
"""Leaders of the sessions that run now."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a program ended, and what it said."""

    status: int
    out: str
    err: str


class EndlessError(Exception):
    """A program was ended: the time was up, or it had said too much."""

    def __init__(self, why: str, err: str) -> None:
        super().__init__(why)
        self.why = why
        """`within 20 s`"""
        self.err = err
        """What it had said on standard error."""


def ask(words: Sequence[str], seconds: float) -> Done:
    """Run a program to its end. Raises EndlessError, and UsageError where OpenSSH is missing.

    What it started is ended with it: `Match exec` runs the user's own programs.
    """
    program = shutil.which(words[0])
    if program is None:
        raise UsageError(
            f"there is no {words[0]} on this machine",
            cause="Remote hosts are reached as OpenSSH's client is configured to.",
            hint="Install it: openssh-client (Debian, Ubuntu, Alpine), openssh-clients (Fedora), openssh (Arch).",
        )
    with subprocess.Popen(
        [program, *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        _RUNNING.add(process.pid)
        try:
            out, err = _all_that_is_said(process, time.monotonic() + seconds, f"within {seconds:g} s")
        finally:
            _RUNNING.discard(process.pid)
            _end(process.pid)
    return Done(
        status=process.returncode,
        out=out.decode(errors="surrogateescape"),
        err=err.decode(errors="replace"),
    )


def _all_that_is_said(
    process: subprocess.Popen[bytes], until: float, time_is_up: str
) -> tuple[bytes, bytes]:
    """Both outputs, once the program has ended. Raises EndlessError."""
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as open_ends:
        for pipe, said in ((process.stdout, out), (process.stderr, err)):
            assert pipe is not None  # noqa: S101 - `ask` made it
            open_ends.register(pipe, selectors.EVENT_READ, said)
        why = ""
        while open_ends.get_map() and not why:
            # Before the look, as it may say its last words and end right after one.
            ended = process.poll() is not None
            ready = open_ends.select(0 if ended else min(until - time.monotonic(), 0.1))
            if ended and not ready:
                break  # a child that it has left in the background holds them open
            for key, _ in ready:
                if data := os.read(key.fd, 65536):
                    key.data.extend(data)
                else:
                    open_ends.unregister(key.fileobj)
            if len(out) + len(err) > _MOST:
                why = f"within {_MOST >> 20} MiB of output"
            elif time.monotonic() > until:
                why = time_is_up
        with suppress(subprocess.TimeoutExpired):
            if not why:
                process.wait(max(until - time.monotonic(), 0))
                return bytes(out), bytes(err)
    raise EndlessError(why or time_is_up, err.decode(errors="replace"))


def _end(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


class Said:
    """What comes through a socket, read by a thread as it comes: the last 16 KiB of it, whatever a host says."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._tail = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := self._sock.recv(65536):
                self._tail = (self._tail + data)[-_KEPT:]

    def settle(self) -> None:
        """Waits for what has been said before the program ended, but not for children that it has left."""
        self._thread.join(1)

    @property
    def text(self) -> str:
        return self._tail.decode(errors="replace")

    def close(self) -> None:
        """Wakes the thread; close() alone does not."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


@atexit.register
def _end_all() -> None:
    """A run that is interrupted ends without the threads that wait, and Ctrl-C does not reach other sessions."""
    for leader in tuple(_RUNNING):
        _end(leader)
