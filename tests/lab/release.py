"""A BuildKit release, built here and laid out like the ones upstream publishes.

The product builds `buildkitd` and `buildctl` from source. `buildkit-runc` is built from its Go module as upstream
builds it: static, with libseccomp, so that it runs on every system.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from platform import machine

from provision.architectures import go_environment, normalise
from provision.buildkit.go import toolchain
from provision.buildkit.go.archive import pack
from provision.buildkit.go.build import build, compile_commands, prepare
from provision.buildkit.go.module import pinned
from provision.buildkit.go.store import Store
from provision.buildkit.go.watch import Nobody
from provision.spec import DEFAULT_VERSION
from tests.lab.cache import Cache, fingerprint

RUNC = Path(__file__).parent / "runc"
VERSION = DEFAULT_VERSION
EARLIER = "v0.31.2"


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release in a mirror folder: `mirror/version/asset`, its provenance beside it."""

    version: str
    platform: str
    asset: str
    path: Path
    provenance: Path
    sha256: str
    mirror: Path


def publish(mirror: Path, *, version: str = VERSION, cache: Cache | None = None) -> Release:
    """Put the release into the folder `mirror`. These are copies: a test may do to them as it likes."""
    native = normalise("linux", machine(), "")
    platform = native.replace("/", "-")
    asset = f"buildkit-{version}.{platform}.tar.gz"
    built = _built(version, asset, native, cache or Cache.default())
    place = mirror / version
    place.mkdir(parents=True, exist_ok=True)
    path = Path(shutil.copyfile(built, place / asset))
    sha256 = digest(path)
    provenance = place / f"buildkit-{version}.{platform}.provenance.json"
    provenance.write_text(json.dumps(statement(asset, sha256)))
    return Release(
        version=version,
        platform=platform,
        asset=asset,
        path=path,
        provenance=provenance,
        sha256=sha256,
        mirror=mirror,
    )


def digest(path: Path) -> str:
    """The file's SHA-256 in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def statement(asset: str, sha256: str) -> dict[str, object]:
    """The in-toto statement that BuildKit's own exporter writes beside an asset (the parts one reads)."""
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v1",
        "subject": [{"name": asset, "digest": {"sha256": sha256}}],
        "predicate": {},
    }


def runc(cache: Cache | None = None) -> Path:
    """The program that starts build steps, compiled once by a Go on PATH."""
    # As BuildKit's Dockerfile does.
    tags = "apparmor seccomp netgo cgo static_build osusergo"
    words = ("-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", "-s -w -extldflags -static")

    def build(target: Path) -> None:
        environment = {**os.environ, "CGO_ENABLED": "1", "GOTOOLCHAIN": "auto"}
        command = ["go", "build", *words, "-o", str(target), "github.com/opencontainers/runc"]
        subprocess.run(command, cwd=RUNC, env=environment, check=True)

    key = fingerprint(*words, RUNC / "go.mod", RUNC / "go.sum")
    return (cache or Cache.default()).get("runc", key, build)


def workshop(cache: Cache | None = None) -> Path:
    """Where the product keeps what it builds for tests, and what Go keeps meanwhile."""
    return (cache or Cache.default()).folder / "built"


def _built(version: str, asset: str, platform: str, cache: Cache) -> Path:
    container_runtime = runc(cache)
    found, module = toolchain.find(), pinned()
    key = fingerprint(version, asset, found.builds(module.go), module.fingerprint, container_runtime)

    def build_it(target: Path) -> None:
        folder = target.parent / "release"
        if version == module.version:
            with tarfile.open(build(version, platform, workshop(cache)).archive) as archive:
                archive.extractall(folder, filter="data")
            programs: Mapping[str, Path] = {f"bin/{path.name}": path for path in (folder / "bin").iterdir()}
        else:
            programs = _relinked(version, platform, folder, workshop(cache))
        pack(target, {**programs, "bin/buildkit-runc": container_runtime})

    return cache.get("release", key, build_it)


def _relinked(version: str, platform: str, folder: Path, cache: Path) -> Mapping[str, Path]:
    """The same sources under another version, which is only a link away."""
    store = Store(cache=cache)
    with store.building(Nobody()):
        target = go_environment(platform)
        go = prepare(toolchain.find(), store, f"BuildKit {version}", target, Nobody())
        pinned().write(folder)
        return compile_commands(go, folder, version, Nobody())
