"""A socket to an SSH server, up to the server's first bytes: TCP, or a program (ProxyCommand, `ssh -W`).

We connect ourselves instead of letting Paramiko do it, for four reasons. A server's first bytes tell an overloaded
sshd, a server that is no SSH server and a silent port apart; Paramiko's exceptions do not. Paramiko reads a first line
of any length. The kernel is told when to give up. And we send our version at once, which both sides may do (RFC 4253
§4.2), so that the server's first offer comes along with its version; Paramiko waits a turn of the line there.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from provision import __version__
from provision.errors import ProvisionError
from provision.transport.ssh.addresses import addresses, of_interface
from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.errors import (
    closed,
    jump_failed,
    network,
    not_handed_over,
    not_ssh,
    proxy_failed,
    silent,
)
from provision.transport.ssh.openssh import Said

VERSION: Final = f"SSH-2.0-provision_{__version__}"
"""Our version line, which sshd logs."""
_GREETING: Final = f"{VERSION}\r\n".encode()
_LOST_AFTER: Final = 60
"""Seconds until the kernel gives up on a peer that acknowledges nothing; keepalives make it notice."""
_MOST_GREETING: Final = 8192
"""Bytes up to the end of a server's version."""


@dataclass(frozen=True, kw_only=True)
class DialedSocket:
    """A socket to an SSH server, and the program behind it, if any. Our version has been sent."""

    sock: socket.socket
    process: subprocess.Popen[bytes] | None = None
    errors: Said | None = None

    def greeted(self) -> Any:
        """The socket for Paramiko, which sends its version first."""
        return _GreetedSocket(self.sock)

    def close(self) -> None:
        """Closes the socket and ends the program with all that it started, at the latest after two seconds."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        if self.process:
            _end(self.process)
        if self.errors:
            self.errors.close()

    def said(self) -> str:
        """The end of the program's standard error so far."""
        return self.errors.text if self.errors else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)


class _GreetedSocket:
    """A socket that swallows Paramiko's version line: ours has been sent already."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._expected = _GREETING

    def send(self, data: bytes) -> int:
        if not self._expected:
            return self._sock.send(data)
        again = data[: len(self._expected)]
        assert self._expected.startswith(again)  # noqa: S101 - Paramiko was given the same version
        self._expected = self._expected[len(again) :]
        return len(again)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def dial(name: str, end: Endpoint) -> DialedSocket:
    """A socket to a server that has just begun to speak SSH. Raises BusyError, UnreachableError, HostKeyError."""
    try:
        dialed = _run(end) if end.proxy else DialedSocket(sock=_connect(end))
    except NotHandedOverError:
        raise not_handed_over(name, end) from None
    except OSError as error:
        raise network(name, end, error) from error
    try:
        # A server that refuses us may be gone already; its answer is read all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            dialed.sock.sendall(_GREETING)
        # Behind a jump host: its own connection and login, then the host's.
        answer = _first_bytes(dialed.sock, end.connect_timeout * (1 + 2 * len(end.jumps)))
        problem = None if _is_ssh(answer or b"") else _not_ssh_error(name, end, dialed, answer)
    except OSError as error:
        problem = network(name, end, error)
    except BaseException:
        dialed.close()
        raise
    if problem:
        dialed.close()
        raise problem
    return dialed


class NotHandedOverError(Exception):
    """The ProxyCommand passed no descriptor in time."""


def _run(end: Endpoint) -> DialedSocket:
    """Starts the program. In a session of its own, which Ctrl-C does not reach, and which can be ended as a whole."""
    near, far = socket.socketpair()
    errors, said = socket.socketpair()
    with far, said:
        process = subprocess.Popen(
            end.proxy, stdin=far.fileno(), stdout=far.fileno(), stderr=said.fileno(), start_new_session=True
        )
    dialed = DialedSocket(sock=near, process=process, errors=Said(errors))
    return _handed_over(dialed, end) if end.passes_socket else dialed


def _handed_over(dialed: DialedSocket, end: Endpoint) -> DialedSocket:
    """The connection that the program has made (ssh_config(5), ProxyUseFdpass); the program is done then."""
    dialed.sock.settimeout(end.connect_timeout)
    try:
        _, numbers, _, _ = socket.recv_fds(dialed.sock, 1, 1)
    except OSError:
        numbers = []
    if not numbers:
        dialed.close()
        raise NotHandedOverError
    dialed.sock.close()
    return DialedSocket(sock=socket.socket(fileno=numbers[0]), process=dialed.process, errors=dialed.errors)


def _connect(end: Endpoint) -> socket.socket:
    """As often as ssh_config(5), ConnectionAttempts, says, a second apart. Raises OSError."""
    for _ in range(1, end.connections):
        with suppress(OSError):
            return _connect_once(end)
        time.sleep(1)
    return _connect_once(end)


def _connect_once(end: Endpoint) -> socket.socket:
    problem: OSError = socket.gaierror(socket.EAI_AGAIN, "DNS did not answer in time")
    for family, kind, protocol, _, address in addresses(end.host, end.port, end.family, end.connect_timeout):
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(end.connect_timeout)
        try:
            _choose_own_side(sock, end)
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_AFTER * 1000)
        return sock
    raise problem


def _choose_own_side(sock: socket.socket, end: Endpoint) -> None:
    """ssh_config(5), BindAddress and BindInterface."""
    if end.bind:
        sock.bind((end.bind, 0))
    elif end.interface:
        sock.bind(of_interface(end.interface, sock.family))


def _first_bytes(sock: socket.socket, seconds: float) -> bytes | None:
    """A server's first bytes, left unread; None if none came in that time, b"" if it hung up.

    RFC 4253 §4.2 allows other lines before the version, so the server is given time to send them.
    """
    until = time.monotonic() + seconds
    answer: bytes | None = None
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            seen = sock.recv(_MOST_GREETING, socket.MSG_PEEK)
        except TimeoutError:
            return answer
        except ConnectionError:  # it hung up without having read our version
            return answer or b""
        if _is_ssh(seen) or not seen or _refuses(seen) or len(seen) == _MOST_GREETING:
            return seen
        if seen == answer:
            time.sleep(0.05)
        answer = seen
    return answer


def _is_ssh(answer: bytes) -> bool:
    return re.search(rb"^SSH-[^\n]*\n", answer, re.MULTILINE) is not None


def _refuses(answer: bytes) -> bool:
    """Sshd's answer under load (sshd.c, drop_connection), and for a penalty, instead of its version."""
    return b"MaxStartups" in answer or b"Not allowed at this time" in answer


def _not_ssh_error(name: str, end: Endpoint, dialed: DialedSocket, answer: bytes | None) -> ProvisionError:
    text = (answer or b"").decode(errors="replace").strip()
    if answer == b"" and dialed.errors:
        dialed.errors.settle()
    if not answer and end.jumps:
        return jump_failed(name, end, dialed.said())
    if answer is None:
        return silent(name, end)
    if not answer and dialed.process and not end.passes_socket:
        return proxy_failed(name, end, dialed.said())
    return closed(name, end, text) if not answer or _refuses(answer) else not_ssh(name, end, text)
