"""Who runs this tool, and where its own files are on this machine (XDG base directories). No folder is made here."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Final

_NAME: Final = "provision"


def own_name() -> str:
    """The name of the user; a number where nobody knows a name, as in a container with any user id (OpenShift)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def state() -> Path:
    """For records and logs that outlive a run. Raises RuntimeError where there is no home."""
    return _base("XDG_STATE_HOME", ".local/state") / _NAME


def cache() -> Path:
    """For downloads, which can be had again. Raises RuntimeError where there is no home."""
    return _base("XDG_CACHE_HOME", ".cache") / _NAME


def config() -> Path:
    """For what the user would miss, such as keys. Raises RuntimeError where there is no home."""
    return _base("XDG_CONFIG_HOME", ".config") / _NAME


def _base(variable: str, default: str) -> Path:
    given = os.environ.get(variable)
    return Path(given) if given else Path.home() / default
