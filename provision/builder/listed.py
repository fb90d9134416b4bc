"""What the daemon of a node says of itself, asked through buildx, which has a certificate for it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from provision.architectures import normalise
from provision.builder.buildx import Buildx, alone
from provision.buildkit.workers import Workers
from provision.errors import ProvisionError

_PATIENCE: Final = 60.0


def workers(buildx: Buildx, builder: str, node: str) -> Workers | None:
    """The platforms and the version of a node's daemon; None where buildx is too old to tell (before v0.13)."""
    with tempfile.TemporaryDirectory(prefix="provision-buildx-") as place:
        try:
            alone(builder, node, Path(place), told=False)
            words = replace(buildx, config=Path(place)).run(
                "ls", "--format", "{{json .}}", timeout=_PATIENCE
            )
            return parsed(words, builder)
        except (OSError, ValueError, LookupError, TypeError, ProvisionError):
            return None


def parsed(words: str, builder: str) -> Workers | None:
    """`buildx ls` prints a builder as many times as it has nodes, and Docker's own builder."""
    for said in map(json.loads, filter(None, words.splitlines())):
        row: Any = said
        if row["Name"] == builder and row["Nodes"][0].get("Version"):
            (node,) = row["Nodes"]
            names = (str(name).split("/") for name in node["Platforms"])
            platforms = dict.fromkeys(normalise(*(*parts, "")[:3]) for parts in names)
            return Workers(id="", platforms=tuple(platforms), version=node["Version"])
    return None
