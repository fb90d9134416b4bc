"""What each format is made of. A new one is a template in templates/export/ and a row here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from provision import paths
from provision.errors import UsageError
from provision.recipes.configuration import written
from provision.registry.reference import parse
from provision.render import render
from provision.services import MANAGERS
from provision.spec import Spec

_PARTS: Final = ("setup", "login", "build", "verify", "logs", "bake")


@dataclass(frozen=True, kw_only=True)
class Format:
    """A template, and how the CI system names what the pipeline needs."""

    template: str
    image: str = ""
    """Where it pushes to by itself; empty: it has no registry of its own."""
    registry: str = ""
    builds: bool = True
    """Whether it builds an image at all."""


ROWS: Final[Mapping[str, Format]] = {
    "github": Format(
        template="github.yml",
        image="ghcr.io/${{ github.repository }}:${{ github.sha }}",
        registry="ghcr.io",
    ),
    "github-steps": Format(
        template="github-steps.yml",
        image="ghcr.io/${{ github.repository }}:${{ github.sha }}",
        registry="ghcr.io",
    ),
    "gitlab": Format(
        template="gitlab.yml", image="$CI_REGISTRY_IMAGE:$CI_COMMIT_SHORT_SHA", registry="$CI_REGISTRY"
    ),
    "woodpecker": Format(template="woodpecker.yml"),
    "travis": Format(template="travis.yml"),
    "cloud-init": Format(template="cloud-init.yml", builds=False),
    "packer": Format(template="packer.pkr.hcl", builds=False),
    "shell": Format(template="bake.sh", builds=False),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the file is for."""

    spec: Spec
    """Its version is resolved."""
    tool: str
    """What pip installs."""
    image: str = ""
    """As it is to be pushed; empty: what the CI system has a place for."""


def recipe(name: str, wanted: Wanted) -> str:
    """The whole file. Raises UsageError for what it cannot be made without."""
    chosen = ROWS[name]
    platforms = wanted.spec.platforms
    if chosen.builds and not platforms:
        raise UsageError(
            "the build needs platforms, and the configuration names none",
            hint="Set platforms in provision.toml, or give --platforms.",
        )
    if chosen.builds and not wanted.image and not chosen.image:
        raise UsageError(
            f"{name} has no registry of its own", hint="Say where it pushes to: --image REGISTRY/NAME:TAG."
        )
    tls = wanted.spec.buildkit.tls
    given = {
        "tool": wanted.tool,
        "key": hashlib.sha256(f"{wanted.tool} {wanted.spec.buildkit.version}".encode()).hexdigest()[:12],
        "version": wanted.spec.buildkit.version,
        "configuration": written(wanted.spec),
        "platforms": ",".join(platforms or ()),
        "image": str(parse(wanted.image)) if wanted.image else chosen.image,
        "registry": parse(wanted.image).host if wanted.image else chosen.registry,
        "own_registry": not wanted.image,
        "own_files": [file for file in (tls.cert, tls.key) if file] if tls else [],
        "stop": [each.commands.stop.line for each in MANAGERS],
        "paths": paths,
    }
    parts = {part: render(f"export/parts/{part}.sh", **given) for part in _PARTS}
    return render(f"export/{chosen.template}", **given, **parts)
