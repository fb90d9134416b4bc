"""What this tool puts on a host for BuildKit, and how the host differs from it. Pure.

`plan` makes it so, `health` compares: both ask here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

from provision import paths
from provision.buildkit import daemon
from provision.buildkit.version import is_version
from provision.certificates.files import ServerFiles
from provision.facts import Facts, Mount
from provision.facts.managers import service_manager
from provision.services.manager import ServiceFile, Settings
from provision.spec import Spec

_FOLDER = re.compile(re.escape(paths.RELEASES) + r"/(?P<version>v[^/]+)-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A release in its folder on a host."""

    version: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class Link:
    """A symlink, under the id of the step that makes it."""

    id: str
    path: str
    to: str


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Files and links. `generation` names all that the daemon is started from."""

    files: tuple[ServiceFile, ...]
    links: tuple[Link, ...]
    generation: str


def placed(spec: Spec, facts: Facts, installation: Installation, tls: ServerFiles | None = None) -> Placed:
    """What belongs on the host with that release. The limits follow from its disk (`daemon.render_config`).

    `tls` are the files of the user's own authority as they are wanted; without, those on the host count.
    """
    old = facts.files.get(paths.CONFIG)
    config = daemon.render_config(
        spec.buildkit, installation.version, disk_bytes(facts), before=(old.text or "") if old else ""
    )
    manager = service_manager(spec, facts)
    settings = Settings(buildkit=spec.buildkit, version=installation.version)
    generation = _generation(
        installation.folder,
        config,
        *(each.text for each in manager.files(settings)),
        *_certificates(spec, facts, tls),
    )
    return Placed(
        files=(
            ServiceFile(id="buildkit-config", path=paths.CONFIG, text=config),
            *manager.files(replace(settings, generation=generation)),
        ),
        links=(
            Link(id="release-link", path=paths.CURRENT, to=installation.folder),
            Link(id="buildctl-link", path=paths.BUILDCTL, to=paths.CLIENT),
        ),
        generation=generation,
    )


def current(facts: Facts) -> Installation | None:
    """The release that the host's link names; None where there is none, or it is not this tool's."""
    link = facts.files.get(paths.CURRENT)
    found = _FOLDER.fullmatch(link.target or "") if link else None
    if found is None or not is_version(found["version"]):
        return None
    return Installation(version=found["version"], folder=found[0])


def lost(facts: Facts) -> bool:
    """Whether the link to the release is there and leads to none: to a folder that is gone, or is no release."""
    link, installed = facts.files.get(paths.CURRENT), current(facts)
    if installed is None:
        return link is not None and (link.target or "").startswith(f"{paths.RELEASES}/")
    return installed.folder not in facts.releases


def disk_bytes(facts: Facts) -> int:
    """The size of the filesystem that holds the daemon's state; 0 if it is unknown."""
    disk = facts.disks.get(paths.STATE)
    return disk.size * 1024 if disk else 0


def unwritable(spec: Spec, facts: Facts) -> tuple[str, str]:
    """The first place that the daemon cannot write to, and what was seen there; both are empty if it can to all.

    How full the disk of its state is, is a fact of its own.
    """
    log = () if service_manager(spec, facts).name == "systemd" else (paths.LOG,)
    for path in (paths.STATE, paths.SCRATCH, paths.SOCKET_FOLDER, *log):
        place = facts.basis.places.get(path)
        if place is None:
            continue
        own_disk = path not in (paths.STATE, paths.SCRATCH)
        if place.kind == "file" and place.problem:
            return path, f"{path} cannot be written to: {place.problem}"
        if place.problem and (own_disk or not place.full):
            return path, f"no file can be made in {path}: {place.problem}"
        # Without that folder there is no socket, which has a finding of its own.
        if place.kind == "link" and path != paths.SOCKET_FOLDER:
            return path, f"{path} is a link to {place.target}, which is not there"
        if place.kind == "other" and path != paths.SOCKET_FOLDER:
            return path, f"{path} is no folder"
    return "", ""


def noexec(facts: Facts, folder: str) -> Mount | None:
    """The mount that holds that folder, if no program may run from it."""
    mount = facts.mount_behind(folder)
    return mount if mount and "noexec" in mount.options else None


def astray(facts: Facts) -> str:
    """The folder of a running daemon that was taken away under it; empty if none was. Its next start makes it anew."""
    places = facts.basis.places
    if facts.daemon is None:
        return ""
    if facts.basis.lock is False:
        return paths.STATE
    return next(
        (each for each in (paths.STATE, paths.SCRATCH) if each in places and places[each].kind == "none"), ""
    )


def _certificates(spec: Spec, facts: Facts, tls: ServerFiles | None) -> tuple[str, ...]:
    """The daemon reads them when it starts: a new certificate of the own authority needs a restart."""
    if spec.buildkit.tls is None or not spec.buildkit.tls.own:
        return ()
    seen = facts.basis.certificates
    texts = (
        (tls.trusted, tls.certificate)
        if tls
        else (seen[path].text if path in seen else "" for path in (paths.TLS_CA, paths.TLS_CERT))
    )
    # The facts script ends each text with a line's end, or not.
    return tuple(text.strip() for text in texts)


def _generation(*parts: str) -> str:
    """A name for everything that the daemon is started from: release, settings and unit."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
