"""A release that unpacks, and whose daemon ends as soon as it is started."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from provision.buildkit.go.archive import pack
from tests.lab.cache import Cache, fingerprint
from tests.lab.release import Release, digest

SOURCE = Path(__file__).parent / "daemon"


def spoil(release: Release, version: str, folder: Path) -> str:
    """Put such a release of that version into the mirror of a good one; its digest."""

    def build(target: Path) -> None:
        environment = {**os.environ, "CGO_ENABLED": "0"}
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-o", str(target), "."]
        subprocess.run(command, cwd=SOURCE, env=environment, check=True)

    key = fingerprint(SOURCE / "main.go", SOURCE / "go.mod")
    daemon = Cache.default().get("broken-daemon", key, build)
    with tarfile.open(release.path) as archive:
        archive.extractall(folder, filter="data")
    programs = {f"bin/{path.name}": path for path in (folder / "bin").iterdir()}
    made = release.mirror / version / release.asset.replace(release.version, version)
    made.parent.mkdir(parents=True, exist_ok=True)
    pack(made, {**programs, "bin/buildkitd": daemon})
    return digest(made)
