"""A BuildKit release, built here and laid out like the ones upstream publishes.

`buildkitd` and `buildctl` are pinned tool dependencies of the Go module in `buildkit/`; `buildkit-runc` is
the distribution's runc. The real asset's runc is static and this one needs libseccomp, which every
Debian with systemd has (systemd links it).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.spec import DEFAULT_VERSION
from tests.lab.cache import Cache, fingerprint

MODULE = Path(__file__).parent / "buildkit"
VERSION = DEFAULT_VERSION
EARLIER = "v0.31.2"
# Every member carries this time, so the same inputs give the same archive and the same digest.
EPOCH = 1_700_000_000


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
    platform = f"linux-{_go('env', 'GOHOSTARCH').strip()}"
    asset = f"buildkit-{version}.{platform}.tar.gz"
    built = _built(version, asset, cache or Cache.default())
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


def pack(target: Path, members: Mapping[str, Path]) -> None:
    """A gzipped tar of `members` (name in the archive: file), the same bytes for the same content."""
    with (
        target.open("wb") as raw,
        # No name and no time in the gzip header, and little CPU spent on it.
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, path in sorted(members.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = path.stat().st_size, 0o755, EPOCH
            with path.open("rb") as content:
                archive.addfile(member, content)


def runc() -> Path | None:
    """The distribution's runc; `sbin` is on no normal user's PATH."""
    found = shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return Path(found) if found else None


def _built(version: str, asset: str, cache: Cache) -> Path:
    container_runtime = runc()
    if container_runtime is None:
        raise FileNotFoundError("runc")
    inputs = (MODULE / "go.mod", MODULE / "go.sum", container_runtime)
    key = fingerprint(version, asset, _go("env", "GOVERSION"), *inputs)

    def build(target: Path) -> None:
        tools = target.parent / "tools"
        compile_tools(tools, version)
        members = {f"bin/{path.name}": path for path in tools.iterdir()}
        pack(target, {**members, "bin/buildkit-runc": container_runtime})

    return cache.get("release", key, build)


def compile_tools(folder: Path, version: str) -> None:
    """Build the module's tools into `folder`; another `version` of the same sources is only a link away."""
    folder.mkdir()
    # Without -X they call themselves "v0.0.0+unknown"; -s -w leave out what only a debugger reads.
    flags = f"-s -w -X github.com/moby/buildkit/version.Version={version}"
    _go("build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", f"{folder}/", "tool")


def _go(*arguments: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        ["go", *arguments], cwd=MODULE, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"go {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout
