"""The files of this checkout, as a clone holds them: what git tracks or would add, nothing that was made."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Where there is no git, or no repository (a source archive): what the tools make here.
MADE: Final = frozenset(
    {
        ".git",
        ".venv",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        ".vagrant",
    }
)


def files() -> list[Path]:
    """Absolute paths, sorted."""
    names = _listed_by_git()
    if names is not None:
        found = [ROOT / name for name in names]
    else:
        found = [path for path in ROOT.rglob("*") if not MADE & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file())


def _listed_by_git() -> list[str] | None:
    """None where there is no git or no repository."""
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return [name for name in listing.stdout.decode().split("\0") if name]


def copy(target: Path) -> None:
    """The checkout once more, at `target`, modes kept."""
    for path in files():
        place = target / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)


def archive() -> bytes:
    """The same as a tar archive, to be unpacked on another machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in files():
            tar.add(path, arcname=str(path.relative_to(ROOT)))
    return buffer.getvalue()
