"""Which BuildKit a host gets: a release, or one that this machine builds from source.

`auto` builds where no release is published for the processor, or where the release host gives no answer. It never
builds in place of a release that failed its checksum, nor where the user named a mirror or a digest: who does that
has said which archive it shall be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from provision import paths
from provision.buildkit import release as releases
from provision.buildkit.asset import built_for
from provision.buildkit.digest import Digest
from provision.buildkit.errors import NoAssetError, SilentError
from provision.buildkit.go.store import Built, Store
from provision.buildkit.release import Release, Unbuilt, resolve
from provision.buildkit.source import open_at
from provision.buildkit.version import warnings
from provision.errors import ReleaseError
from provision.lazy import LazyModule
from provision.spec import LATEST, Buildkit

if TYPE_CHECKING:  # most runs build nothing
    from provision.buildkit.go import build as go
    from provision.buildkit.go.watch import Watch
else:
    go = LazyModule("provision.buildkit.go.build")


def wanted_version(buildkit: Buildkit, cache: Path) -> str:
    """The version to install, as `release.wanted_version`; the Go proxy knows the latest of what is to be built.

    Raises as that, or as `go.build.latest`.
    """
    if buildkit.version != LATEST:
        return buildkit.version
    if buildkit.source != "go":
        try:
            return releases.wanted_version(buildkit)
        except SilentError:
            if not may_build(buildkit):
                raise
    return releases.suited(buildkit, go.latest(cache), "the Go proxy")


def choose(
    buildkit: Buildkit,
    *,
    version: str,
    machine: str,
    userland_bits: int,
    installed: Mapping[str, str],
    cache: Path,
) -> Release | Unbuilt:
    """What a host with this `uname -m` is to get. Asks the network only as `resolve` does, and builds nothing.

    `installed` are the releases on the host (folder -> SHA-256), `cache` is where this machine keeps archives.
    Raises as `resolve`; for a build ReleaseError if Go does not compile for the machine.
    """
    if buildkit.source == "go":
        return _from_source(version, machine, "", cache)
    try:
        release = resolve(buildkit, version=version, machine=machine, userland_bits=userland_bits)
    except (NoAssetError, SilentError) as error:
        if not may_build(buildkit):
            raise
        return _from_source(version, machine, error.message, cache)
    if may_build(buildkit) and not _is_installed(release, installed):
        for each in _earlier(version, machine, cache):
            if _is_installed(each, installed):
                return each
    return release


def may_build(buildkit: Buildkit) -> bool:
    """Whether a build may stand in for a release."""
    return buildkit.source == "auto" and buildkit.mirror is None and not buildkit.sha256


def reachable(release: Release, machine: str, cache: Path) -> Release | Unbuilt:
    """The same release if this machine has it or the release host answers; else what is built instead.

    An answer that is a refusal is an answer: the download will meet it again, and say what it means.
    """
    if (cache / release.digest.value).is_file():
        return release
    try:
        with open_at(release.location):
            return release
    except SilentError as error:
        return _from_source(release.version, machine, error.message, cache)
    except ReleaseError:
        return release


def built(wanted: Unbuilt, cache: Path, watch: Watch) -> Release:
    """Build it now, which takes minutes. Raises as `go.build.build`."""
    return _as_release(go.build(wanted.version, wanted.asset.platform, cache, watch), wanted)


def _from_source(version: str, machine: str, why: str, cache: Path) -> Release | Unbuilt:
    wanted = Unbuilt(asset=built_for(version, machine), why=why)
    known = go.known(version, wanted.asset.platform, cache)
    return _as_release(known, wanted) if known else wanted


def _earlier(version: str, machine: str, cache: Path) -> Iterator[Release]:
    asset = built_for(version, machine)
    for each in Store(cache=cache).earlier(version, asset.platform):
        yield _as_release(each, Unbuilt(asset=asset, why=""))


def _is_installed(release: Release, installed: Mapping[str, str]) -> bool:
    digest = release.digest.value
    return installed.get(paths.release(release.version, digest)) == digest


def _as_release(archive: Built, wanted: Unbuilt) -> Release:
    """An archive of the cache, as if it were a release that was downloaded."""
    note = f"BuildKit is {archive.words}."
    if wanted.why:
        note = f"{wanted.why}: {note}"
    digest = Digest(value=archive.sha256, source="built", note=note)
    return Release(
        asset=wanted.asset,
        location=str(archive.archive),
        digest=digest,
        notes=(*warnings(archive.source.version), note),
    )
