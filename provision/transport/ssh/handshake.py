"""From a socket to an SSH connection whose host key is checked and whose login is done, and a channel on it.

Fabric makes the connection. Importing Fabric and Paramiko takes longer than a server takes to answer, so this module
is imported once the first server has been called.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import fabric
import paramiko
from paramiko import ChannelException, SSHException

from provision.errors import HostKeyError
from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.dial import DialedSocket
from provision.transport.ssh.errors import explain, no_session
from provision.transport.ssh.guarded import Guarded
from provision.transport.ssh.known_hosts import HostKey, Known, UnknownKeyError, check, known
from provision.transport.ssh.login import Login
from provision.transport.ssh.new_keys import NewKeys
from provision.transport.ssh.vouch import vouched

_CERTIFICATE: Final = "-cert-v01@openssh.com"

# Paramiko logs the tracebacks of errors that are explained here. With a handler of its own they do not go to Python's
# last resort (stderr), and a program that wants them can still add another handler.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class AnotherKeyError(HostKeyError):
    """The host shows another key than the one for which `ssh` vouches: it has several."""

    def __init__(self, name: str, vouched: tuple[str, str]) -> None:
        super().__init__(f"{name}: the host shows another key than {' '.join(vouched)}")
        self.vouched = vouched


class HostKeyPolicy:
    """Paramiko asks it about every host, as Paramiko's own list of known hosts is left empty."""

    def __init__(self, name: str, endpoint: Endpoint, facts: Known, new: NewKeys) -> None:
        self._name = name
        self._endpoint = endpoint
        self._facts = facts
        self._new = new

    def missing_host_key(self, _client: object, _hostname: str, key: Any) -> None:
        """Raises HostKeyError unless the key is known, or unknown keys are accepted."""
        end, smallest = self._endpoint, self._endpoint.smallest_rsa
        shown = HostKey(name=end.key_name, kind=key.get_name(), blob=key.asbytes())
        error = check(end, self._name, self._facts, shown)
        if error and self._may_be_vouched_for() and (found := vouched(self._name, end)):
            if found[0] != shown.kind:
                raise AnotherKeyError(self._name, found)
            error = check(end, self._name, replace(self._facts, vouched=found), shown)
        if error and not (isinstance(error, UnknownKeyError) and self._new.accept(self._name, end, shown)):
            raise error
        if shown.kind == "ssh-rsa" and key.get_bits() < smallest:
            raise HostKeyError(
                f"{self._name}: the host's RSA key has {key.get_bits()} bits",
                cause=f"RequiredRSASize in the SSH configuration asks for {smallest}.",
                hint="Give the host new keys (ssh-keygen -A there), and known_hosts the new ones.",
            )

    def _may_be_vouched_for(self) -> bool:
        """A certificate counts beside keys in known_hosts that are out of date."""
        facts = self._facts
        return bool(facts.keys and not facts.vouched and (facts.by_authority or self._endpoint.vouching))


class Connection:
    """One login at one host, and the socket below it."""

    def __init__(
        self,
        name: str,
        end: Endpoint,
        dialed: DialedSocket,
        new: NewKeys,
        keepalive: int,
        known_by_ssh: tuple[str, str] | None = None,
    ) -> None:
        """Takes over the socket. Raises HostKeyError, UnreachableError, BusyError.

        `known_by_ssh`: the key of an AnotherKeyError.
        """
        self._name = name
        self._end = end
        self._dialed = dialed
        try:
            facts = replace(new.added_to(known(end), end.key_name), vouched=known_by_ssh)
            if not (facts.keys or facts.vouched) and (facts.by_authority or end.vouching):
                facts = replace(facts, vouched=vouched(name, end))
            self._fabric = _prepared(name, end, self._dialed, facts)
            self._fabric.client.set_missing_host_key_policy(HostKeyPolicy(name, end, facts, new))
            self._fabric.open()
            self._fabric.transport.keep_alive(keepalive)
        except BaseException as error:
            self.close()
            raise (explain(name, end, error) if isinstance(error, Exception) else error) from error
        finally:
            new.say_of_jump_hosts(name, self._dialed.said() if end.jumps else "")

    def run(self, command: str) -> Channel:
        """Start a program at the far end; closing the channel closes the connection. Raises UnreachableError."""
        try:
            channel = self._fabric.transport.open_session(timeout=self._end.connect_timeout)
            channel.exec_command(command)
        except ChannelException as error:
            raise no_session(self._name, self._end, error.text) from error
        except (SSHException, EOFError, OSError) as error:
            raise explain(self._name, self._end, error) from error
        return Channel(channel, self.close)

    def close(self) -> None:
        """Closes everything. May be called twice."""
        # Not Fabric's own close(), which does nothing for a connection that failed half-way, or broke.
        with suppress(Exception):
            self._fabric.client.close()
        self._dialed.close()


class Channel:
    """A program at the far end, as a session's `Stream`. `close` closes the connection that the channel is on."""

    def __init__(self, channel: paramiko.Channel, close: Callable[[], None]) -> None:
        self._channel: Any = channel
        self._close = close

    # To read is also to send: that there is room again. So reading, too, fails when the connection is gone.

    def read(self) -> bytes:
        with _as_broken_pipe():
            return bytes(self._channel.recv(65536))

    def read_error(self) -> bytes:
        with _as_broken_pipe():
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
        with _as_broken_pipe():
            return int(self._channel.send(data))

    def finish(self) -> None:
        with _as_broken_pipe():
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


@contextmanager
def _as_broken_pipe() -> Iterator[None]:
    try:
        yield
    except (EOFError, SSHException) as error:
        raise BrokenPipeError from error


def _algorithms(end: Endpoint, facts: Known) -> Mapping[str, tuple[str, ...]]:
    """Where certificates count, each stands for its key, which is what Paramiko is shown."""
    keyword, keys = "hostkeyalgorithms", end.algorithms.get("hostkeyalgorithms", ())
    if not keys or not (facts.vouched or (facts.by_authority and not facts.keys)):
        return end.algorithms
    return {**end.algorithms, keyword: tuple(each.removesuffix(_CERTIFICATE) for each in keys)}


def _prepared(name: str, end: Endpoint, dialed: DialedSocket, facts: Known) -> Any:
    def transport(sock: Any, **options: Any) -> Guarded:
        made = Guarded(sock, **options)
        made.allow(name, _algorithms(end, facts), facts.kinds)
        return made

    seconds = end.connect_timeout
    return fabric.Connection(
        end.host,
        user=end.user,
        port=end.port,
        # Fabric would read the SSH configuration again, by a parser that knows less of it.
        config=fabric.Config(overrides={"load_ssh_configs": False}, lazy=True),
        gateway=False,
        connect_timeout=max(round(seconds), 1),
        connect_kwargs={
            "sock": dialed.greeted(),
            "banner_timeout": seconds,
            "auth_timeout": 2 * seconds,
            "channel_timeout": seconds,
            "auth_strategy": Login(end, 2 * seconds),
            "transport_factory": transport,
        },
    )
