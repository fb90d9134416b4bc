"""A remote host: one connection, and one channel for everything.

Nothing of Fabric's `run`, `put` and `sudo` is used: they cost two to eight turns of the line each, feed
standard input a byte at a time (invoke#774) and build shell text without quoting.
Imports Fabric, so import it lazily.
"""

from __future__ import annotations

import random
import shlex
import time
from typing import Any

from paramiko import SSHException

from provision.errors import ConnectionLostError, ProvisionError
from provision.transport import BusyError, Secret, SshSettings, Target
from provision.transport.base import SessionTransport
from provision.transport.become import Opening, opening, refusal
from provision.transport.link import Link
from provision.transport.session import Session
from provision.transport.unreachable import explain


class SSH(SessionTransport):
    """A host over SSH; its scripts run as root, by login or by sudo. See `Transport`."""

    def __init__(self, target: Target, ssh: SshSettings, password: Secret | None = None) -> None:
        super().__init__(target.name, local=False)
        self._target = target
        self._ssh = ssh
        self._password = password
        self._user = target.user or ""

    def _start(self) -> Session:
        begin = opening(self._target.sudo, self._password)
        link = self._connected()
        self._user = link.endpoint.user
        try:
            stream = _Channel(link, begin)
        except BaseException as error:
            link.close()
            if isinstance(error, SSHException | EOFError | OSError):
                raise explain(self.name, link.endpoint, error) from error
            raise
        return Session(self.name, stream, begin, self._refusal)

    def _connected(self) -> Link:
        attempt = 1
        while True:
            try:
                return Link(self._target, self._ssh)
            except BusyError:
                if attempt >= self._ssh.attempts or self._stopped.is_set():
                    raise
            # With jitter, or a fleet behind one jump host comes back all at once.
            self._stopped.wait(random.uniform(0.3, 1.0) * min(2**attempt, 8))  # noqa: S311 - no secret
            attempt += 1

    def _refusal(self, said: str, status: int | None) -> ProvisionError:
        if status is None and not said:
            return ConnectionLostError(
                f"{self.name}: the link broke before a script began",
                cause="The network failed, the host went down, or its sshd was stopped.",
                hint="Run again.",
            )
        return refusal(self.name, self._user, said, status)


class _Channel:
    """The one channel, as a session's stream."""

    def __init__(self, link: Link, begin: Opening) -> None:
        self._link = link
        self._channel: Any = link.channel()
        self._channel.exec_command(f"exec {shlex.join(begin.command)}")

    def read(self) -> bytes:
        return bytes(self._channel.recv(65536))

    def read_error(self) -> bytes:
        return bytes(self._channel.recv_stderr(65536))

    def send(self, data: bytes, timeout: float) -> int:
        # A timeout of the channel would hold for reading as well. What fits the window is taken at once.
        until = time.monotonic() + timeout
        while not self._channel.send_ready():
            if self._channel.closed or self._channel.eof_sent:
                raise BrokenPipeError
            if time.monotonic() > until:
                return 0
            time.sleep(0.005)
        try:
            return int(self._channel.send(data))
        except (EOFError, SSHException) as error:
            raise BrokenPipeError from error

    def finish(self) -> None:
        self._channel.shutdown_write()

    def status(self) -> int | None:
        # It comes right behind the end of output, if at all.
        until = time.monotonic() + 1
        while not self._channel.exit_status_ready() and time.monotonic() < until:
            time.sleep(0.01)
        status = int(self._channel.recv_exit_status()) if self._channel.exit_status_ready() else -1
        return None if status < 0 else status

    def close(self) -> None:
        # Without a word on the channel: the far sh sees its input end either way, and a turn is saved.
        self._link.close()
