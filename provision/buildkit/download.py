"""A verified file in a cache, named by its SHA-256: fetched once, resumed after a cut, there only whole."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provision.buildkit.asset import EMPTY_FILE
from provision.buildkit.digest import Digest, known_as
from provision.buildkit.errors import CutError, explain_local
from provision.buildkit.source import CHUNK, open_at, shown
from provision.errors import ChecksumError, ReleaseError

DownloadProgress = Callable[[int, int | None], None]
"""Called with the bytes held so far and the size of the whole, None while unknown."""

LARGEST: Final = 1 << 30
"""Bytes. An archive has about 90 MB; the cap keeps a broken or hostile mirror from filling the disk."""

_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class _Job:
    location: str
    digest: Digest
    part: Path
    progress: DownloadProgress
    begins: bytes


def download(
    location: str,
    digest: Digest,
    cache_dir: Path,
    progress: DownloadProgress | None = None,
    *,
    pause: float = 1.0,
    begins: bytes = _GZIP,
) -> Path:
    """The file at `location` (URL or path), verified, as `cache_dir`/SHA256.

    A file that is there already is hashed again and used. An interrupted transfer leaves SHA256.part, and the next
    one resumes there; a cut is retried once after `pause` seconds. Threads and processes that want the same
    file wait for one transfer. `begins` are the first bytes of every such file, for the words of an error.
    Raises ChecksumError, with nothing kept, if the file is not what `digest` says; otherwise ReleaseError.
    """
    if digest.value == EMPTY_FILE:
        raise ChecksumError(
            "the digest of an empty file proves nothing", hint="Give the archive's own digest."
        )
    final = cache_dir / digest.value
    job = _Job(
        location=location,
        digest=digest,
        part=final.with_suffix(".part"),
        progress=progress or (lambda _done, _all: None),
        begins=begins,
    )
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(final.with_suffix(".lock")):
            if not _holds(final, digest):
                _fill(job, pause)
                job.part.replace(final)
    except OSError as error:
        raise explain_local(error, str(cache_dir)) from error
    return final


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """flock(2) belongs to the open file, so it parts threads as well as processes, and ends as they end."""
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(job: _Job, pause: float) -> None:
    """Transfers until the part is whole: one retry after a cut, one fresh start where resuming misled."""
    retries = 1
    while True:
        resumed = _size(job.part)
        if resumed and _holds(job.part, job.digest):
            return
        try:
            _append(job, resumed)
        except CutError as error:
            if not retries:
                raise _interrupted(job, error) from error
            retries -= 1
            time.sleep(pause)
            continue
        if _holds(job.part, job.digest):
            return
        problem = _mismatch(job)
        job.part.unlink()
        if not resumed:
            raise problem


def _append(job: _Job, offset: int) -> None:
    with open_at(job.location, offset) as stream, job.part.open("r+b" if offset else "wb") as file:
        done = file.seek(stream.start)
        file.truncate()  # the server began at the start again
        job.progress(done, stream.total)
        for chunk in stream.chunks():
            done += len(chunk)
            if done > LARGEST:
                job.part.unlink()
                raise ChecksumError(
                    f"{shown(job.location)} does not end",
                    cause=f"it is larger than {LARGEST} bytes",
                    hint="Check what the mirror sends.",
                )
            file.write(chunk)
            job.progress(done, stream.total)


def _holds(path: Path, digest: Digest) -> bool:
    return path.is_file() and sha256_of(path) == digest.value


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in lower-case hex. Raises OSError."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _interrupted(job: _Job, error: CutError) -> ReleaseError:
    kept = _size(job.part)
    hint = f"Run it again: {kept} bytes are kept, and the download resumes there." if kept else error.hint
    return ReleaseError(f"{shown(job.location)}: {error.message}", cause=error.cause, hint=hint)


def _mismatch(job: _Job) -> ChecksumError:
    got = sha256_of(job.part)
    return ChecksumError(
        f"{shown(job.location)} is not the file it should be: expected sha256 {job.digest.value}, got {got}",
        cause=_likely_cause(job, got),
        hint="Nothing was unpacked or kept. Check the mirror or proxy, and buildkit.sha256 if it is set.",
    )


def _likely_cause(job: _Job, got: str) -> str:
    if got == EMPTY_FILE:
        return "the answer was empty"
    with job.part.open("rb") as file:
        if file.read(len(job.begins)) != job.begins:
            thing = "archive" if job.begins == _GZIP else "program"
            return f"the answer is no {thing} but, most likely, the page of a login or a proxy"
    if (name := known_as(got)) is not None:
        return f"it is {name}"
    if job.digest.source == "user" and (name := known_as(job.digest.value)) is not None:
        return f"the digest you gave is that of {name}"
    return "it was cut short, is another build, or was tampered with"
