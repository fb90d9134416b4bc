"""A static program for any platform: prints what it was built for and what `uname` says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.lab.cache import Cache, fingerprint

SOURCE = Path(__file__).parent / "hello"


def hello(goarch: str, *, variant: str = "", cache: Cache | None = None) -> Path:
    """The program for Go's architecture name `goarch`; `variant` is GOARM ("6", "7") where that matters."""

    def build(target: Path) -> None:
        environment = {**os.environ, "GOOS": "linux", "GOARCH": goarch, "CGO_ENABLED": "0", "GOARM": variant}
        command = [
            "go",
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            "-s -w",
            "-o",
            str(target),
            ".",
        ]
        subprocess.run(command, cwd=SOURCE, env=environment, check=True)

    key = fingerprint(goarch, variant, SOURCE / "main.go", SOURCE / "go.mod")
    return (cache or Cache.default()).get(f"hello-{goarch}{variant}", key, build)
