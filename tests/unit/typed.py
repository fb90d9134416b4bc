"""Flags as they are typed, read by the rows of the command line."""

from __future__ import annotations

from provision.cli.options import COMMON, SPEC, overrides
from provision.config.table import Override

SETTINGS_FLAGS = {name: option for name, option in {**COMMON, **SPEC}.items() if option.setting}


def flags(**typed: object) -> tuple[Override, ...]:
    return overrides({name: SETTINGS_FLAGS[name] for name in typed}, typed)
