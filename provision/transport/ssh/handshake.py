"""From a stream to an SSH connection whose host key is checked and whose login is done. Fabric makes it.

Imports Fabric and Paramiko, which takes longer than a server takes to answer: imported once one was called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import fabric
from paramiko import ChannelException, SSHException
from paramiko import Transport as Paramiko

from provision.transport.ssh.channel import Channel
from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.diagnose import explain
from provision.transport.ssh.dial import VERSION, Dialed
from provision.transport.ssh.errors import no_session
from provision.transport.ssh.known_hosts import HostKey, UnknownKeyError, check, known
from provision.transport.ssh.login import Login

# Paramiko logs tracebacks of what is explained here. Given a handler, Python's last resort (stderr) leaves
# it alone, and whoever wants to read them can still add another.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class ScannedError(Exception):
    """The key of the host at the end of the way has been seen, which is all that was wanted."""


class Policy:
    """Asked by Paramiko about every host, as its own list of known hosts is left empty."""

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
    """One login at one host. `way` is what was dialed, or the connection to the jump host before it."""

    def __init__(self, name: str, end: Endpoint, way: Dialed | Connection, policy: Policy) -> None:
        self._name = name
        self._end = end
        self._fabric = _prepared(end, way)
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

    def run(self, command: str, let_go: Callable[[], None]) -> Channel:
        """A program at the far end. Raises UnreachableError."""
        try:
            channel = self._fabric.transport.open_session(timeout=self._end.connect_timeout)
            channel.exec_command(command)
        except ChannelException as error:
            raise no_session(self._name, self._end, error.text) from error
        except (SSHException, EOFError, OSError) as error:
            raise explain(self._name, self._end, error) from error
        return Channel(channel, let_go)

    def close(self) -> None:
        """Not Fabric's close(): it does nothing for a connection that failed half-way, or broke."""
        self._fabric.client.close()


def _prepared(end: Endpoint, way: Dialed | Connection) -> Any:
    seconds, kinds = end.connect_timeout, known(end).kinds
    return fabric.Connection(
        end.host,
        user=end.user,
        port=end.port,
        # Fabric would read the SSH configuration again, by a parser that knows less of it.
        config=fabric.Config(overrides={"load_ssh_configs": False}, lazy=True),
        gateway=way.fabric if isinstance(way, Connection) else False,
        connect_timeout=max(round(seconds), 1),
        connect_kwargs={
            **({"sock": way.spoken()} if isinstance(way, Dialed) else {}),
            "banner_timeout": seconds,
            "auth_timeout": 2 * seconds,
            "channel_timeout": seconds,
            "auth_strategy": Login(end, 2 * seconds),
            "transport_factory": lambda sock, **options: _transport(sock, kinds, options),
        },
    )


def _transport(sock: Any, kinds: tuple[str, ...], options: dict[str, Any]) -> Paramiko:
    """Asks for the kinds of host key that we know first; Paramiko itself puts forward only one of them."""
    made = Paramiko(sock, **options)
    made.local_version = VERSION
    wanted = [algorithm for kind in kinds for algorithm in _ALGORITHMS.get(kind, (kind,))]
    security = made.get_security_options()
    offered = tuple(security.key_types)
    first = [algorithm for algorithm in wanted if algorithm in offered]
    security.key_types = (*first, *(algorithm for algorithm in offered if algorithm not in first))
    return made


_ALGORITHMS: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""RFC 8332: an RSA key signs by these, and SHA-1 is gone from Paramiko."""
