"""Releases that unpack, and whose daemon is worse than the one before it."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from typing import Final, Literal

from provision.buildkit.go.archive import pack
from tests.lab.cache import Cache, fingerprint
from tests.lab.release import Release, digest

SOURCE: Final = Path(__file__).parent / "daemon"

Fault = Literal["ends", "hangs", "lists nothing", "lists less", "builds nothing"]
"""What its daemon does once it is started; "builds nothing": that of the good release, with a runc that fails."""


def spoil(release: Release, version: str, folder: Path, fault: Fault = "ends") -> str:
    """Put such a release of that version into the mirror of a good one; its digest."""
    with tarfile.open(release.path) as archive:
        archive.extractall(folder, filter="data")
    programs = {f"bin/{path.name}": path for path in (folder / "bin").iterdir()}
    if fault == "builds nothing":
        programs["bin/buildkit-runc"] = _compiled("ends")
    else:
        if fault == "lists less":
            programs["bin/buildkitd-real"] = programs["bin/buildkitd"]
        programs["bin/buildkitd"] = _compiled(fault)
    made = release.mirror / version / release.asset.replace(release.version, version)
    made.parent.mkdir(parents=True, exist_ok=True)
    pack(made, programs)
    return digest(made)


def _compiled(fault: Fault) -> Path:
    def build(target: Path) -> None:
        environment = {**os.environ, "CGO_ENABLED": "0"}
        flags = f"-X 'main.fault={fault}'"
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(target), "."]
        subprocess.run(command, cwd=SOURCE, env=environment, check=True)

    key = fingerprint(SOURCE / "main.go", SOURCE / "go.mod", fault)
    return Cache.default().get("broken-daemon", key, build)
