"""The nodes of a builder of buildx, as results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class NodeRow:
    """One node of a builder of buildx."""

    node: str
    host: str
    """What this tool calls the host; empty if that is not known."""
    endpoint: str
    platforms: tuple[str, ...]
    """What it builds for all."""
    native: tuple[str, ...] = ()
    """Those of them that are not emulated."""
    slower: Mapping[str, float] = field(default_factory=dict)
    """Platform -> how many times longer a small workload takes than natively on the fastest host."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of buildx's driver: the paths of certificates."""
    version: str | None = None
    """BuildKit's, as the daemon said now; None if it was not asked."""
    built: tuple[str, ...] = ()
    """The platforms that it was seen to build now."""
