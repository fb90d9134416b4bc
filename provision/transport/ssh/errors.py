"""Why a host could not be reached, in words. One function per kind of failure; no I/O."""

from __future__ import annotations

import socket

from provision.errors import UnreachableError
from provision.transport import BusyError
from provision.transport.ssh.config import Endpoint


def network(name: str, endpoint: Endpoint, error: OSError) -> UnreachableError:
    """What the operating system said about the way there."""
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


def no_session(name: str, endpoint: Endpoint, said: str) -> UnreachableError:
    """Logged in, and then no program may be run."""
    return UnreachableError(
        f"{name}: sshd at {endpoint.host} port {endpoint.port} lets {endpoint.user} in and allows no session",
        cause=f"MaxSessions is 0 there, or the account is restricted to forwarding. It said: {said}",
        hint=f"See on the host: sshd -T -C user={endpoint.user} | grep -i maxsessions; or log in as another.",
    )


def not_ssh(name: str, endpoint: Endpoint, said: str) -> UnreachableError:
    """Something else listens there."""
    return UnreachableError(
        f"{name}: {endpoint.host} port {endpoint.port} is no SSH server",
        cause=f"It said: {said[:120]}",
        hint="Give the port that sshd listens on.",
    )
