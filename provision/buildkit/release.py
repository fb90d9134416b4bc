"""One BuildKit release for one machine: which archive, where it is, what it must hash to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provision.buildkit.asset import Asset, asset_for
from provision.buildkit.compatibility import conflicts
from provision.buildkit.digest import Digest, digest_for
from provision.buildkit.download import DownloadProgress, download, sha256_of
from provision.buildkit.errors import MissingError, explain_local
from provision.buildkit.latest import latest
from provision.buildkit.source import base_of, shown
from provision.buildkit.version import warnings
from provision.errors import ChecksumError, ReleaseError
from provision.spec import LATEST, Buildkit


@dataclass(frozen=True, kw_only=True)
class Release:
    """An archive to fetch."""

    asset: Asset
    location: str
    """A URL (it may hold a login: show it through `source.shown`) or an absolute path on this machine."""
    digest: Digest
    notes: tuple[str, ...]
    """Sentences for the report: warnings about the version, what was chosen, where its digest comes from."""

    @property
    def version(self) -> str:
        return self.asset.version

    @property
    def built(self) -> bool:
        """Whether this machine has built it. Such an archive holds no runc and no CNI plugins."""
        return self.digest.source == "built"


@dataclass(frozen=True, kw_only=True)
class Unbuilt:
    """A BuildKit that this machine has to build before it can be installed."""

    asset: Asset
    why: str
    """Why it is no release: a clause without its full stop. Empty where the user asked for a build."""

    @property
    def version(self) -> str:
        return self.asset.version


def wanted_version(buildkit: Buildkit) -> str:
    """The version to install as a tag; asks the release host or mirror if it is to be the latest.

    Raises ReleaseError if the latest cannot be found out, or is one that the settings cannot be used with. For a
    version that the configuration names, its reader has judged that.
    """
    if buildkit.version != LATEST:
        return buildkit.version
    return suited(buildkit, latest(buildkit.mirror), shown(base_of(buildkit.mirror)))


def suited(buildkit: Buildkit, newest: str, place: str) -> str:
    """The same version, which `place` says is the newest. Raises ReleaseError if the settings do not allow it."""
    if found := conflicts(buildkit, newest):
        raise ReleaseError(
            f"the newest BuildKit at {place} is {newest}, which does not suit the settings",
            cause="; ".join(f"{each.setting} {each.problem}" for each in found),
            hint="Put a newer release there, or change these settings.",
        )
    return newest


def resolve(buildkit: Buildkit, *, version: str, machine: str, userland_bits: int = 64) -> Release:
    """The archive of `version` (from `wanted_version`: a fleet asks once) for a machine's `uname -m`.

    Uses the network only where neither the user nor the pinned table has the archive's digest.
    Raises ReleaseError for a machine that is refused, ChecksumError if no digest is known.
    """
    asset = asset_for(version, machine, userland_bits)
    location = f"{base_of(buildkit.mirror)}/{version}/{asset.name}"
    digest = digest_for(asset, given=buildkit.sha256, location=location)
    notes = (*warnings(version), *asset.notes, *((digest.note,) if digest.note else ()))
    return Release(asset=asset, location=location, digest=digest, notes=notes)


def fetch(
    release: Release, cache_dir: Path, progress: DownloadProgress | None = None, *, pause: float = 1.0
) -> Path:
    """The archive, verified, in `cache_dir`. Raises as `download`."""
    if release.built:
        return _verified(release, Path(release.location))
    try:
        return download(release.location, release.digest, cache_dir, progress, pause=pause)
    except MissingError as error:
        raise ReleaseError(
            f"there is no BuildKit {release.version} for {release.asset.key} at {shown(release.location)}",
            cause=error.cause or error.message,
            hint="Check the version's number; not every version was built for every machine.",
        ) from error


def _verified(release: Release, archive: Path) -> Path:
    """An archive of this machine, which may have been damaged since it was packed."""
    try:
        if sha256_of(archive) == release.digest.value:
            return archive
        archive.unlink()
    except OSError as error:
        raise explain_local(error, str(archive)) from error
    raise ChecksumError(
        f"{archive} is no longer what was built",
        cause="its SHA-256 differs",
        hint="Run it again: it is built anew.",
    )
