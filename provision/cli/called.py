"""How the user called this program, so that a fix can name a command that works where it is read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from provision.cli.fabric import FromFabric
from provision.cli.options import COMMON, SPEC

INSTALLED: Final = "provision"
FABRIC: Final = "fab"
_OTHERS: Final = (FABRIC, "inv", "invoke")
"""Programs of others that run our tasks."""
_KEY: Final = "provision_called"
"""In Invoke's configuration, which every task is given."""

_OF_ONE_RUN: Final = frozenset(
    {"hosts", "format", "jobs", "connect_timeout", "timeout", "accept_new_host_keys"}
)
REPEATED: Final = (*(name for name in COMMON if name not in _OF_ONE_RUN), *SPEC)
"""Options that decide what is wanted and how a host is reached: a fix without them would do something else."""


def remember(config: Any, program: str) -> None:
    """Note in Invoke's configuration how our own program was called."""
    config[_KEY] = program


def name_of(context: Any) -> str:
    """How the program was called that runs a task: our own, or Fabric's or Invoke's."""
    noted = context.config.get(_KEY)
    if noted:
        return str(noted)
    # A Python program that calls our tasks has no command line of ours.
    return typed_name(sys.argv[0]) if Path(sys.argv[0]).name in _OTHERS else INSTALLED


def words_of(context: Any, fabric: FromFabric | None) -> tuple[str, ...]:
    """The words that start the program again; with those that select the host where Fabric's own command did so."""
    name = name_of(context)
    return (name, *fabric.words) if fabric and Path(name).name == FABRIC else (name,)


def typed_name(path: str) -> str:
    """The word that starts the program of this path again: its name alone if the shell finds it by that."""
    name = Path(path).name
    found = shutil.which(name)
    if found and os.path.exists(path) and os.path.samefile(found, path):  # noqa: PTH110, PTH121 - text, no Path
        return name
    return path if "/" in path else f"./{path}"


def repeated(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The options of `REPEATED` that the user gave, as commands of a fix take them."""
    return tuple(
        (name, "" if options[name] is True else str(options[name]))
        for name in REPEATED
        if options.get(name) not in (None, "", False)
    )
