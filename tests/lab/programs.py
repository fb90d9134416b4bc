"""Static programs of Go: one for any platform that prints what it was built for, and a stand-in for an emulator."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.lab.cache import Cache, fingerprint

FOLDER = Path(__file__).parent


def hello(goarch: str, *, variant: str = "", cache: Cache | None = None) -> Path:
    """Prints its platform and what `uname` says. `goarch` is Go's name, `variant` GOARM ("6", "7") for arm."""
    return _built("hello", goarch, variant, cache)


def emulator(*, cache: Cache | None = None) -> Path:
    """An emulator of probe programs, of this machine. The name of its file says what it does besides."""
    return _built("emulator", "amd64", "", cache)


def _built(name: str, goarch: str, variant: str, cache: Cache | None) -> Path:
    source = FOLDER / name

    def build(target: Path) -> None:
        environment = {**os.environ, "GOOS": "linux", "GOARCH": goarch, "CGO_ENABLED": "0", "GOARM": variant}
        words = ("-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(target), ".")
        subprocess.run(["go", "build", *words], cwd=source, env=environment, check=True)

    key = fingerprint(goarch, variant, source / "main.go", source / "go.mod")
    return (cache or Cache.default()).get(f"{name}-{goarch}{variant}", key, build)
