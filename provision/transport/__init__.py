"""How this tool talks to a host: open, ask, close. Local and SSH are the same session over another stream.

It knows nothing of BuildKit or QEMU: scripts are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Protocol

from provision.errors import EXIT_INTERRUPTED, HostError, UnreachableError

MOST_JUMPS: Final = 8
"""Jump hosts on the way to a host. More are taken for a circle in the SSH configuration."""

Listener = Callable[[str], None]

Sudo = Literal["always", "auto", "never"]
"""`auto`: sudo unless the login is root already."""


class StoppedError(HostError):
    """The user ended the run: no other step begins on this host."""

    code = "interrupted"
    exit_code = EXIT_INTERRUPTED
    host_status = "interrupted"


class BusyError(UnreachableError):
    """The SSH server refused us before it sent its version, as it does under load (MaxStartups)."""

    code = "busy"


class Secret:
    """A password. Only `reveal()` returns it; it cannot be pickled, nor get into a log by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not written anywhere")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A host to reach by SSH. Values that are None come from the user's SSH configuration."""

    name: str
    """The host's name in messages."""
    host: str
    """An address, or a `Host` of the SSH configuration."""
    user: str | None = None
    port: int | None = None
    jump: str | None = None
    """ProxyJump's syntax; `none` for no jump."""
    identity_files: tuple[Path, ...] = ()
    sudo: Sudo = "auto"


@dataclass(frozen=True, kw_only=True)
class SshSettings:
    """Settings for every host. Times in seconds, each for one wait: connect, banner, login, channel."""

    config: Path | None = None
    """As `ssh -F`."""
    known_hosts: Path | None = None
    """Instead of the files that the SSH configuration names."""
    user: str | None = None
    """The login where neither the target nor the SSH configuration gives one."""
    connect_timeout: float | None = None
    """None: the SSH configuration's, else ten."""
    accept_new_host_keys: bool = False
    """Of jump hosts. Those of the hosts themselves: `ssh.new_keys`."""
    keepalive: int = 15
    """After three times as long without a sign of the server, the connection is given up."""
    attempts: int = 5
    """Connections tried while a server refuses us under load."""


@dataclass(frozen=True, kw_only=True)
class Payload:
    """Bytes of a file for the script's standard input: exactly `length` of them, then end of file."""

    path: Path
    offset: int = 0
    length: int
    progress: Callable[[int], None] | None = None
    """Called with the number of bytes of this payload sent so far."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The output of a script, and how it ended."""

    status: int
    records: tuple[str, ...]
    """The lines of standard output."""
    stderr: str
    """The last 16 KiB of standard error."""


class Transport(Protocol):
    """One host. Every method may be called from any thread; one `ask` runs at a time."""

    name: str
    local: bool
    """Whether the host is this machine."""
    address: str
    """Where it was reached, once it is open: a name or an address, behind the jump hosts if there are any."""

    def open(self) -> None:
        """Connects, and starts to become root. Raises UnreachableError, HostKeyError or BecomeError."""

    def ask(
        self,
        script: str,
        *,
        timeout: float,
        payload: Payload | None = None,
        on_record: Listener | None = None,
        endless: bool = False,
    ) -> Answer:
        """Runs `script` as root in a sh of its own; `on_record` gets each line at once, in this thread.

        An answer has at most 64 MiB. `endless`: there is no such limit, and no line is kept for the answer.

        Standard input is the payload, or empty. The variable `PROVISION_STOP` becomes 1 when the script
        should end after the step it is in: `stop()` was called, the user pressed Ctrl-C, or the link broke.
        Raises DeadlineError after `timeout` seconds, when the script and what it started were ended by TERM
        and, five seconds on, KILL; ConnectionLostError; BecomeError, on the first request; StoppedError when
        `stop()` came before; KeyboardInterrupt once the script has ended, if Ctrl-C reached this thread.
        """

    def stop(self) -> None:
        """Lets the running script end after its step, and begins no other. For any thread; does not wait."""

    def close(self) -> None:
        """Ends the session. A script that still runs on the host ends after its step."""

    def __enter__(self) -> Transport: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
