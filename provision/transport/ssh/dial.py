"""The way to a server's first bytes: TCP, or a ProxyCommand.

It is gone here, and not by Paramiko, for three reasons: what a server says first tells an overloaded sshd, something
else than SSH and a silent port apart, which Paramiko's exceptions do not; the kernel is told when to give up; and our
version is sent at once, which both sides may do (RFC 4253 §4.2), so that the server's first offer comes along with its
version. Paramiko waits a turn of the line there.
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
"""Who we are, as sshd's log has it."""
_GREETING: Final = f"{VERSION}\r\n".encode()
_LOST_AFTER: Final = 60
"""Seconds until the kernel gives up on a peer that acknowledges nothing; keepalives make it notice."""


@dataclass(frozen=True, kw_only=True)
class Dialed:
    """A stream to an SSH server, and the ProxyCommand behind it, if any."""

    sock: socket.socket
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None

    def spoken(self) -> Any:
        """The socket for Paramiko, to which it is to say its version first."""
        return _Spoken(self.sock)

    def close(self) -> None:
        """Ends a ProxyCommand too. Nothing is left to wait for."""
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

    def said(self) -> str:
        """The last line of a ProxyCommand's complaints."""
        if not self.errors:
            return ""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


class _Spoken:
    """A socket on which our version has been said already, so that what says it again is not heard."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = _GREETING

    def send(self, data: bytes) -> int:
        if not self._left:
            return self._sock.send(data)
        again = data[: len(self._left)]
        assert self._left.startswith(again)  # noqa: S101 - Paramiko was given the same version
        self._left = self._left[len(again) :]
        return len(again)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def dial(name: str, end: Endpoint) -> Dialed:
    """A stream to what has just begun to speak SSH. Raises BusyError, UnreachableError."""
    try:
        dialed = _command(end.proxy_command) if end.proxy_command else Dialed(sock=_connect(end))
    except OSError as error:
        raise network(name, end, error) from error
    try:
        # Who turns us away may be gone already; what it said is read all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            dialed.sock.sendall(_GREETING)
        said = _first_bytes(dialed.sock, end.connect_timeout)
        problem = None if _is_ssh(said or b"") else _odd(name, end, dialed, said)
    except OSError as error:
        problem = network(name, end, error)
    except BaseException:
        dialed.close()
        raise
    if problem:
        dialed.close()
        raise problem
    return dialed


def _command(command: str) -> Dialed:
    """ssh_config(5), ProxyCommand: by the user's shell. In a session of its own, which Ctrl-C does not reach."""
    near, far = socket.socketpair()
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by Dialed.close()
    with far:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=errors,
            start_new_session=True,
        )
    return Dialed(sock=near, process=process, errors=errors)


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
    """What a server says first, left where it is; None if it is nothing for that long, b"" if it hangs up.

    RFC 4253 §4.2 allows other lines before the version, so it is given time to get there.
    """
    until = time.monotonic() + seconds
    said: bytes | None = None
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            seen = sock.recv(1024, socket.MSG_PEEK)
        except TimeoutError:
            return said
        except ConnectionError:  # it hung up without having read our version
            return said or b""
        if _is_ssh(seen) or not seen or _turns_away(seen):
            return seen
        if seen == said:
            time.sleep(0.05)
        said = seen
    return said


def _is_ssh(said: bytes) -> bool:
    return said.startswith(b"SSH-") or b"\nSSH-" in said


def _turns_away(said: bytes) -> bool:
    """What sshd says under load (sshd.c, drop_connection), and for a penalty, instead of its version."""
    return b"MaxStartups" in said or b"Not allowed at this time" in said


def _odd(name: str, end: Endpoint, dialed: Dialed, said: bytes | None) -> UnreachableError:
    text = (said or b"").decode(errors="replace").strip()
    if said is None:
        return silent(name, end)
    if not said and dialed.process:
        return proxy_failed(name, end, dialed.said())
    return closed(name, end, text) if not said or _turns_away(said) else not_ssh(name, end, text)
