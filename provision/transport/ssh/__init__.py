"""A remote host: one SSH connection, through jump hosts if need be, and one channel for everything.

Nothing of Fabric's `run`, `put` and `sudo` is used: they cost two to eight turns of the line each, feed
standard input a byte at a time (invoke#774) and build shell text without quoting.
Fabric is imported while the first host is waited for, by `handshake`. Every wait has a deadline.
"""

from __future__ import annotations

import random
import shlex
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from provision.errors import ConnectionLostError, ProvisionError, UsageError
from provision.lazy import LazyModule
from provision.transport import MOST_JUMPS, BusyError, Secret, SshSettings, Target
from provision.transport.become import opening, refusal
from provision.transport.session import Session, SessionTransport
from provision.transport.ssh.config import hop, resolve
from provision.transport.ssh.dial import DialedSocket, dial
from provision.transport.ssh.known_hosts import HostKey
from provision.transport.stream import Stream

if TYPE_CHECKING:
    from provision.transport.ssh import handshake
else:
    handshake = LazyModule("provision.transport.ssh.handshake")


Made = TypeVar("Made")


class SSH(SessionTransport):
    """A host over SSH; its scripts run as root, by login or by sudo. See `Transport`."""

    def __init__(self, target: Target, ssh: SshSettings, password: Secret | None = None) -> None:
        super().__init__(target.name, local=False)
        self._target = target
        self._ssh = ssh
        self._password = password
        self._user = target.user or ""

    def _start(self) -> Session:
        def connect() -> ConnectionChain:
            return ConnectionChain(self._target, self._ssh)

        chain = retried_while_busy(connect, self._ssh.attempts, self._stopped)
        self._user = chain.endpoint.user
        self.address = chain.endpoint.host
        try:
            begin = opening(self._target.sudo, self._password)
            stream = chain.run(f"exec {shlex.join(begin.command)}")
        except BaseException:
            chain.close()
            raise
        return Session(self.name, stream, begin, self._refusal)

    def _refusal(self, output: str, status: int | None) -> ProvisionError:
        if status is None and not output:
            return ConnectionLostError(
                f"{self.name}: the link broke before a script began",
                cause="The network failed, the host or its sshd went down, or this user may run no programs there.",
                hint="Run again.",
            )
        return refusal(self.name, self._user, output, status)


def scan(target: Target, ssh: SshSettings) -> tuple[HostKey, ...]:
    """The host keys on the way to a target that known_hosts does not have, those of its jump hosts first.

    Adds nothing: show the keys, then call `known_hosts.add`. Logs in to the jump hosts only. Raises HostKeyError
    for a key that has changed or was revoked, and UnreachableError.
    """

    def collect() -> tuple[HostKey, ...]:
        new: list[HostKey] = []  # of this attempt: the jump hosts show theirs again at the next
        with suppress(handshake.ScannedError):
            ConnectionChain(target, ssh, new=new, only_scan=True).close()
        return tuple(new)

    return retried_while_busy(collect, ssh.attempts, threading.Event())


def retried_while_busy(make: Callable[[], Made], attempts: int, stopped: threading.Event) -> Made:
    """The result of `make`, which is called again while a server refuses us under load. Raises its last error."""
    attempt = 1
    while True:
        try:
            return make()
        except BusyError:
            if attempt >= attempts or stopped.is_set():
                raise
        # With jitter, or a fleet behind one jump host would come back all at once.
        stopped.wait(random.uniform(0.3, 1.0) * min(2**attempt, 8))  # noqa: S311 - no secret
        attempt += 1


class ConnectionChain:
    """The connection to a host, and those to its jump hosts. Raises what `Transport.open` does."""

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
        self._socket: DialedSocket | None = None
        self._connection: handshake.Connection | None = None
        self._before = self._connect_jump_hosts(target.name, ssh, new, depth)
        try:
            # The jump host's connection, or a socket of our own.
            carrier: DialedSocket | handshake.Connection | None
            carrier = self._before._connection if self._before else None  # noqa: SLF001 - our own class
            if carrier is None:
                carrier = self._socket = dial(target.name, end)
            policy = handshake.HostKeyPolicy(target.name, end, new, only_scan=only_scan)
            self._connection = handshake.Connection(target.name, end, carrier, policy)
            self._connection.open(ssh.keepalive)
        except BaseException:
            self.close()
            raise

    def run(self, command: str) -> Stream:
        """Start a program at the far end. Raises UnreachableError. Closing the stream closes the whole chain."""
        assert self._connection  # noqa: S101 - or there were no chain
        return self._connection.run(command, self.close)

    def close(self) -> None:
        """Closes every connection, that of the first jump host last."""
        if self._connection:
            with suppress(Exception):
                self._connection.close()
        if self._socket:
            self._socket.close()
        if self._before:
            self._before.close()

    def _connect_jump_hosts(
        self, name: str, ssh: SshSettings, new: list[HostKey] | None, depth: int
    ) -> ConnectionChain | None:
        """The chain up to the last jump host; those before it are its own jump hosts."""
        if not self.endpoint.jumps:
            return None
        if depth >= MOST_JUMPS:
            raise UsageError(f"{name}: more than {MOST_JUMPS} jump hosts, or a circle of them")
        *before, last = self.endpoint.jumps
        target = hop(last, name=f"{name} (jump host {last})", jump=",".join(before) or None)
        return ConnectionChain(target, ssh, new=new, depth=depth + 1)
