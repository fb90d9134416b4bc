"""One folder for what is slow to build, keyed by what it was built from.

An entry is built once: beside its final place, under a lock, and renamed there when it is whole. So a
run that is killed leaves no half entry, and runs side by side build each entry once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "PROVISION_TEST_CACHE"


def default_folder() -> Path:
    """`$PROVISION_TEST_CACHE`, else `provision-tests` in the user's cache folder (XDG base directories)."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "provision-tests"


def fingerprint(*inputs: str | bytes | Path) -> str:
    """A short digest of the inputs in order; a path stands for its file's content."""
    total = hashlib.sha256()
    for item in inputs:
        data = item.read_bytes() if isinstance(item, Path) else item
        data = data.encode() if isinstance(data, str) else data
        # Each part is hashed on its own first, so that ("a", "bc") and ("ab", "c") differ.
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Entries under `folder`: files or folders that are never changed once they are there."""

    folder: Path

    @classmethod
    def default(cls) -> Cache:
        return cls(folder=default_folder())

    def get(self, name: str, key: str, build: Callable[[Path], None]) -> Path:
        """The entry `name` for `key`; `build(target)` makes it at a path that does not exist yet."""
        entry = self.folder / f"{name}-{key}"
        if entry.exists():
            return entry
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(entry.name):
            if not entry.exists():
                self._build(entry, build)
        return entry

    def _build(self, entry: Path, build: Callable[[Path], None]) -> None:
        # In the same folder as the entry: a rename is atomic within one file system only.
        workshop = Path(tempfile.mkdtemp(prefix=".building-", dir=self.folder))
        try:
            target = workshop / entry.name
            build(target)
            target.rename(entry)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """The kernel drops an flock with the process that held it, so a killed run locks nobody out."""
        with (self.folder / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
