"""The Go module whose tools are `buildkitd` and `buildctl`: pinned for one version, resolved for the others.

buildx has such a module as well, for one version only.

It is a module of our own: `go install …@version` refuses a module that has replace directives, as BuildKit's had
in many versions, and reads no go.sum of ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as once
from importlib import resources
from pathlib import Path
from typing import Final

BUILDKIT: Final = "github.com/moby/buildkit"
COMMANDS: Final = ("buildctl", "buildkitd")

_FILES: Final = ("go.mod", "go.sum")


@dataclass(frozen=True, kw_only=True)
class Product:
    """What a module's tools are."""

    path: str
    commands: tuple[str, ...]
    tags: str
    """Of Go's compiler, as upstream compiles it."""
    files: str
    """The folder with both pinned files."""


# Without these tags the daemon would not be the release's (BuildKit's Dockerfile).
DAEMON: Final = Product(
    path=BUILDKIT, commands=COMMANDS, tags="osusergo,netgo,static_build,seccomp", files="pinned"
)
BUILDX: Final = Product(
    path="github.com/docker/buildx", commands=("buildx",), tags="osusergo,netgo", files="pinned_buildx"
)


@dataclass(frozen=True, kw_only=True)
class Module:
    """Both files of the module, and who vouches for what they name."""

    mod: str
    sums: str
    vouched: str
    """A few words for the report: "verified by …"."""

    @property
    def go(self) -> str:
        """The oldest Go that compiles it: "1.26.3" (https://go.dev/ref/mod#go-mod-file-toolchain)."""
        found = re.findall(r"^(?:toolchain )?go ?([0-9][0-9a-z.]*)$", self.mod, re.MULTILINE)
        return str(found[-1])

    @property
    def version(self) -> str:
        """The version of BuildKit."""
        return self.version_of(DAEMON)

    def version_of(self, product: Product) -> str:
        """The version of what its tools are part of."""
        return str(
            re.findall(rf"^\s*(?:require )?{re.escape(product.path)} (\S+)", self.mod, re.MULTILINE)[0]
        )

    @property
    def fingerprint(self) -> str:
        """A short name of the content."""
        return hashlib.sha256(f"{self.mod}\0{self.sums}".encode()).hexdigest()[:12]

    def write(self, folder: Path) -> None:
        """Put both files into `folder`. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(_FILES, (self.mod, self.sums), strict=True):
            (folder / name).write_text(text, encoding="utf-8")


@once
def pinned(product: Product = DAEMON) -> Module:
    """The module that comes with this tool. Its go.sum has the SHA-256 of everything that a build reads."""
    folder = resources.files("provision.buildkit.go") / product.files
    mod, sums = (folder.joinpath(name).read_text(encoding="utf-8") for name in _FILES)
    return Module(mod=mod, sums=sums, vouched="verified by the go.sum that comes with this tool")


def resolved(version: str, cache: Path) -> Module | None:
    """The module of another version, if an earlier run has resolved it."""
    try:
        return _read(_place(version, cache))
    except OSError:
        return None


def resolve(version: str, cache: Path, workshop: Path, go: Callable[..., str], *, database: str) -> Module:
    """The module of `version`, asked for now and kept; `go` runs Go in a folder with arguments.

    Go writes the go.sum, and asks `database` for every checksum in it. Raises as `go`, or OSError.
    """
    folder = workshop / "module"
    Module(mod=f"module provision.invalid/buildkit\n\ngo {pinned().go}\n", sums="", vouched="").write(folder)
    go(folder, "get", "-tool", *(f"{BUILDKIT}/cmd/{command}@{version}" for command in COMMANDS))
    (folder / "vouched").write_text(f"verified by the checksum database {database}", encoding="utf-8")
    place = _place(version, cache)
    place.parent.mkdir(parents=True, exist_ok=True)
    found = _read(folder)
    folder.rename(place)
    return found


def _read(folder: Path) -> Module:
    mod, sums, vouched = ((folder / name).read_text(encoding="utf-8") for name in (*_FILES, "vouched"))
    return Module(mod=mod, sums=sums, vouched=vouched)


def _place(version: str, cache: Path) -> Path:
    return cache / "resolved" / version
