"""ssh_config(5), TOKENS and ENVIRONMENT VARIABLES: what `ssh -G` leaves as it was written."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from provision.errors import UsageError


def tokens(
    *, host: str, port: int, user: str, name: str, alias: str | None, jump: str | None
) -> Mapping[str, str]:
    """What each token stands for. `name` is the host as it was given."""
    local = socket.gethostname()
    together = f"{local}{host}{port}{user}{jump or ''}"
    return {
        "%": "%",
        "C": hashlib.sha1(together.encode(), usedforsecurity=False).hexdigest(),
        "d": str(Path.home()),
        "h": host,
        "i": str(os.getuid()),
        "j": jump or "",
        "k": alias or name,
        "L": local.partition(".")[0],
        "l": local,
        "n": name,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }


def expand(name: str, text: str, known: Mapping[str, str]) -> str:
    """A text with its tokens. Raises UsageError for one that ssh would not know there either."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise UsageError(f"{name}: {found[0]!r} in the SSH configuration stands for nothing", cause=text)
        return known[found[1]]

    return re.sub("%(.?)", value, text)


def with_variables(name: str, text: str) -> str:
    """A text with its `${VARIABLE}`s. Raises UsageError for one that is not set, as ssh does."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UsageError(
                f"{name}: the SSH configuration uses ${{{found[1]}}}, which is not set", cause=text
            )
        return os.environ[found[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)
