"""buildx, compiled by the product from its Go module, once."""

from __future__ import annotations

from pathlib import Path
from platform import machine

from provision.architectures import normalise
from provision.buildkit.go import toolchain
from provision.buildkit.go.build import build_buildx
from provision.buildkit.go.module import BUILDX, pinned
from tests.lab.cache import Cache, fingerprint
from tests.lab.release import workshop


def buildx(cache: Cache | None = None) -> Path:
    """The program `docker-buildx`, alone in its folder."""
    module = pinned(BUILDX)
    key = fingerprint(module.fingerprint, toolchain.find().builds(module.go))

    def build(target: Path) -> None:
        build_buildx(normalise("linux", machine(), ""), workshop(cache), target / "docker-buildx")

    return (cache or Cache.default()).get("buildx", key, build) / "docker-buildx"
