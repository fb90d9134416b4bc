"""Why a host cannot be reached: the error that a user sees for each kind of failure. No I/O."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from typing import Any, Final

from provision.errors import HostKeyError, ProvisionError, UnreachableError, WrongKeyError
from provision.lazy import LazyModule
from provision.transport import BusyError
from provision.transport.ssh.config import Endpoint

# A socket may fail before Paramiko is imported. `explain` is called for errors of Paramiko, that is, afterwards.
_paramiko: Any = LazyModule("paramiko.ssh_exception")


class LoginError(Exception):
    """No key was accepted. Carries what was tried, for the user."""

    def __init__(self, tried: list[str], accepted: list[str], notes: list[str], banner: str = "") -> None:
        super().__init__("no key was accepted")
        self.tried = tried
        self.accepted = accepted
        """The methods that the server would accept."""
        self.notes = notes
        self.banner = banner
        """What the server said meanwhile."""


class IncompatibleError(Exception):
    """The server and Paramiko have no algorithm in common."""

    def __init__(self, kind: str, offered: Sequence[str], have: Sequence[str]) -> None:
        super().__init__(kind)
        self.kind = kind
        """The keyword of ssh_config and sshd_config for such algorithms."""
        self.offered = offered
        self.have = have


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
    if isinstance(error, IncompatibleError):
        return _incompatible(name, endpoint, error)
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
            cause=f"{error.strerror or error}{_own_side(endpoint)}",
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
        cause=f"{error.strerror or error}{_own_side(endpoint)}",
        hint="See the routes from here (ip route get ADDRESS), or a jump host (jump = in its section).",
    )


def _own_side(endpoint: Endpoint) -> str:
    """What the SSH configuration allows of this machine's side of a connection, in brackets."""
    settings = {
        "AddressFamily": endpoint.family if endpoint.family != "any" else None,
        "BindAddress": endpoint.bind,
        "BindInterface": endpoint.interface,
    }
    given = ", ".join(f"{keyword} {value}" for keyword, value in settings.items() if value)
    return f" (the SSH configuration has {given})" if given else ""


def proxy_failed(name: str, endpoint: Endpoint, output: str) -> UnreachableError:
    """A ProxyCommand ended before it had brought anything. Its words may hold a login, so they are not shown."""
    return UnreachableError(
        f"{name}: the ProxyCommand to {_place(endpoint)} ended at once",
        cause=_last_line(output) or "It said nothing.",
        hint=_try_ssh(endpoint),
    )


def not_handed_over(name: str, endpoint: Endpoint) -> UnreachableError:
    """A ProxyCommand that should pass its connection on did not."""
    return UnreachableError(
        f"{name}: the ProxyCommand to {_place(endpoint)} handed no connection over",
        cause="The SSH configuration has ProxyUseFdpass yes: the command has to pass a socket on, and ends then.",
        hint=f"Take ProxyUseFdpass out if the command copies bytes itself. {_try_ssh(endpoint)}",
    )


_MOST_SAID: Final = 600
"""Characters of an output that are shown: the last ones."""
_JUMP_FAILURES: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "Permission denied (",
        "a jump host refused the login",
        "Try it by hand, and put a key there.",
    ),
    (
        "open failed",
        "{place} cannot be reached from its jump host",
        "See on the jump host whether it is reached, and whether AllowTcpForwarding is on.",
    ),
    (
        "stdio forwarding failed",
        "{place} cannot be reached from its jump host",
        "See on the jump host whether it is.",
    ),
    ("Could not resolve hostname", "a jump host has no address", "See whether its name is spelled right."),
    ("ssh: connect to host", "a jump host cannot be reached", "See whether it is up, and its port."),
    (
        "timed out",
        "a jump host does not answer in time",
        "See whether it is overloaded; connect_timeout in [ssh] gives it more time.",
    ),
)


