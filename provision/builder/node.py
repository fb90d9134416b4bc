"""A node of a builder, as buildx keeps it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from provision.builder.assignment import Share

DRIVER: Final = "remote"
"""The driver of buildx that uses a daemon that is there already."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
"""store/util.go of buildx."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node."""

    name: str
    endpoint: str
    """`unix://PATH`, `ssh://[USER@]HOST[:PORT]`, or `tcp://HOST:PORT`."""
    platforms: tuple[str, ...]
    """Those that buildx is told. It knows of no others, unless it has to ask all nodes."""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of the driver: `cacert`, `cert`, `key`, `servername`."""
    host: str = ""
    """What this tool calls it; empty for a node that was read from buildx."""
    shares: tuple[Share, ...] = ()
    """The platforms, each with how the host runs it."""

    @property
    def settings(self) -> tuple[str, frozenset[str], Mapping[str, str]]:
        """What buildx was told of it; the order of its platforms does not count."""
        return self.endpoint, frozenset(self.platforms), dict(self.options)


def is_name(text: str) -> bool:
    """Whether buildx takes this for the name of a builder or node."""
    return _NAME.fullmatch(text) is not None


def node_names(hosts: Iterable[str]) -> Mapping[str, str]:
    """For each host the name of its node: its own, as far as buildx takes it, which makes names lower-case."""
    names: dict[str, str] = {}
    for host in hosts:
        name = re.sub(r"[^a-z0-9._-]+", "-", host.lower()).strip("-")
        name = name if is_name(name) else f"node-{name}".rstrip("-")
        number, unique = 1, name
        while unique in names.values():
            number += 1
            unique = f"{name}-{number}"
        names[host] = unique
    return names
