"""Modules that are imported when first used.

Importing takes longer than a host takes to answer, and can be done while it is waited for: `Fleet.meanwhile`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """Stands for a module until something of it is asked for. Importing is safe from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name

    @staticmethod
    def load(*modules: object) -> None:
        """Imports now."""
        for module in modules:
            if isinstance(module, Later):
                import_module(module._name)  # noqa: SLF001 - our own class

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
