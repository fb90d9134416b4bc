"""What BuildKit needs on a host: a release for it, a way to get it there, room, and a service manager. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from provision import paths
from provision.buildkit.release import Unbuilt
from provision.errors import ProvisionError, ReleaseError
from provision.facts import managers, packages
from provision.fix import PROVISION, Fix
from provision.plan.download import obstacle
from provision.plan.requirements.requirement import Verdict, doubtful, met, refused, requirement, unmet
from provision.plan.target import Target

ROOM: Final = 1 << 20
"""KiB that a release needs while it is unpacked: the archive, the programs, and a safety margin."""
OLDEST_RUNC: Final = (1, 1)
SENT: Final = "this machine can send it"
NOT_NEEDED: Final = "not needed: nothing is to be unpacked"


@requirement("service", needed="the service manager that buildkitd is to be run by")
def service_manager(target: Target) -> Verdict:
    """Something has to start the daemon. Without a service manager, a script does, and nothing starts it again."""
    manager, system = managers.service_manager(target.spec, target.facts), target.facts.system
    if not managers.runs(manager, system):
        words = f'boot the machine with {manager.title}, or set [buildkit] service = "auto"'
        return unmet(f"{manager.title} does not run here", fix=Fix(words=words))
    versions = {"systemd": system.systemd, "openrc": system.openrc}
    if version := versions.get(manager.name):
        return met(f"{manager.title} {version}")
    init = f"process 1 is {system.init}, " if system.init else ""
    return met(f"{init}{manager.title}: a script starts buildkitd, and nothing starts it again")


@requirement(
    "release", needed="a BuildKit release for this machine that can be verified", error=ReleaseError
)
def release(target: Target) -> Verdict:
    """The version, the archive for the processor, and the digest that vouches for it."""
    system = target.facts.system
    machine = f"{system.machine}, {system.userland_bits}-bit programs"
    if isinstance(target.release, ProvisionError):
        return refused(target.release)
    asset = target.release.asset
    if isinstance(target.release, Unbuilt):
        why = f": {target.release.why}" if target.release.why else ""
        return met(f"{asset.version} for {asset.key} on {machine}, built from source on this machine{why}")
    notes = f" ({asset.notes[0].rstrip('.')})" if asset.notes else ""
    return met(f"{asset.version} for {asset.key} on {machine}{notes}")


@requirement("download", needed='a way to get the release: [buildkit] fetch = "host" leaves it to the host')
def download(target: Target) -> Verdict:
    """With "auto" and "controller" this machine sends what the host cannot download."""
    if isinstance(target.release, ProvisionError) or not target.unpacks:
        return met(NOT_NEEDED)
    if target.built_here and target.spec.buildkit.fetch == "host":
        return _for_host_alone("this machine builds it")
    if isinstance(target.release, Unbuilt):
        return met(SENT)
    if target.spec.buildkit.fetch != "host" or target.release.digest.value in target.facts.cached:
        return met(SENT)
    if why := obstacle(target.release, target.facts):
        return _for_host_alone(why)
    return met("the host downloads it")


def _for_host_alone(why: str) -> Verdict:
    fix = Fix.by(replace(PROVISION, options=(("fetch", "auto"),)), words='or set [buildkit] fetch = "auto"')
    return unmet(f"this host cannot download the release itself: {why}", fix=fix)


@requirement("runc", needed="runc 1.1 or newer, which a BuildKit that is built from source does not bring")
def runc(target: Target) -> Verdict:
    """BuildKit gives it --keep, which came with runc 1.1.0. A release brings one of its own."""
    if not target.built_here:
        return met("not needed: the release brings its own")
    found = target.facts.runc
    if found is not None and found.number >= OLDEST_RUNC:
        return met(f"{found.path} is runc {found.version}")
    if found is not None:
        seen = f"{found.path} is runc {found.version or 'of no known version'}"
        return unmet(seen, fix=Fix(words="install a newer runc"))
    manager = packages.manager(target.facts)
    if manager is None:
        return unmet("there is no runc, and no known package manager", fix=Fix(words="install runc"))
    return doubtful(
        "there is no runc", fix=Fix.by(PROVISION, words=f"which installs it by {manager.command}")
    )


@requirement("cni", needed='the CNI plugins of a release, for [buildkit] network = "bridge"')
def cni(target: Target) -> Verdict:
    """The daemon looks for buildkit-cni-bridge on its PATH (util/network/cniprovider/bridge.go)."""
    if target.spec.buildkit.network != "bridge":
        return met("not needed")
    if not target.built_here:
        return met("the release brings them")
    return unmet(
        "BuildKit is built from source, which brings no CNI plugins",
        fix=Fix(words='set [buildkit] source = "release", or another network'),
    )


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
