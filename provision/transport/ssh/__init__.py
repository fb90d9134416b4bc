"""A remote host: one connection, and one channel for everything.

Nothing of Fabric's `run`, `put` and `sudo` is used: they cost two to eight turns of the line each, feed
standard input a byte at a time (invoke#774) and build shell text without quoting.
Fabric is imported once the first host has been called (provision/transport/ssh/link.py).
"""

from __future__ import annotations

import shlex

from provision.errors import ConnectionLostError, ProvisionError
from provision.transport import Secret, SshSettings, Target
from provision.transport.base import SessionTransport
from provision.transport.become import opening, refusal
from provision.transport.session import Session
from provision.transport.ssh.link import Link, patiently


class SSH(SessionTransport):
    """A host over SSH; its scripts run as root, by login or by sudo. See `Transport`."""

    def __init__(self, target: Target, ssh: SshSettings, password: Secret | None = None) -> None:
        super().__init__(target.name, local=False)
        self._target = target
        self._ssh = ssh
        self._password = password
        self._user = target.user or ""

    def _start(self) -> Session:
        link = patiently(lambda: Link(self._target, self._ssh), self._ssh.attempts, self._stopped)
        self._user = link.endpoint.user
        try:
            begin = opening(self._target.sudo, self._password)
            stream = link.run(f"exec {shlex.join(begin.command)}")
        except BaseException:
            link.close()
            raise
        return Session(self.name, stream, begin, self._refusal)

    def _refusal(self, said: str, status: int | None) -> ProvisionError:
        if status is None and not said:
            return ConnectionLostError(
                f"{self.name}: the link broke before a script began",
                cause="The network failed, the host or its sshd went down, or this user may run no programs there.",
                hint="Run again.",
            )
        return refusal(self.name, self._user, said, status)
