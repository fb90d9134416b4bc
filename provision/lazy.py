"""Modules that are imported when first used, from any thread, one import at a time.

Importing takes longer than a host takes to answer, and can be done while the run waits for one: `Fleet.meanwhile`.

Python alone does not make that safe. Its import system has a lock for each module. `import paramiko.config` takes
the lock of `paramiko.config`, then that of `paramiko`. `import paramiko` takes them the other way round, as the
package imports its own parts. Two threads that do both would wait for each other for ever, so Python lets one of
them go on with a module that is half initialised, or raises (importlib/_bootstrap.py, `_ModuleLock`): seen here as
`KeyError: 'paramiko'` and as ImportError. So one lock is held around every import that is made beside other work,
and no function of this tool imports in any other way (tests/unit/house/test_imports.py).
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

from provision.errors import UsageError

_LOCK: Final = threading.RLock()
_UNDER_WAY: Final[list[str]] = []
"""Imports that hold the lock, the outermost first."""
_LOADED: Final[dict[str, ModuleType]] = {}


class LazyModule:
    """Stands for a module, which is imported as soon as an attribute of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(_load(self._name), attribute)


def load(*modules: object) -> None:
    """Import now what is still to be imported. Modules that are no LazyModule are there already."""
    for module in modules:
        if isinstance(module, LazyModule):
            _load(module._name)  # noqa: SLF001 - our own class


def _load(name: str) -> ModuleType:
    if name not in _LOADED:
        with _LOCK:
            _UNDER_WAY.append(name)
            try:
                module = import_module(name)
            finally:
                _UNDER_WAY.pop()
            if _UNDER_WAY:
                # Asked for by a module that is being imported itself: this one may be half initialised, and
                # other threads must not see it yet.
                return module
            _LOADED[name] = module
    return _LOADED[name]


def require_package(name: str, *, needed_by: str, built_with: str) -> None:
    """Checks, without importing it, that a package is there that only some commands need.

    Such a package is missing where it has no wheel for the processor and could not be built. `built_with` names
    Debian's packages that building needs. Raises UsageError.
    """
    if find_spec(name) is None:
        raise UsageError(
            f"{needed_by} needs the Python package {name}, which is not installed here",
            cause="It has no wheel for this machine, and what building it needs is missing.",
            hint=f"Install {built_with} (Debian's names), then: {sys.executable} -m pip install {name}",
        )
