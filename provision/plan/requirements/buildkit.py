"""What BuildKit needs on a host: a release for it, a way to get it there, room, and a service manager. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from provision import paths
from provision.buildkit.release import Release
from provision.errors import ReleaseError
from provision.fix import PROVISION, Fix
from provision.plan.download import obstacle
from provision.plan.requirements.emulation import USE_THE_MACHINE
from provision.plan.requirements.requirement import Verdict, met, refused, requirement, unmet
from provision.plan.target import Target

ROOM: Final = 1 << 20
"""KiB that a release needs while it is unpacked: the archive, the programs, and a safety margin."""
NOT_NEEDED: Final = "not needed: nothing is to be unpacked"


@requirement("service-manager", needed="systemd, for buildkitd's service")
def service_manager(target: Target) -> Verdict:
    """Something has to start the daemon, and start it again."""
    version = target.facts.system.systemd
    if version:
        return met(f"systemd {version}")
    fix = Fix(words=f"boot the machine with systemd; in a container, {USE_THE_MACHINE}")
    return unmet("systemd does not run here", fix=fix)


@requirement(
    "release", needed="a BuildKit release for this machine that can be verified", error=ReleaseError
)
def release(target: Target) -> Verdict:
    """The version, the archive for the processor, and the digest that vouches for it."""
    system = target.facts.system
    machine = f"{system.machine}, {system.userland_bits}-bit programs"
    if not isinstance(target.release, Release):
        return refused(target.release)
    asset = target.release.asset
    notes = f" ({asset.notes[0].rstrip('.')})" if asset.notes else ""
    return met(f"{asset.version} for {asset.key} on {machine}{notes}")


@requirement("download", needed='a way to get the release: [buildkit] fetch = "host" leaves it to the host')
def download(target: Target) -> Verdict:
    """With "auto" and "controller" this machine sends what the host cannot download."""
    if not isinstance(target.release, Release) or not target.unpacks:
        return met(NOT_NEEDED)
    if target.spec.buildkit.fetch != "host" or target.release.digest.value in target.facts.cached:
        return met("this machine can send it")
    if why := obstacle(target.release, target.facts):
        fix = Fix.by(
            replace(PROVISION, options=(("fetch", "auto"),)), words='or set [buildkit] fetch = "auto"'
        )
        return unmet(f"this host cannot download the release itself: {why}", fix=fix)
    return met("the host downloads it")


@requirement("room", needed=f"{ROOM >> 10} MiB while a release is unpacked")
def room(target: Target) -> Verdict:
    """A host that has the release needs no room for it, however full its disk is."""
    disk = target.facts.disks.get(paths.RELEASES)
    seen = f"{disk.free >> 10} MiB are left for {paths.RELEASES}" if disk else "unknown"
    if not target.unpacks:
        return met(f"{seen}; {NOT_NEEDED}")
    if disk is None or disk.free >= ROOM:
        return met(seen)
    return unmet(seen, fix=Fix(words=f"free some room there, or mount a larger disk at {paths.RELEASES}"))
