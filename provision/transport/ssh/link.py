"""The way to a host: dialed, or through jump hosts, with an SSH connection at each. Every wait has a deadline."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from provision.errors import UsageError
from provision.lazy import LazyModule
from provision.transport import BusyError, SshSettings, Target
from provision.transport.ssh.config import hop, resolve
from provision.transport.ssh.dial import Dialed, dial
from provision.transport.ssh.known_hosts import HostKey
from provision.transport.stream import Stream

if TYPE_CHECKING:
    from provision.transport.ssh import handshake
else:
    handshake = LazyModule("provision.transport.ssh.handshake")

_MOST_JUMPS: Final = 8

Made = TypeVar("Made")


def scan(target: Target, ssh: SshSettings) -> tuple[HostKey, ...]:
    """The host keys on the way to a target that known_hosts does not have, those of its jump hosts first.

    Nothing is added: show them, then `trust.add`. Logs in to the jump hosts only. Raises HostKeyError for a
    key that has changed or was revoked, and UnreachableError.
    """

    def look() -> tuple[HostKey, ...]:
        new: list[HostKey] = []  # of this attempt: the jump hosts' are shown again at the next
        with suppress(handshake.ScannedError):
            Link(target, ssh, new=new, only_scan=True).close()
        return tuple(new)

    return patiently(look, ssh.attempts, threading.Event())


def patiently(make: Callable[[], Made], attempts: int, stopped: threading.Event) -> Made:
    """What `make` makes, asked again while a server turns us away for load. Raises what it did last."""
    attempt = 1
    while True:
        try:
            return make()
        except BusyError:
            if attempt >= attempts or stopped.is_set():
                raise
        # With jitter, or a fleet behind one jump host comes back all at once.
        stopped.wait(random.uniform(0.3, 1.0) * min(2**attempt, 8))  # noqa: S311 - no secret
        attempt += 1


class Link:
    """A connection, and those to its jump hosts. Raises what `Transport.open` does."""

    def __init__(
        self,
        target: Target,
        ssh: SshSettings,
        *,
        new: list[HostKey] | None = None,
        only_scan: bool = False,
        depth: int = 0,
    ) -> None:
        self.endpoint = end = resolve(target, ssh)
        self._dialed: Dialed | None = None
        self._connection: handshake.Connection | None = None
        self._through = self._jump(target.name, ssh, new, depth)
        try:
            # The jump host's connection, or a stream of our own.
            way: Dialed | handshake.Connection | None
            way = self._through._connection if self._through else None  # noqa: SLF001 - our own class
            if way is None:
                way = self._dialed = dial(target.name, end)
            policy = handshake.Policy(target.name, end, new, only_scan=only_scan)
            self._connection = handshake.Connection(target.name, end, way, policy)
            self._connection.open(ssh.keepalive)
        except BaseException:
            self.close()
            raise

    def run(self, command: str) -> Stream:
        """A program at the far end. Raises UnreachableError. Closing the stream closes the link."""
        assert self._connection  # noqa: S101 - or there were no link
        return self._connection.run(command, self.close)

    def close(self) -> None:
        """Closes everything, nearest host last."""
        if self._connection:
            with suppress(Exception):
                self._connection.close()
        if self._dialed:
            self._dialed.close()
        if self._through:
            self._through.close()

    def _jump(self, name: str, ssh: SshSettings, new: list[HostKey] | None, depth: int) -> Link | None:
        """The last jump host; those before it are its own."""
        if not self.endpoint.jumps:
            return None
        if depth >= _MOST_JUMPS:
            raise UsageError(f"{name}: more than {_MOST_JUMPS} jump hosts, or a circle of them")
        *before, last = self.endpoint.jumps
        target = hop(last, name=f"{name} (jump host {last})", jump=",".join(before) or None)
        return Link(target, ssh, new=new, depth=depth + 1)
