"""What went wrong when connecting or logging in, from what Paramiko raised. Imports Paramiko."""

from __future__ import annotations

from paramiko.ssh_exception import (
    ChannelException,
    IncompatiblePeer,
    NoValidConnectionsError,
    SSHException,
)

from provision.errors import ProvisionError, UnreachableError
from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.errors import closed, network, not_ssh, silent, slow_login
from provision.transport.ssh.login import LoginError, SlowLoginError


def explain(name: str, endpoint: Endpoint, error: BaseException) -> ProvisionError:
    """The error a user sees, from what connecting or logging in raised."""
    if isinstance(error, ProvisionError):
        return error
    if isinstance(error, LoginError):
        return _refused(name, endpoint, error)
    if isinstance(error, SlowLoginError):
        return slow_login(name, endpoint)
    if isinstance(error, NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    if isinstance(error, ConnectionResetError | BrokenPipeError | EOFError):
        return closed(name, endpoint, "")
    if isinstance(error, OSError):
        return network(name, endpoint, error)
    if isinstance(error, SSHException):
        return _ssh(name, endpoint, error)
    where = f"{endpoint.host} port {endpoint.port}"
    return UnreachableError(f"{name}: {where} cannot be reached", cause=str(error) or type(error).__name__)


def _refused(name: str, endpoint: Endpoint, error: LoginError) -> UnreachableError:
    """Every key was turned down, or there was none."""
    tried = f"Tried: {', '.join(error.tried)}." if error.tried else "There was no key to try."
    takes = f" It takes: {', '.join(error.accepted)}." if error.accepted else ""
    notes = f" {'; '.join(error.notes)}." if error.notes else ""
    return UnreachableError(
        f"{name}: the login of {endpoint.user} at {endpoint.host} port {endpoint.port} was refused",
        cause=f"{tried}{takes}{notes}",
        hint=f"Put a key there: ssh-copy-id -p {endpoint.port} {endpoint.user}@{endpoint.host}",
    )


def _ssh(name: str, endpoint: Endpoint, error: SSHException) -> ProvisionError:
    where, text = f"{endpoint.host} port {endpoint.port}", str(error)
    if isinstance(error, IncompatiblePeer):
        return UnreachableError(
            f"{name}: no common algorithm with the server at {where}",
            cause=text,
            hint="Update its SSH server: it offers only algorithms that are broken.",
        )
    # Only a connection through a jump host begins with a channel: one of the jump host's.
    if isinstance(error, ChannelException) and endpoint.jumps:
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
