"""From a socket to an SSH connection whose host key is checked and whose login is done, and a channel on it.

Fabric makes the connection. Importing Fabric and Paramiko takes longer than a server takes to answer, so this module
is imported once the first server has been called.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import fabric
import paramiko
from paramiko import ChannelException, SSHException

from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.dial import VERSION, DialedSocket
from provision.transport.ssh.errors import explain, no_session
from provision.transport.ssh.known_hosts import HostKey, UnknownKeyError, check, known
from provision.transport.ssh.login import Login

# Paramiko logs the tracebacks of errors that are explained here. With a handler of its own they do not go to Python's
# last resort (stderr), and a program that wants them can still add another handler.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class ScannedError(Exception):
    """The key of the last host has been seen, and nothing else was wanted."""


class HostKeyPolicy:
    """Paramiko asks it about every host, as Paramiko's own list of known hosts is left empty."""

    def __init__(self, name: str, endpoint: Endpoint, new: list[HostKey] | None, *, only_scan: bool) -> None:
        self._name = name
        self._endpoint = endpoint
        self._new = new
        self._only_scan = only_scan

    def missing_host_key(self, _client: object, _hostname: str, key: Any) -> None:
        """Raises HostKeyError unless the key is known, or unknown keys are being collected."""
        shown = HostKey(name=self._endpoint.key_name, kind=key.get_name(), blob=key.asbytes())
        error = check(self._endpoint, self._name, shown)
        if isinstance(error, UnknownKeyError) and self._new is not None:
            self._new.append(shown)
        elif error:
            raise error
        if self._only_scan:
            raise ScannedError


class Connection:
    """One login at one host. `carrier` is the socket, or the connection to the jump host before it."""

    def __init__(
        self, name: str, end: Endpoint, carrier: DialedSocket | Connection, policy: HostKeyPolicy
    ) -> None:
        self._name = name
        self._end = end
        self._fabric = _prepared(end, carrier)
        self._fabric.client.set_missing_host_key_policy(policy)

    @property
    def fabric(self) -> Any:
        """Fabric's own object."""
        return self._fabric

    def open(self, keepalive: int) -> None:
        """Raises HostKeyError, UnreachableError; ScannedError if the policy has seen enough."""
        try:
            self._fabric.open()
            self._fabric.transport.set_keepalive(keepalive)
        except ScannedError:
            raise
        except Exception as error:
            raise explain(self._name, self._end, error) from error

    def run(self, command: str, close: Callable[[], None]) -> Channel:
        """Start a program at the far end; the channel is closed by `close`. Raises UnreachableError."""
        try:
            channel = self._fabric.transport.open_session(timeout=self._end.connect_timeout)
            channel.exec_command(command)
        except ChannelException as error:
            raise no_session(self._name, self._end, error.text) from error
        except (SSHException, EOFError, OSError) as error:
            raise explain(self._name, self._end, error) from error
        return Channel(channel, close)

    def close(self) -> None:
        # Not Fabric's own close(), which does nothing for a connection that failed half-way, or broke.
        self._fabric.client.close()


class Channel:
    """A program at the far end, as a session's `Stream`. `close` closes the connection that the channel is on."""

    def __init__(self, channel: paramiko.Channel, close: Callable[[], None]) -> None:
        self._channel: Any = channel
        self._close = close

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
        # No message on the channel: the far sh sees the end of its input either way, and a turn is saved.
        self._close()


def _prepared(end: Endpoint, carrier: DialedSocket | Connection) -> Any:
    seconds, kinds = end.connect_timeout, known(end).kinds
    return fabric.Connection(
        end.host,
        user=end.user,
        port=end.port,
        # Fabric would read the SSH configuration again, by a parser that knows less of it.
        config=fabric.Config(overrides={"load_ssh_configs": False}, lazy=True),
        gateway=carrier.fabric if isinstance(carrier, Connection) else False,
        connect_timeout=max(round(seconds), 1),
        connect_kwargs={
            **({"sock": carrier.greeted()} if isinstance(carrier, DialedSocket) else {}),
            "banner_timeout": seconds,
            "auth_timeout": 2 * seconds,
            "channel_timeout": seconds,
            "auth_strategy": Login(end, 2 * seconds),
            "transport_factory": lambda sock, **options: _transport(sock, kinds, options),
        },
    )


def _transport(sock: Any, kinds: tuple[str, ...], options: dict[str, Any]) -> paramiko.Transport:
    """A transport that asks first for the kinds of host key that we know. Paramiko itself puts only one kind first."""
    made = paramiko.Transport(sock, **options)
    made.local_version = VERSION
    wanted = [algorithm for kind in kinds for algorithm in _ALGORITHMS.get(kind, (kind,))]
    security = made.get_security_options()
    offered = tuple(security.key_types)
    first = [algorithm for algorithm in wanted if algorithm in offered]
    security.key_types = (*first, *(algorithm for algorithm in offered if algorithm not in first))
    return made


_ALGORITHMS: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""RFC 8332: an RSA key signs by these, and SHA-1 is gone from Paramiko."""