def jump_failed(name: str, endpoint: Endpoint, output: str) -> ProvisionError:
    """`ssh -W` brought nothing from the host. Its output is that of all jump hosts on the way."""
    through = f"By way of {', '.join(endpoint.jumps)}. "
    said = _telling(output)
    if " revoked by " in output or "REVOKED HOST KEY" in output:
        return WrongKeyError(
            f"{name}: the key of a jump host was revoked",
            cause=f"{through}{said}",
            hint="Give that host new keys (ssh-keygen -A there), and known_hosts the new ones.",
        )
    if "Host key verification failed" in output:
        changed = "HOST IDENTIFICATION HAS CHANGED" in output
        return (WrongKeyError if changed else HostKeyError)(
            f"{name}: the key of a jump host {'has changed' if changed else 'is not known'}",
            cause=f"{through}{said}",
            hint=(
                "Only if you know why, remove the old key as it says."
                if changed
                else f"Log in once and compare it ({_by_hand(endpoint)}), or --accept-new-host-keys."
            ),
        )
    if "kex_exchange_identification" in output or "Connection closed by remote host" in output:
        return closed(f"{name} (a jump host)", endpoint, said)
    for sign, message, hint in _JUMP_FAILURES:
        if sign in output:
            return UnreachableError(
                f"{name}: {message.format(place=_place(endpoint))}", cause=f"{through}{said}", hint=hint
            )
    if not said:
        return silent(name, endpoint)
    return UnreachableError(
        f"{name}: the way through its jump hosts ended", cause=f"{through}{said}", hint=_try_ssh(endpoint)
    )


def _telling(output: str) -> str:
    """The lines of `ssh`'s output that say why, without those that say that a key was added, and ornaments."""
    lines = [line.strip() for line in output.splitlines()]
    kept = [
        line
        for line in lines
        if line and not line.startswith(("@", "Warning: Permanently", "Connection closed by UNKNOWN"))
    ]
    text = " ".join(kept)
    return text if len(text) <= _MOST_SAID else f"… {text[-_MOST_SAID:].partition(' ')[2]}"


def silent(name: str, endpoint: Endpoint) -> UnreachableError:
    """The connection was made, and then nothing came."""
    if endpoint.proxy_command:
        return UnreachableError(
            f"{name}: the ProxyCommand to {_place(endpoint)} brings nothing",
            cause="It runs, and nothing comes from the host in time.",
            hint=_try_ssh(endpoint),
        )
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
    banner = " ".join(error.banner.split())[:300]
    said = f" The server says: {banner}" if banner else ""
    hint = f"Put a key there: ssh-copy-id -p {endpoint.port} {endpoint.user}@{endpoint.host}"
    if not error.tried and any("(ssh-add " in note for note in error.notes):
        hint = f"Give the key to an agent (ssh-add, as said above). Else: {hint}"
    if "account has expired" in banner.lower():
        hint = f"Have the account extended there: chage -E -1 {endpoint.user}"
    if any(sign in banner.lower() for sign in _NO_LOGINS):
        hint = "Try again in a minute: the machine is starting or going down (/run/nologin)."
    return UnreachableError(
        f"{name}: the login of {endpoint.user} at {_place(endpoint)} was refused",
        cause=f"{tried}{accepted}{notes}{said}",
        hint=hint,
    )


_NO_LOGINS: Final = ("booting up", "unprivileged users are not permitted", "going down", "shut down")
"""In what pam_nologin says: systemd-user-sessions(8), shutdown(8)."""


def _incompatible(name: str, endpoint: Endpoint, error: IncompatibleError) -> UnreachableError:
    hint = "Update its SSH server: it offers only algorithms that are broken."
    # What is broken is gone from OpenSSH's default; what is not there yet is missing in Paramiko.
    if not any(
        weak in each for each in error.offered for weak in ("sha1", "cbc", "md5", "ssh-dss", "arcfour")
    ):
        hint = f"Allow one of these there as well, in sshd_config: {error.kind} +{error.have[0]}"
    return UnreachableError(
        f"{name}: no common algorithm with the server at {_place(endpoint)}",
        cause=(
            f"{error.kind}: it offers only {', '.join(error.offered)}. This tool's SSH library has "
            f"{', '.join(error.have)}."
        ),
        hint=hint,
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
    return f"See what this prints: {_by_hand(endpoint, 'true')}"


def _by_hand(endpoint: Endpoint, *command: str) -> str:
    return shlex.join((*endpoint.by_hand, *command))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
