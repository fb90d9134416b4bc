"""Becoming root: how a session is started, and the error when none begins."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from provision.errors import BecomeError, HostError, ProvisionError
from provision.lazy import LazyModule
from provision.transport import Secret, Sudo
from provision.transport.password import Password, PasswordRefusedError

if TYPE_CHECKING:
    from provision import render
else:
    render = LazyModule("provision.render")


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Everything about one session that is known before it begins."""

    nonce: str
    """Marks this session's own lines among whatever else is printed. Not a secret."""
    question: re.Pattern[str]
    """sudo's question, at the end of what was said, with the name of the user whose password it wants."""
    password: Password | None
    """None where sudo will not be asked to ask."""
    command: tuple[str, ...]
    """The program to start at the far end, with its arguments."""
    greeting: bytes
    """Bytes for the channel before the first request, after the password."""

    @property
    def astray(self) -> str:
        """Printed by a shell that a start-up file has put in the place of ours (`exec bash` in .bashrc).

        It takes the channel for its script, the first line of the greeting tells it to say so and to end.
        """
        return f"{self.nonce} astray"


def opening(sudo: Sudo, password: Secret | None) -> Opening:
    """Prepare a session. The password is sent once, on the channel when sudo asks, and is nowhere in the command.

    Raises BecomeError for a password that is not one line.
    """
    if password is not None and any(char in password.reveal() for char in "\n\r\0"):
        raise BecomeError(
            "the sudo password is not one line",
            cause="sudo reads it up to the end of the line.",
            hint="Look at what sudo_password_command prints: only its first line may be the password.",
        )
    if password is not None and not isinstance(password, Password):
        password = Password(password.reveal())
    asks = password is not None and sudo != "never"
    nonce = secrets.token_hex(12)
    session = render.render("session.sh", nonce=nonce)
    begin = Opening(
        nonce=nonce,
        # sudo-rs puts what it is given into a question of its own, `[sudo: …] Password: ` (seen with 0.2.5).
        question=re.compile(rf"(?:\[sudo: )?\[{nonce} ([^\]\n]*)\](?:\] Password:)? *\Z"),
        password=password if asks else None,
        command=(
            "sh",
            "-c",
            render.render("become.sh", sudo=sudo, halves=(nonce[:12], nonce[12:]) if asks else ()),
            render.render("boot.sh", nonce=nonce, size=len(session.encode())),
        ),
        greeting=f"{nonce}\n{session}".encode(),
    )
    return replace(begin, greeting=f"echo {begin.astray}; exit\n".encode() + begin.greeting)


_NOPASSWD: Final = (
    "Give the password (--ask-sudo-password, or sudo_password_command in the host's section), or allow "
    "{user} sudo without one: echo '{user} ALL=(root) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/provision"
)

_REFUSALS: Final[tuple[tuple[tuple[str, ...], str, str, str], ...]] = (
    (
        ("a password is required", "interactive authentication is required", "no askpass program"),
        "sudo asks for a password",
        "The login user needs a password for it, or may not use it at all: sudo says the same of both.",
        _NOPASSWD,
    ),
    (
        (
            "sorry, try again",
            "authentication failed, try again",  # sudo-rs
            "incorrect password attempt",
            "incorrect authentication attempt",
            "no password was provided",
        ),
        "sudo did not accept the password",
        "It is wrong. One attempt was made.",
        "Give the password of the login user on that host.",
    ),
    (
        (
            "not in the sudoers file",
            "is not allowed to",
            "may not run sudo",
            "not allowed to execute",
            "i'm afraid i can't do that",  # sudo-rs
        ),
        "the login user may not become root",
        "sudo is there, but its rules do not let this user run sh as root.",
        "As root on that host: echo '{user} ALL=(root) ALL' > /etc/sudoers.d/provision (or log in as root).",
    ),
    (
        ("doas: authentication required", "doas: authorization required"),
        "doas asks for a password",
        "It reads one from a terminal only.",
        "As root on that host: echo 'permit nopass {user} as root' >> /etc/doas.conf (or log in as root).",
    ),
    (
        ("doas: operation not permitted", "doas is not enabled"),
        "the login user may not become root",
        "doas is there, but its rules do not let this user run sh as root.",
        "As root on that host: echo 'permit nopass {user} as root' >> /etc/doas.conf (or log in as root).",
    ),
    (
        ("must have a tty", "no tty present"),
        "sudo there works from a terminal only",
        "requiretty is set in its sudoers.",
        "As root on that host: echo 'Defaults:{user} !requiretty' > /etc/sudoers.d/provision-tty",
    ),
    (
        (
            "sudo: not found",
            "sudo: command not found",
            "sudo: no such file",
            "sudo: inaccessible or not found",
        ),
        "there is no sudo, and the login is not root",
        "sudo is not installed.",
        "Log in as root, or install sudo there.",
    ),
    (
        ("no new privileges", "must be owned by uid 0", "nosuid", "effective uid is not 0"),
        "sudo cannot work there",
        "It runs in a container or on a mount that forbids setuid programs.",
        "Log in as root.",
    ),
    (
        ("password has expired", "password expired", "change your password", "password change required"),
        "the login user's password has expired",
        "PAM lets the user do nothing before it is changed.",
        "Log in there once as {user} and change it (passwd), or as root on that host: chage -M -1 {user}",
    ),
    (
        (
            "account is locked",
            "account or password is expired",
            "account validation failure",
        ),
        "the login user's account is locked or has expired",
        "PAM refuses it.",
        "As root on that host: passwd -u {user}, or chage -E -1 -M -1 {user}",
    ),
)


def refusal(name: str, user: str, output: str, status: int | None) -> ProvisionError:
    """The error for a session that did not begin, from the output of sudo or a shell (LC_ALL=C) and its status."""
    low = output.lower()
    for signs, message, cause, hint in _REFUSALS:
        if any(sign in low for sign in signs):
            kind = PasswordRefusedError if "sorry, try again" in signs else BecomeError
            return kind(f"{name}: {message}", cause=_cause(cause, output), hint=hint.format(user=user))
    if "sudo: " in low:
        return BecomeError(
            f"{name}: sudo failed",
            cause=_cause("", output),
            hint="Try it by hand on that host: sudo -n true",
        )
    ended = "" if status is None else f" (exit status {status})"
    return HostError(
        f"{name}: the login gave no shell{ended}",
        cause=_cause("The login shell, a ForceCommand or a missing sh or setsid ended it.", output),
        hint=f"See what this prints: ssh HOST sh -c id, as {user}.",
    )


def _cause(cause: str, output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and "[sudo" not in line]
    return f"{cause} Its output: {lines[-1][:300]}".strip() if lines else cause
