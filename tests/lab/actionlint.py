"""The linter of GitHub's workflows, compiled from its Go module."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from tests.lab.cache import Cache, fingerprint

MODULE: Final = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"


def actionlint() -> Path:
    """The program. A Go on PATH compiles it."""

    def build(target: Path) -> None:
        target.mkdir()
        subprocess.run(
            ["go", "install", MODULE],
            check=True,
            capture_output=True,
            env={**os.environ, "GOBIN": str(target), "GOTOOLCHAIN": "auto", "CGO_ENABLED": "0"},
        )

    return Cache.default().get("actionlint", fingerprint(MODULE), build) / "actionlint"
