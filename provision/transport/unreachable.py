"""Why a host could not be reached, in words. One function per kind of failure; no I/O."""

from __future__ import annotations

import socket

from paramiko.ssh_exception import (
    ChannelException,
    IncompatiblePeer,
    NoValidConnectionsError,
    SSHException,
)

from provision.errors import ProvisionError, UnreachableError
from provision.transport import BusyError
from provision.transport.login import LoginError, SlowLoginError
from provision.transport.ssh_config import Endpoint


def explain(name: str, endpoint: Endpoint, error: BaseException) -> ProvisionError:
    """The error a user sees, from what connecting or logging in raised."""
    if isinstance(error, ProvisionError):
        return error
    if isinstance(error, LoginError | SlowLoginError):
        return (
            refused_login(name, endpoint, error)
            if isinstance(error, LoginError)
            else slow_login(name, endpoint)
        )
    if isinstance(error, NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    if isinstance(error, ConnectionResetError | BrokenPipeError | EOFError):
        return closed(name, endpoint, "")
    if isinstance(error, OSError):
        return _network(name, endpoint, error)
    if isinstance(error, SSHException):
        return _ssh(name, endpoint, error)
    where = f"{endpoint.host} port {endpoint.port}"
    return UnreachableError(f"{name}: {where} cannot be reached", cause=str(error) or type(error).__name__)


def _network(name: str, endpoint: Endpoint, error: OSError) -> UnreachableError:
    where = f"{endpoint.host} port {endpoint.port}"
    if isinstance(error, socket.gaierror):
        return UnreachableError(
            f"{name}: {endpoint.host} has no address",
            cause=error.strerror or str(error),
            hint="See whether the name is spelled right and DNS works: getent hosts " + endpoint.host,
        )
    if isinstance(error, TimeoutError):
        return UnreachableError(
            f"{name}: no answer from {where}",
            cause="It is off, a firewall drops what we send, or the address is wrong.",
            hint=f"See whether it is up: ping {endpoint.host}; and whether the port is right.",
        )
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError(
            f"{name}: {where} refused the connection",
            cause="The machine is up, but no sshd listens there.",
            hint="Start sshd on it (systemctl enable --now ssh), or give the port it listens on.",
        )
    return UnreachableError(
        f"{name}: there is no way to {where}",
        cause=error.strerror or str(error),
        hint="See the routes from here (ip route get ADDRESS), or a jump host (jump = in its section).",
    )


def _ssh(name: str, endpoint: Endpoint, error: SSHException) -> ProvisionError:
    where, text = f"{endpoint.host} port {endpoint.port}", str(error)
    if isinstance(error, IncompatiblePeer):
        return UnreachableError(
            f"{name}: no common algorithm with the server at {where}",
            cause=text,
            hint="Update its SSH server: it offers only algorithms that are broken.",
        )
    if isinstance(error, ChannelException):
        return UnreachableError(
            f"{name}: {where} cannot be reached from its jump host",
            cause=error.text,
            hint="See on the jump host whether it is reached, and whether AllowTcpForwarding is on.",
        )
    # Paramiko goes on when the key exchange takes too long, and finds later that there is no session.
    if "No existing session" in text or "timed out" in text.lower():
        return silent(name, endpoint)
    if "banner" in text or "Negotiation failed" in text:
        return closed(name, endpoint, "")
    if "protocol version" in text:
        return not_ssh(name, endpoint, text)
    return UnreachableError(
        f"{name}: SSH failed at {where}",
        cause=text,
        hint=f"See what this prints: ssh -v -p {endpoint.port} {endpoint.user}@{endpoint.host} true",
    )


def refused_login(name: str, endpoint: Endpoint, error: LoginError) -> UnreachableError:
    """Every key was turned down, or there was none."""
    tried = f"Tried: {', '.join(error.tried)}." if error.tried else "There was no key to try."
    takes = f" It takes: {', '.join(error.accepted)}." if error.accepted else ""
    notes = f" {'; '.join(error.notes)}." if error.notes else ""
    return UnreachableError(
        f"{name}: the login of {endpoint.user} at {endpoint.host} port {endpoint.port} was refused",
        cause=f"{tried}{takes}{notes}",
        hint=f"Put a key there: ssh-copy-id -p {endpoint.port} {endpoint.user}@{endpoint.host}",
    )


def slow_login(name: str, endpoint: Endpoint) -> UnreachableError:
    """Neither accepted nor turned down."""
    return UnreachableError(
        f"{name}: the login of {endpoint.user} at {endpoint.host} port {endpoint.port} takes too long",
        cause="The host is overloaded, or its sshd asks a directory or a name server that does not answer.",
        hint="Look at the host's load and sshd's log; connect_timeout in [ssh] gives it more time.",
    )


def proxy_failed(name: str, endpoint: Endpoint, said: str) -> UnreachableError:
    """A ProxyCommand ended before it had brought anything."""
    return UnreachableError(
        f"{name}: the ProxyCommand to {endpoint.host} port {endpoint.port} ended at once",
        cause=said or f"It was: {endpoint.proxy_command}",
        hint=f"See what this prints: ssh -v -p {endpoint.port} {endpoint.user}@{endpoint.host} true",
    )


def silent(name: str, endpoint: Endpoint) -> UnreachableError:
    """Connected, and then nothing."""
    return UnreachableError(
        f"{name}: {endpoint.host} port {endpoint.port} accepts connections and says nothing",
        cause="It is no SSH server, or the machine behind it hangs or is out of memory.",
        hint="See whether the port is right, and the machine's console.",
    )


def closed(name: str, endpoint: Endpoint, said: str) -> BusyError:
    """Turned away before the server said who it is."""
    return BusyError(
        f"{name}: {endpoint.host} port {endpoint.port} closed the connection at once",
        cause=f"sshd is overloaded (MaxStartups) or refuses this address (fail2ban). {said}".strip(),
        hint="Wait a little; use fewer --jobs if many hosts are behind one jump host.",
    )


def not_ssh(name: str, endpoint: Endpoint, said: str) -> UnreachableError:
    """Something else listens there."""
    return UnreachableError(
        f"{name}: {endpoint.host} port {endpoint.port} is no SSH server",
        cause=f"It said: {said[:120]}",
        hint="Give the port that sshd listens on.",
    )
