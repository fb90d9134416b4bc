"""A remote host: one SSH connection and one channel for everything. Jump hosts are left to OpenSSH (`jumps`).

Nothing of Fabric's `run`, `put` and `sudo` is used: they cost two to eight turns of the line each, feed
standard input a byte at a time (invoke#774) and build shell text without quoting.
Fabric is imported while the first host is waited for, by `handshake`. Every wait has a deadline.
"""

from __future__ import annotations

import random
import shlex
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from provision.errors import ConnectionLostError, ProvisionError
from provision.lazy import LazyModule
from provision.transport import BusyError, Secret, SshSettings, Target
from provision.transport.become import opening, refusal
from provision.transport.session import Session, SessionTransport
from provision.transport.ssh.config import resolve
from provision.transport.ssh.dial import dial
from provision.transport.ssh.new_keys import NewKeys

if TYPE_CHECKING:
    from provision.transport.ssh import handshake
else:
    handshake = LazyModule("provision.transport.ssh.handshake")


Made = TypeVar("Made")


class SSH(SessionTransport):
    """A host over SSH; its scripts run as root, by login or by sudo. See `Transport`."""

    def __init__(
        self,
        target: Target,
        ssh: SshSettings,
        password: Secret | None = None,
        new_keys: NewKeys | None = None,
    ) -> None:
        """`new_keys` is that of the whole run; without it, no unknown host key is accepted."""
        super().__init__(target.name, local=False)
        self._target = target
        self._ssh = ssh
        self._password = password
        self._new_keys = new_keys or NewKeys(lambda _: None)
        self._user = target.user or ""

    def _start(self) -> Session:
        end = resolve(self._target, self._ssh)
        self._user = end.user
        self.address = end.host

        def connect(known_by_ssh: tuple[str, str] | None = None) -> handshake.Connection:
            dialed = dial(self.name, end)
            try:
                return handshake.Connection(
                    self.name, end, dialed, self._new_keys, self._ssh.keepalive, known_by_ssh
                )
            except handshake.AnotherKeyError as error:
                if known_by_ssh:
                    raise
                return connect(error.vouched)

        connection = retried_while_busy(connect, self._ssh.attempts, self._stopped)
        try:
            begin = opening(self._target.sudo, self._password)
            stream = connection.run(f"exec {shlex.join(begin.command)}")
        except BaseException:
            connection.close()
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
