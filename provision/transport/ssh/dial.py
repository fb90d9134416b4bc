"""A socket to an SSH server, up to the server's first bytes: TCP, or a ProxyCommand.

We connect ourselves instead of letting Paramiko do it, for three reasons. A server's first bytes tell an overloaded
sshd, a server that is no SSH server and a silent port apart; Paramiko's exceptions do not. The kernel is told when to
give up. And we send our version at once, which both sides may do (RFC 4253 §4.2), so that the server's first offer
comes along with its version; Paramiko waits a turn of the line there.
"""

from __future__ import annotations

import queue
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final

from provision import __version__
from provision.errors import UnreachableError
from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.errors import closed, network, not_ssh, proxy_failed, silent

VERSION: Final = f"SSH-2.0-provision_{__version__}"
"""Our version line, which sshd logs."""
_GREETING: Final = f"{VERSION}\r\n".encode()
_LOST_AFTER: Final = 60
"""Seconds until the kernel gives up on a peer that acknowledges nothing; keepalives make it notice."""


@dataclass(frozen=True, kw_only=True)
class DialedSocket:
    """A socket to an SSH server, and the ProxyCommand behind it, if any. Our version has been sent."""

    sock: socket.socket
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None

    def greeted(self) -> Any:
        """The socket for Paramiko, which sends its version first."""
        return _GreetedSocket(self.sock)

    def close(self) -> None:
        """Closes the socket and ends a ProxyCommand, at the latest after two seconds."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.errors:
            self.errors.close()

    def last_error(self) -> str:
        """The last line of a ProxyCommand's standard error."""
        if not self.errors:
            return ""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


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
    """A socket to a server that has just begun to speak SSH. Raises BusyError, UnreachableError."""
    try:
        dialed = _run_proxy(end.proxy_command) if end.proxy_command else DialedSocket(sock=_connect(end))
    except OSError as error:
        raise network(name, end, error) from error
    try:
        # A server that refuses us may be gone already; its answer is read all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            dialed.sock.sendall(_GREETING)
        answer = _first_bytes(dialed.sock, end.connect_timeout)
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


def _run_proxy(command: str) -> DialedSocket:
    """ssh_config(5), ProxyCommand: by the user's shell. In a session of its own, which Ctrl-C does not reach."""
    near, far = socket.socketpair()
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by DialedSocket.close()
    with far:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=errors,
            start_new_session=True,
        )
    return DialedSocket(sock=near, process=process, errors=errors)


def _connect(end: Endpoint) -> socket.socket:
    problem: OSError = socket.gaierror(socket.EAI_AGAIN, "DNS did not answer in time")
    for family, kind, protocol, _, address in _addresses(end):
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(end.connect_timeout)
        try:
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


def _addresses(end: Endpoint) -> list[Any]:
    """In the resolver's order. getaddrinfo has no timeout; with dead name servers it takes half a minute."""
    found: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(end.host, end.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(
                error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error))
            )

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = found.get(timeout=end.connect_timeout)
    except queue.Empty:
        return []
    if isinstance(answer, OSError):
        raise answer
    return answer


def _first_bytes(sock: socket.socket, seconds: float) -> bytes | None:
    """A server's first bytes, left unread; None if none came in that time, b"" if it hung up.

    RFC 4253 §4.2 allows other lines before the version, so the server is given time to send them.
    """
    until = time.monotonic() + seconds
    answer: bytes | None = None
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            seen = sock.recv(1024, socket.MSG_PEEK)
        except TimeoutError:
            return answer
        except ConnectionError:  # it hung up without having read our version
            return answer or b""
        if _is_ssh(seen) or not seen or _refuses(seen):
            return seen
        if seen == answer:
            time.sleep(0.05)
        answer = seen
    return answer


def _is_ssh(answer: bytes) -> bool:
    return answer.startswith(b"SSH-") or b"\nSSH-" in answer


def _refuses(answer: bytes) -> bool:
    """Sshd's answer under load (sshd.c, drop_connection), and for a penalty, instead of its version."""
    return b"MaxStartups" in answer or b"Not allowed at this time" in answer


def _not_ssh_error(name: str, end: Endpoint, dialed: DialedSocket, answer: bytes | None) -> UnreachableError:
    text = (answer or b"").decode(errors="replace").strip()
    if answer is None:
        return silent(name, end)
    if not answer and dialed.process:
        return proxy_failed(name, end, dialed.last_error())
    return closed(name, end, text) if not answer or _refuses(answer) else not_ssh(name, end, text)
