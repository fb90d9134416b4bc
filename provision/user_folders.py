"""The user's folders for this tool's own files on this machine (XDG base directories). None of them is made here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_NAME: Final = "provision"


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
