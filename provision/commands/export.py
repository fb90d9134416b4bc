"""`export`: the pipeline as a file for another program. No host is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from provision.recipes import tool
from provision.recipes.formats import Wanted, recipe
from provision.spec import Spec


def text(options: Mapping[str, Any], spec: Spec, version: str) -> str:
    """The file, with BuildKit of this version. Raises UsageError for what it cannot be made without."""
    pinned = replace(spec, buildkit=replace(spec.buildkit, version=version))
    wanted = Wanted(spec=pinned, tool=tool.source(options["tool"]), image=str(options["image"] or ""))
    return recipe(str(options["recipe"]), wanted)
