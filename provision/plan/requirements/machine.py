"""What the machine itself must be or have: rights, a place for programs, room and memory for builds. Pure."""

from __future__ import annotations

from typing import Final

from provision import paths
from provision.errors import BecomeError
from provision.facts.managers import service_manager
from provision.fix import PROVISION, Fix
from provision.plan.requirements.requirement import Verdict, doubtful, met, requirement, unmet
from provision.plan.target import Target

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
