"""What the daemon and its build steps need of the host: nobody in the way, a state folder, a network. Pure."""

from __future__ import annotations

from typing import Final

from provision import paths
from provision.buildkit import network as networks
from provision.buildkit.daemon import CAPABILITIES
from provision.facts.managers import service_manager
from provision.facts.strangers import in_the_way, stop
from provision.fix import Fix, run
from provision.placed import unwritable
from provision.plan.requirements.requirement import Verdict, doubtful, met, requirement, unmet
from provision.plan.target import Target

_NO_UPPER: Final = frozenset(("overlay", "nfs", "nfs4", "cifs", "9p", "vfat", "exfat", "ecryptfs"))
"""Filesystems that overlayfs cannot write its layers to (Documentation/filesystems/overlayfs.rst in Linux)."""
_MOUNT: Final = f"mount the larger disk at {paths.STATE} instead (mount --bind, and a line in /etc/fstab)"


@requirement("daemon", needed="no buildkitd of somebody else with the socket or the state")
def nobody_else(target: Target) -> Verdict:
    """Two daemons cannot share a state, and the second one takes the socket away from the first."""
    facts = target.facts
    for each in in_the_way(facts):
        has = paths.SOCKET if each.socket else paths.STATE
        unit = f" of {each.unit}" if each.unit else ""
        seen = f"{each.program} runs as process {each.pid}{unit} and has {has}"
        return unmet(seen, fix=stop(each, facts))
    if facts.unit(paths.SERVICE_SOCKET).active == "active":
        fix = Fix.by(run("systemctl", "disable", "--now", paths.SERVICE_SOCKET))
        return doubtful(f"{paths.SERVICE_SOCKET} of somebody else is active", fix=fix)
    return met("none is in the way")


@requirement("state", needed=f"{paths.STATE} as a folder that can be written to, or nothing there")
def state(target: Target) -> Verdict:
    """What is there belongs to somebody: no step removes it. The folder of the socket and the log count, too."""
    path, seen = unwritable(target.spec, target.facts)
    if not path:
        return met("nothing stands against it")
    place = target.facts.basis.places[path]
    words = f"make it writable for root, or mount another disk at {paths.STATE}"
    if path not in (paths.STATE, paths.SCRATCH):
        words = f"make {path} writable for root"
    elif place.kind == "other":
        words = f"move {path} away"
    elif place.kind == "link":
        words = f"make that folder, or {_MOUNT}"
    return unmet(seen, fix=Fix(words=words))


@requirement("overlay", needed=f"a filesystem for {paths.STATE} that overlayfs works on")
def overlay(target: Target) -> Verdict:
    """Elsewhere the daemon copies each layer in full (its native snapshotter). One that runs says what it does."""
    place = target.facts.basis.places.get(paths.STATE)
    mount = target.facts.mount_of((place.target if place else "") or paths.STATE)
    if mount is None:
        return met("unknown")
    if mount.type in _NO_UPPER or mount.type.startswith("fuse"):
        fix = Fix(words=f"mount an ext4 or xfs (with ftype=1) filesystem at {paths.STATE}")
        return doubtful(f"{mount.point} is {mount.type}: each layer is copied in full", fix=fix)
    return met(f"{mount.point} is {mount.type}")


@requirement("capabilities", needed="the capabilities that build steps get")
def capabilities(target: Target) -> Verdict:
    """No reason to refuse: images without RUN can be built without them."""
    starter = "self" if service_manager(target.spec, target.facts).name == "process" else "init"
    have = target.facts.basis.capabilities.get(starter)
    if have is None:
        return met("unknown")
    lacking = [name for name, bit in CAPABILITIES.items() if not have >> bit & 1]
    if not lacking:
        return met("all of them")
    fix = Fix(words="run the container with --privileged, or add them with --cap-add")
    return doubtful(f"{', '.join(lacking)} cannot be had here", fix=fix)


@requirement("network", needed="what the network mode of build steps uses on the host")
def network(target: Target) -> Verdict:
    """The daemon would not start, or no step would have a network; one that runs now is left alone."""
    wanted = target.spec.buildkit
    if lack := networks.lacks(wanted, target.facts.tools, target.facts.files):
        return unmet(lack.seen, fix=lack.fix)
    return met(f'network = "{wanted.network}"')


@requirement("tls", needed="the files of [buildkit.tls] on the host")
def tls(target: Target) -> Verdict:
    """The daemon reads them when it starts, and ends where one is missing."""
    wanted = target.spec.buildkit.tls
    if wanted is None:
        return met("not needed")
    if wanted.own:
        return met("your own authority brings them")
    if problem := networks.certificate_problem(wanted, target.facts.basis):
        return unmet(problem, fix=Fix(words="put the right file there, or leave out [buildkit.tls]"))
    end, now = networks.expiry(_text(target, wanted.cert)), target.facts.system.clock
    if end is not None and now and end <= now:
        return doubtful(f"{wanted.cert} has expired", fix=Fix(words="renew it"))
    return met("they are there")


def _text(target: Target, path: str) -> str:
    found = target.facts.basis.certificates.get(path)
    return found.text if found else ""


@requirement("resolvers", needed="name servers that build steps can reach")
def resolvers(target: Target) -> Verdict:
    """BuildKit gives build steps public servers where all of the host's are on loopback."""
    found, problem = target.facts.basis.resolvers, target.facts.basis.no_resolvers
    if seen := networks.no_resolvers(target.spec.buildkit, found, problem):
        words = networks.NAMESERVERS.removeprefix("first ")
        if networks.hinders_steps(problem):
            words = f"write a {paths.RESOLVER} with the servers that this host asks"
        return doubtful(seen, fix=Fix(words=words))
    if servers := networks.unreachable_resolvers(target.spec.buildkit, found):
        seen = f"{paths.RESOLVER} names {', '.join(servers)} alone: build steps get 8.8.8.8 instead"
        return doubtful(seen, fix=Fix(words=networks.NAMESERVERS.removeprefix("first ")))
    if target.spec.buildkit.dns.nameservers:
        return met("those of [buildkit.dns]")
    return met(", ".join(found.get(paths.RESOLVER, ())) or "unknown")


@requirement("registries", needed="names in [registry] that images have")
def registries(target: Target) -> Verdict:
    """What stands under another name never counts."""
    wrong = networks.never_asked(target.spec.buildkit)
    if not wrong:
        return met("nothing is known against them" if target.spec.buildkit.registries else "none is set")
    return doubtful(
        f"no image has the name {', '.join(wrong)}",
        fix=Fix(words=networks.docker_io(wrong).removeprefix("first ")),
    )
