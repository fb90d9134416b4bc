"""Why a host cannot be reached: the error that a user sees for each kind of failure. No I/O."""

from __future__ import annotations

import socket
from typing import Any

from provision.errors import ProvisionError, UnreachableError
from provision.lazy import LazyModule
from provision.transport import BusyError
from provision.transport.ssh.config import Endpoint

# A socket may fail before Paramiko is imported. `explain` is called for errors of Paramiko, that is, afterwards.
_paramiko: Any = LazyModule("paramiko.ssh_exception")


class LoginError(Exception):
    """No key was accepted. Carries what was tried, for the user."""

    def __init__(self, tried: list[str], accepted: list[str], notes: list[str]) -> None:
        super().__init__("no key was accepted")
        self.tried = tried
        self.accepted = accepted
        """The methods that the server would accept."""
        self.notes = notes


class SlowLoginError(Exception):
    """The server did not say yes or no in time."""


def explain(name: str, endpoint: Endpoint, error: BaseException) -> ProvisionError:
    """The error to show for one that connecting or logging in raised."""
    if isinstance(error, ProvisionError):
        return error
    if isinstance(error, LoginError):
        return _login_refused(name, endpoint, error)
    if isinstance(error, SlowLoginError):
        return _slow_login(name, endpoint)
    if isinstance(error, _paramiko.NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    if isinstance(error, ConnectionResetError | BrokenPipeError | EOFError):
        return closed(name, endpoint, "")
    if isinstance(error, OSError):
        return network(name, endpoint, error)
    if isinstance(error, _paramiko.SSHException):
        return _ssh_failed(name, endpoint, error)
    return UnreachableError(
        f"{name}: {_place(endpoint)} cannot be reached", cause=str(error) or type(error).__name__
    )


def network(name: str, endpoint: Endpoint, error: OSError) -> UnreachableError:
    """The operating system could not connect."""
    if isinstance(error, socket.gaierror):
        return UnreachableError(
            f"{name}: {endpoint.host} has no address",
            cause=error.strerror or str(error),
            hint=f"See whether the name is spelled right and DNS works: getent hosts {endpoint.host}",
        )
    if isinstance(error, TimeoutError):
        return UnreachableError(
            f"{name}: no answer from {_place(endpoint)}",
            cause="The machine is off, a firewall drops what we send, or the address is wrong.",
            hint=f"See whether it is up: ping {endpoint.host}; and whether the port is right.",
        )
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError(
            f"{name}: {_place(endpoint)} refused the connection",
            cause="The machine is up, but no sshd listens there.",
            hint="Start sshd on it, or give the port it listens on.",
        )
    return UnreachableError(
        f"{name}: there is no way to {_place(endpoint)}",
        cause=error.strerror or str(error),
        hint="See the routes from here (ip route get ADDRESS), or a jump host (jump = in its section).",
    )


def proxy_failed(name: str, endpoint: Endpoint, output: str) -> UnreachableError:
    """A ProxyCommand ended before it had brought anything."""
    return UnreachableError(
        f"{name}: the ProxyCommand to {_place(endpoint)} ended at once",
        cause=output or f"The command was: {endpoint.proxy_command}",
        hint=_try_ssh(endpoint),
    )


def silent(name: str, endpoint: Endpoint) -> UnreachableError:
    """The connection was made, and then nothing came."""
    return UnreachableError(
        f"{name}: {_place(endpoint)} accepts connections and sends nothing",
        cause="It is no SSH server, or the machine behind it hangs or is out of memory.",
        hint="See whether the port is right, and the machine's console.",
    )


def closed(name: str, endpoint: Endpoint, answer: str) -> BusyError:
    """The server hung up, or refused us, before it sent its version."""
    return BusyError(
        f"{name}: {_place(endpoint)} closed the connection at once",
        cause=f"sshd is overloaded (MaxStartups) or refuses this address (fail2ban). {answer}".strip(),
        hint="Wait a little; use fewer --jobs if many hosts are behind one jump host.",
    )


def not_ssh(name: str, endpoint: Endpoint, answer: str) -> UnreachableError:
    """Something other than SSH listens there."""
    return UnreachableError(
        f"{name}: {_place(endpoint)} is no SSH server",
        cause=f"It answered: {answer[:120]}",
        hint="Give the port that sshd listens on.",
    )


def no_session(name: str, endpoint: Endpoint, answer: str) -> UnreachableError:
    """The login succeeded, but no program may be run."""
    return UnreachableError(
        f"{name}: sshd at {_place(endpoint)} accepts {endpoint.user}'s login but allows no session",
        cause=f"MaxSessions is 0 there, or the account is restricted to forwarding. sshd answered: {answer}",
        hint=f"See on the host: sshd -T -C user={endpoint.user} | grep -i maxsessions; or log in as another.",
    )


def _slow_login(name: str, endpoint: Endpoint) -> UnreachableError:
    """The server neither accepted nor refused the login."""
    return UnreachableError(
        f"{name}: the login of {endpoint.user} at {_place(endpoint)} takes too long",
        cause="The host is overloaded, or its sshd asks a directory or a name server that does not answer.",
        hint="Look at the host's load and sshd's log; connect_timeout in [ssh] gives it more time.",
    )


def _login_refused(name: str, endpoint: Endpoint, error: LoginError) -> UnreachableError:
    """No key was accepted, or there was none."""
    tried = f"Tried: {', '.join(error.tried)}." if error.tried else "There was no key to try."
    accepted = f" The server accepts: {', '.join(error.accepted)}." if error.accepted else ""
    notes = f" {'; '.join(error.notes)}." if error.notes else ""
    return UnreachableError(
        f"{name}: the login of {endpoint.user} at {_place(endpoint)} was refused",
        cause=f"{tried}{accepted}{notes}",
        hint=f"Put a key there: ssh-copy-id -p {endpoint.port} {endpoint.user}@{endpoint.host}",
    )


def _ssh_failed(name: str, endpoint: Endpoint, error: Any) -> ProvisionError:
    """From Paramiko's SSHException; its kinds are told apart by their texts."""
    text = str(error)
    if isinstance(error, _paramiko.IncompatiblePeer):
        return UnreachableError(
            f"{name}: no common algorithm with the server at {_place(endpoint)}",
            cause=text,
            hint="Update its SSH server: it offers only algorithms that are broken.",
        )
    # Only a connection through a jump host begins with a channel: one of the jump host's.
    if isinstance(error, _paramiko.ChannelException) and endpoint.jumps:
        return UnreachableError(
            f"{name}: {_place(endpoint)} cannot be reached from its jump host",
            cause=error.text,
            hint="See on the jump host whether it is reached, and whether AllowTcpForwarding is on.",
        )
    # When the key exchange takes too long, Paramiko goes on, and finds later that there is no session.
    if "No existing session" in text or "timed out" in text.lower():
        return silent(name, endpoint)
    if "banner" in text or "Negotiation failed" in text:
        return closed(name, endpoint, "")
    if "protocol version" in text:
        return not_ssh(name, endpoint, text)
    return UnreachableError(f"{name}: SSH failed at {_place(endpoint)}", cause=text, hint=_try_ssh(endpoint))


def _place(endpoint: Endpoint) -> str:
    return f"{endpoint.host} port {endpoint.port}"


def _try_ssh(endpoint: Endpoint) -> str:
    return f"See what this prints: ssh -v -p {endpoint.port} {endpoint.user}@{endpoint.host} true"
