"""ssh_config(5), TOKENS and ENVIRONMENT VARIABLES: what `ssh -G` leaves as it was written."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from provision.errors import UsageError


def home() -> Path:
    """The user's home as `ssh` has it: by the password database, whatever HOME says (sudo -E, a container of CI).

    For a user whom nobody knows `ssh` ends, and says so.
    """
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()


def own_user() -> str:
    """The user's name as `ssh` has it, by the password database; a number where that knows none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def with_home(name: str, text: str) -> Path:
    """A path with the home that `~` or `~user` stands for. Raises UsageError for a user whom nobody knows."""
    user, _, rest = text.partition("/")
    if user == "~":
        return home() / rest
    try:
        return Path(user).expanduser() / rest if user.startswith("~") else Path(text)
    except RuntimeError:
        raise UsageError(
            f"{name}: {text!r} in the SSH configuration names no user's home",
            hint="See whether the user's name is spelled right; ~/ alone is your own home.",
        ) from None


def tokens(
    *, host: str, port: int, user: str, name: str, alias: str | None, jump: str | None
) -> Mapping[str, str]:
    """What each token stands for. `name` is the host as it was given."""
    local = socket.gethostname()
    together = f"{local}{host}{port}{user}{jump or ''}"
    return {
        "%": "%",
        "C": hashlib.sha1(together.encode(), usedforsecurity=False).hexdigest(),
        "d": str(home()),
        "h": host,
        "i": str(os.getuid()),
        "j": jump or "",
        "k": alias or name,
        "L": local.partition(".")[0],
        "l": local,
        "n": name,
        "p": str(port),
        "r": user,
        "u": own_user(),
    }


def expand(name: str, text: str, known: Mapping[str, str]) -> str:
    """A text with its tokens. Raises UsageError for one that ssh would not know there either."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise UsageError(
                f"{name}: {found[0]!r} in the SSH configuration stands for nothing",
                cause=text,
                hint="ssh_config(5) has the tokens of each keyword under TOKENS; %% is a percent sign.",
            )
        return known[found[1]]

    return re.sub("%(.?)", value, text)


def in_jumps(text: str, known: Mapping[str, str]) -> str:
    """ProxyJump with its tokens. Every other "%" stays: the zone of an IPv6 address has one."""
    return re.sub("%([%hnpr])", lambda found: known[found[1]], text)


def with_variables(name: str, text: str) -> str:
    """A text with its `${VARIABLE}`s. Raises UsageError for one that is not set, as ssh does."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UsageError(
                f"{name}: the SSH configuration uses ${{{found[1]}}}, which is not set",
                cause=text,
                hint=f"Set and export {found[1]} where this is started, or write the path itself.",
            )
        return os.environ[found[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)
