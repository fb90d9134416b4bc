"""buildx for this machine: the one that is here, else a release whose digest is known, else one that is built.

Docker publishes a list of digests only beside the releases, where whoever can replace the one can replace the other.
So a release is taken if the user gives its digest. Else buildx is compiled from its Go module, which the go.sum that
comes with this tool verifies. Either is put where Docker looks for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from provision.architectures import normalise
from provision.builder import buildx
from provision.builder.buildx import Buildx
from provision.buildkit.digest import Digest
from provision.buildkit.download import download
from provision.buildkit.errors import explain_local
from provision.buildkit.go import build
from provision.buildkit.go.module import BUILDX, pinned
from provision.report.progress import Progress
from provision.result import StepResult
from provision.spec import Buildx as Settings

RELEASES = "https://github.com/docker/buildx/releases/download"
_NAME = "buildx"
_ELF = b"\x7fELF"


@dataclass(frozen=True, kw_only=True)
class Present:
    """buildx, and what was done to have it."""

    buildx: Buildx
    steps: tuple[StepResult, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Watch:
    """The stages of a build as steps."""

    progress: Progress

    def go_on(self) -> None:
        """Ctrl-C reaches the main thread, which waits for Go."""

    def begin(self, stage: str, text: str) -> None:
        self.progress.step(_NAME, stage, "begin", text)

    def count(self, stage: str, done: int, total: int | None) -> None:
        self.progress.count(_NAME, stage, done, total)

    def end(self, stage: str) -> None:
        self.progress.step(_NAME, stage, "done", "")


def present(settings: Settings, cache: Path, progress: Progress) -> Present:
    """The buildx of this machine, which is fetched or built now if there is none.

    Raises ChecksumError, ReleaseError and StoppedBuildError as `download` and `go.build.build`.
    """
    found = buildx.find()
    if found:
        return Present(buildx=found)
    target, version = buildx.own_place(), pinned(BUILDX).version_of(BUILDX)
    platform = normalise("linux", os.uname().machine, "")
    key = platform.replace("/", "-")
    if given := settings.sha256.get(key):
        words = _downloaded(settings, version, key, given, cache, target, progress)
    else:
        words = build.build_buildx(platform, cache, target, _Watch(progress=progress))
    step = StepResult(
        id="buildx", action="install", target=f"buildx {version} as {target}", status="done", detail=words
    )
    return Present(buildx=Buildx(program=target), steps=(step,))


def _downloaded(
    settings: Settings, version: str, key: str, sha256: str, cache: Path, target: Path, progress: Progress
) -> str:
    """Put a release in its place; where it came from."""
    location = f"{settings.mirror or RELEASES}/{version}/buildx-{version}.{key}"
    digest = Digest(value=sha256, source="user")
    archive = download(
        location,
        digest,
        cache,
        lambda done, total: progress.transfer(_NAME, "download", done, total),
        begins=_ELF,
    )
    try:
        build.place_program(archive, target)
    except OSError as error:
        raise explain_local(error, str(target)) from error
    return f"{location}, sha256 {sha256}"
