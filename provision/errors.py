"""One class per failure a user can meet, each with its exit code.

A message has three parts: what failed (`message`), the likely cause (`cause`) and what to do
(`hint`, or `fix` where a command of this tool is to be named). The exit codes are the contract of the
command line (docs/errors.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, Final, Literal

from provision.fix import NO_FIX, Fix

EXIT_OK: Final = 0
EXIT_USAGE: Final = 1
EXIT_PENDING: Final = 2
EXIT_FAILED: Final = 3
EXIT_UNREACHABLE: Final = 4
EXIT_UNHEALTHY: Final = 5
EXIT_INTERRUPTED: Final = 130

FailureStatus = Literal["failed", "unreachable", "interrupted", "skipped"]
"""How a host ends on which an error stopped the work."""


class ProvisionError(Exception):
    """The base of every failure that has an answer. Never shown as a traceback."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = EXIT_FAILED
    host_status: ClassVar[FailureStatus] = "failed"

    def __init__(self, message: str, *, cause: str = "", hint: str = "", fix: Fix = NO_FIX) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        self.fix = fix
        """Shown instead of the hint if there is one: a command, as the user who reads it can run it."""


class UsageError(ProvisionError):
    """A flag, a name or the configuration is wrong. Nothing was touched."""

    code = "usage"
    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """`provision.toml` says something this tool cannot mean."""

    code = "config"


class ReleaseError(ProvisionError):
    """A BuildKit release is not available: no such version, asset, or network."""

    code = "release"


class ChecksumError(ReleaseError):
    """A download is not what it should be, or no digest is known for it."""

    code = "checksum"


class HostError(ProvisionError):
    """A host was reached and something failed on it."""

    code = "host"


class KernelError(HostError):
    """The kernel is too old, or lacks what emulation needs."""

    code = "kernel"


class BecomeError(HostError):
    """There is no way to become root on the host."""

    code = "become"


class DeadlineError(HostError):
    """A script did not finish in time; what it ran was ended."""

    code = "deadline"


class ConnectionLostError(HostError):
    """The link to the host broke while something ran there."""

    code = "connection-lost"


class UnreachableError(ProvisionError):
    """The host did not answer, or no login was possible."""

    code = "unreachable"
    exit_code = EXIT_UNREACHABLE
    host_status = "unreachable"


class HostKeyError(UnreachableError):
    """The host's key is unknown, or is not the one we know."""

    code = "host-key"


class WrongKeyError(HostKeyError):
    """The host's key has changed or was revoked: somebody may be between the host and this machine."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelled one most likely means, whatever its case; None if none is close."""
    by_lower_case = {each.lower(): each for each in known}
    found = get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.5)
    return by_lower_case[found[0]] if found else None
