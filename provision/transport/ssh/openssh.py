"""OpenSSH's own programs, `ssh -G`, `ssh-keygen` and `ssh -v`: asked for what they know, within a time."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from provision.errors import UsageError

_RUNNING: Final[set[int]] = set()
"""Leaders of the sessions that run now."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a program ended, and what it said."""

    status: int
    out: str
    err: str


class SlowError(Exception):
    """The time was up. Carries what the program had said on standard error."""


def ask(words: Sequence[str], seconds: float) -> Done:
    """Run a program to its end. Raises SlowError, and UsageError where OpenSSH is missing.

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
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise SlowError((error.stderr or b"").decode(errors="replace")) from None
        finally:
            _RUNNING.discard(process.pid)
            _end(process.pid)
    return Done(
        status=process.returncode,
        out=out.decode(errors="surrogateescape"),
        err=err.decode(errors="replace"),
    )


def _end(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


@atexit.register
def _end_all() -> None:
    """A run that is interrupted ends without the threads that wait, and Ctrl-C does not reach other sessions."""
    for leader in tuple(_RUNNING):
        _end(leader)
