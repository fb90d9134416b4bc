"""What the machine itself must be or have: rights, a place for programs, room and memory for builds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provision import paths
from provision.buildkit.release import Release
from provision.errors import BecomeError
from provision.facts.managers import service_manager
from provision.fix import PROVISION, Fix, run
from provision.placed import Installation, noexec, placed
from provision.placed.changes import file_change, link_change
from provision.plan.requirements.requirement import Verdict, doubtful, met, requirement, unmet
from provision.plan.target import Target, release_folder

MIB: Final = 1024
GIB: Final = 1024 * 1024
"""In KiB, the unit of facts."""

BUILD_MEMORY: Final = 1 * GIB
BUILD_DISK: Final = 10 * GIB


@requirement("root", needed="root, directly or by sudo", error=BecomeError)
def root(target: Target) -> Verdict:
    """The steps write to /etc and register handlers."""
    user = target.facts.user
    if user.root:
        return met(f"root, by sudo from {user.login}" if user.login else "root")
    if user.sudo == "free":
        return met(f"{user.name}, who may use sudo without a password")
    if user.sudo == "password":
        return doubtful(
            f"{user.name}, whom sudo asks for a password",
            fix=Fix.by(
                PROVISION,
                words="on a terminal, where sudo can ask; or let this user use sudo without a password",
            ),
        )
    return unmet(
        f"{user.name} is not root, and there is no sudo", fix=Fix(words="run as root, or install sudo")
    )


@requirement("users", needed="the users that [buildkit] users names")
def users(target: Target) -> Verdict:
    """Users that only NSS knows (LDAP, SSSD) count."""
    unknown = [name for name, known in target.facts.accounts.items() if not known]
    if not unknown:
        return met(", ".join(target.facts.accounts) or "none is named")
    fix = Fix(words="create them, or leave them out of [buildkit] users")
    return unmet(f"the host knows no user {', '.join(unknown)}", fix=fix)


@requirement("temporary", needed="a folder for temporary files where programs may run")
def temporary(target: Target) -> Verdict:
    """Every proof is a program that runs from such a folder (templates/workplace.sh)."""
    places = target.facts.temporary
    good = [place for place, runs in places.items() if runs]
    bad = [f"{place} is noexec" for place, runs in places.items() if not runs]
    if good:
        return met(", ".join([*good, *bad]))
    return unmet(
        f"programs may run in no folder for temporary files ({', '.join(bad) or 'none is writable'})",
        fix=Fix(words="mount /var/tmp read-write and without noexec"),
    )


@requirement(
    "mounts", needed="file systems that can be written to, and that programs may run from, as needed"
)
def mounts(target: Target) -> Verdict:
    """Image and rescue systems are read-only in part, a disk is after an error; hardened systems forbid programs."""
    facts = target.facts
    for folder in dict.fromkeys(_written(target)):
        mount = facts.mount_behind(folder)
        if mount and "ro" in mount.options:
            fix = Fix(words="mount it read-write, or use a machine whose system can be changed")
            return unmet(f"{folder} lies on {mount.point}, which is read-only", fix=fix)
    # From the second the daemon starts the programs that tell it which platforms are emulated.
    for folder in (paths.RELEASES, *((paths.SCRATCH,) if target.emulates else ())):
        if mount := noexec(facts, folder):
            words = f"and in /etc/fstab, if it stands there; or mount another disk at {folder}"
            fix = Fix.by(run("mount", "-o", "remount,exec", mount.point), words=words)
            return unmet(f"{folder} lies on {mount.point}, which is mounted noexec", fix=fix)
    return met("nothing is read-only or noexec that must not be")


def _written(target: Target) -> Iterator[str]:
    """Folders that the steps for this host write to. That of the state is a requirement of its own."""
    facts, spec, choices = target.facts, target.spec, target.choices
    if target.unpacks:
        yield from (paths.RELEASES, paths.CACHE)
    if isinstance(target.release, Release):
        folder = release_folder(target.release)
        wanted = placed(spec, facts, Installation(version=target.release.version, folder=folder), target.tls)
        yield from (
            _folder(each.path)
            for each in wanted.files
            if file_change(each.path, each.text, facts, each.mode)
        )
        yield from (_folder(each.path) for each in wanted.links if link_change(each, facts))
    if any(choice.install for choice in choices):
        yield "/usr"
    if any(choice.send for choice in choices):
        yield from (paths.EMULATORS, paths.CACHE)
    if any(choice.path and paths.rule(choice.arch.qemu) not in facts.files for choice in choices):
        yield from (paths.RULES, paths.OWN)
    if spec.buildkit.group not in facts.groups:
        yield from ("/etc", paths.OWN)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


@requirement("cgroups", needed="control groups, for build steps")
def control_groups(target: Target) -> Verdict:
    """Runc starts no build step without: `mountpoint for devices not found`. Builds without RUN work."""
    tree = target.facts.system.control_groups
    if tree in ("1", "2"):
        return met(f"version {tree}")
    if tree == "":
        return met("unknown")
    if tree == "none" and service_manager(target.spec, target.facts).mounts_control_groups:
        return met("none is mounted: the start of buildkitd mounts version 2")
    fix = Fix(words="mount cgroup2 on /sys/fs/cgroup, or version 1 with all of its controllers")
    return doubtful("none is mounted" if tree == "none" else "version 1 without `devices`", fix=fix)


@requirement("page-size", needed="4 KiB pages, which every program is linked for")
def page_size(target: Target) -> Verdict:
    """A Raspberry Pi 5 boots a kernel with 16 KiB pages by default."""
    size = target.facts.system.page
    if size in (0, 4):
        return met(f"{size} KiB" if size else "unknown")
    return doubtful(
        f"{size} KiB",
        fix=Fix(words="boot the 4 KiB kernel (on a Raspberry Pi 5: kernel=kernel8.img in config.txt)"),
    )


@requirement("memory", needed=f"{BUILD_MEMORY // MIB} MiB with swap, for emulated builds")
def memory(target: Target) -> Verdict:
    """Emulated compilers need more than native ones."""
    total, swap = target.facts.system.memory, target.facts.system.swap
    seen = f"{total // MIB} MiB, {swap // MIB} MiB swap"
    if total + swap >= BUILD_MEMORY:
        return met(seen)
    return doubtful(seen, fix=Fix(words="add swap, or set [buildkit] max_parallelism = 1"))


@requirement("disk", needed=f"{BUILD_DISK // GIB} GiB, for BuildKit's cache")
def disk(target: Target) -> Verdict:
    """No reason to refuse: the daemon collects garbage, and a host that was provisioned may well have filled it."""
    room = target.facts.disks.get(paths.STATE)
    free = room.free if room else 0
    seen = f"{free / GIB:.1f} GiB free for {paths.STATE}"
    if free >= BUILD_DISK:
        return met(seen)
    return doubtful(seen, fix=Fix(words=f"free some room, or mount a larger disk at {paths.STATE}"))
