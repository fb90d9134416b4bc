"""An SSH connection that is open, its host's key checked. Fabric makes it. Every wait has a deadline."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, Final

import fabric
from paramiko import Transport as Paramiko

from provision.errors import UsageError
from provision.transport import SshSettings, Target
from provision.transport.dial import Dialed, dial
from provision.transport.login import Login
from provision.transport.ssh_config import Endpoint, hop, resolve
from provision.transport.trust import HostKey, UnknownKeyError, check, known
from provision.transport.unreachable import explain

_MOST_JUMPS: Final = 8

# Paramiko logs tracebacks of what is explained here. Given a handler, Python's last resort (stderr) leaves
# it alone, and whoever wants to read them can still add another.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def scan(target: Target, ssh: SshSettings) -> tuple[HostKey, ...]:
    """The host keys on the way to a target that known_hosts does not have, those of its jump hosts first.

    Nothing is added: show them, then `trust.add`. Logs in to the jump hosts only. Raises HostKeyError for a
    key that has changed or was revoked, and UnreachableError.
    """
    new: list[HostKey] = []
    with suppress(_ScannedError):
        Link(target, ssh, new=new, only_scan=True).close()
    return tuple(new)


class _ScannedError(Exception):
    """The key of the host at the end of the way has been seen, which is all that was wanted."""


class _Policy:
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
            raise _ScannedError


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
        self.endpoint = resolve(target, ssh)
        self._name = target.name
        self._dialed: Dialed | None = None
        self._connection: Any = None
        self._through = self._jump(ssh, new, depth)
        try:
            self._open(_Policy(target.name, self.endpoint, new, only_scan=only_scan), ssh.keepalive)
        except BaseException:
            self.close()
            raise

    def channel(self) -> Any:
        """A new channel. Raises UnreachableError."""
        try:
            return self._connection.transport.open_session(timeout=self.endpoint.connect_timeout)
        except Exception as error:
            raise explain(self._name, self.endpoint, error) from error

    def close(self) -> None:
        """Closes everything, nearest host last."""
        # Not Fabric's close(): it does nothing for a connection that failed half-way, or broke.
        if self._connection:
            with suppress(Exception):
                self._connection.client.close()
        if self._dialed:
            self._dialed.close()
        if self._through:
            self._through.close()

    def _jump(self, ssh: SshSettings, new: list[HostKey] | None, depth: int) -> Link | None:
        """The last jump host; those before it are its own."""
        if not self.endpoint.jumps:
            return None
        if depth >= _MOST_JUMPS:
            raise UsageError(f"{self._name}: more than {_MOST_JUMPS} jump hosts, or a circle of them")
        *before, last = self.endpoint.jumps
        target = hop(last, name=f"{self._name} (jump host {last})", jump=",".join(before) or None)
        return Link(target, ssh, new=new, depth=depth + 1)

    def _open(self, policy: _Policy, keepalive: int) -> None:
        try:
            self._connection = self._prepared()
            self._connection.client.set_missing_host_key_policy(policy)
            self._connection.open()
            self._connection.transport.set_keepalive(keepalive)
        except _ScannedError:
            raise
        except Exception as error:
            raise explain(self._name, self.endpoint, error) from error

    def _prepared(self) -> Any:
        end, seconds = self.endpoint, self.endpoint.connect_timeout
        kinds = known(end).kinds
        if self._through is None:
            self._dialed = dial(self._name, end)
        return fabric.Connection(
            end.host,
            user=end.user,
            port=end.port,
            # Fabric would read the SSH configuration again, by a parser that knows less of it.
            config=fabric.Config(overrides={"load_ssh_configs": False}, lazy=True),
            gateway=self._through._connection if self._through else False,  # noqa: SLF001 - our own class
            connect_timeout=max(round(seconds), 1),
            connect_kwargs={
                **({"sock": self._dialed.sock} if self._dialed else {}),
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
    wanted = [algorithm for kind in kinds for algorithm in _ALGORITHMS.get(kind, (kind,))]
    security = made.get_security_options()
    offered = tuple(security.key_types)
    first = [algorithm for algorithm in wanted if algorithm in offered]
    security.key_types = (*first, *(algorithm for algorithm in offered if algorithm not in first))
    return made


_ALGORITHMS: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""RFC 8332: an RSA key signs by these, and SHA-1 is gone from Paramiko."""
