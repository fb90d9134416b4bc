"""What was built, in the cache: whole or not at all, whatever ends a build.

Archives are beside those of releases, named by their SHA-256. Below the folder `go` are `built` (what each
archive was built from and by), `resolved` (go.mod and go.sum of versions that are not pinned), `toolchains` (Go
from the Python index), and `modules`, `build` and `path` (what Go keeps).
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from provision.buildkit.download import sha256_of
from provision.buildkit.go.module import BUILDKIT
from provision.buildkit.go.watch import Watch, stage

_WORKSHOP: Final = ".building-"
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a build is made from and by: the same source gives the same programs."""

    version: str
    """Of BuildKit: "v1.2.3"."""
    platform: str
    go: str
    """"go1.26.8"."""
    module: str
    """`Module.fingerprint`."""

    @property
    def name(self) -> str:
        """A file name for it."""
        parts = (self.version, self.platform, self.go, self.module)
        return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part) for part in parts)


@dataclass(frozen=True, kw_only=True)
class Built:
    """An archive with `bin/buildkitd` and `bin/buildctl`."""

    source: Source
    vouched: str
    """Who vouches for the modules: "verified by …"."""
    sha256: str
    archive: Path

    @property
    def words(self) -> str:
        """What it was built from and by, for people."""
        return f"built from {BUILDKIT} {self.source.version} by {self.source.go}, {self.vouched}"


@dataclass(frozen=True, kw_only=True)
class Store:
    """The tool's cache folder, as far as builds are concerned."""

    cache: Path

    @property
    def folder(self) -> Path:
        return self.cache / "go"

    def find(self, source: Source) -> Built | None:
        """The archive of this source, if it is there."""
        return self._read(self._record(source))

    def earlier(self, version: str, platform: str) -> tuple[Built, ...]:
        """Every archive of a version for a platform, whichever Go compiled it."""
        records = sorted(self._records.glob("*.json"))
        found = (self._read(record) for record in records)
        return tuple(
            each
            for each in found
            if each and (each.source.version, each.source.platform) == (version, platform)
        )

    def keep(self, source: Source, vouched: str, archive: Path) -> Built:
        """Move the archive to its place, then write down what it is. Raises OSError."""
        sha256 = sha256_of(archive)
        place = self.cache / sha256
        archive.replace(place)
        record = self._record(source)
        record.parent.mkdir(parents=True, exist_ok=True)
        note = archive.with_suffix(".json")
        note.write_text(json.dumps({"source": asdict(source), "vouched": vouched, "sha256": sha256}))
        note.replace(record)
        return Built(source=source, vouched=vouched, sha256=sha256, archive=place)

    @contextmanager
    def building(self, watch: Watch) -> Iterator[Path]:
        """An empty folder to work in, gone at the end. One build at a time: threads and processes wait.

        The kernel drops an flock with the process that held it; what that process left is removed here.
        Raises OSError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with stage(watch, "build-wait", "wait for another build on this machine"):
                    _await(lock, watch)
            for left in self.folder.glob(f"{_WORKSHOP}*"):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=_WORKSHOP, dir=self.folder) as workshop:
                yield Path(workshop)

    @property
    def _records(self) -> Path:
        return self.folder / "built"

    def _record(self, source: Source) -> Path:
        return self._records / f"{source.name}.json"

    def _read(self, record: Path) -> Built | None:
        try:
            said: Any = json.loads(record.read_text())
            source = Source(**said["source"])
            archive = self.cache / said["sha256"]
            built = Built(source=source, vouched=said["vouched"], sha256=said["sha256"], archive=archive)
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return built if archive.is_file() else None


def _await(lock: IO[bytes], watch: Watch) -> None:
    """Takes the lock as soon as it is free. `watch` is asked meanwhile, as it may want the build to end."""
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        watch.go_on()
        time.sleep(_LOOK_SECONDS)
