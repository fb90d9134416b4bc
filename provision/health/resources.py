"""What builds need of the machine: disk, inodes, memory, and a clock that TLS can work with. Pure."""

from __future__ import annotations

from provision import paths
from provision.facts import Disk, Facts
from provision.facts.view import concerned
from provision.fix import Fix, run
from provision.health.finding_table import finding
from provision.result import Finding
from provision.spec import Spec

GIB = 1 << 30
INODES = 50_000
"""Free inodes below which a base image with many small files (node_modules) may not fit."""
MEMORY = 768 * 1024
"""KiB of memory and swap below which an emulated compiler is likely to be killed."""
CLOCK = 600
"""Seconds off from which on fresh certificates and tokens are refused."""
DAY = 86_400
_PRUNE = run(paths.BUILDCTL, "prune")


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Resources that are scarce or wrong."""
    found = (disk(facts), inodes(facts), memory(spec, facts), cgroup(facts), clock(facts))
    return tuple(each for each in found if each)


def _state(facts: Facts) -> Disk | None:
    return facts.disks.get(paths.STATE)


def disk(facts: Facts) -> Finding | None:
    """Free space, compared with what the daemon's own garbage collection tries to keep."""
    room = _state(facts)
    if room is None or room.size == 0:
        return None
    worker = facts.worker
    size, free = room.size * 1024, room.free * 1024
    # Before v0.17 it keeps nothing free, and one that does not answer says nothing.
    limit = worker.min_free if worker else 0
    if free >= limit and free >= GIB:
        return None
    keeps = f"; garbage collection keeps {limit / 1e9:.1f} GB free" if limit else ""
    return finding(
        "disk-low",
        "error" if free < GIB else "warning",
        f"{free / 1e9:.1f} GB of {size / 1e9:.0f} GB are free for {paths.STATE}{keeps}",
        "builds fail with `no space left on device`"
        if free < GIB
        else "the build cache is thrown away all the time",
        Fix.by(_PRUNE, words="or delete other files there"),
    )


def inodes(facts: Facts) -> Finding | None:
    """Free inodes. Filesystems without a table of inodes (btrfs) have 0 in all."""
    room = _state(facts)
    if room is None or not room.all_inodes or room.inodes >= INODES:
        return None
    return finding(
        "inodes-low",
        "warning" if room.inodes > 1000 else "error",
        f"{room.inodes} of {room.all_inodes} inodes are free for {paths.STATE}",
        "builds fail with `no space left on device` though there is room",
        Fix.by(_PRUNE, words="or delete other small files there"),
    )


def memory(spec: Spec, facts: Facts) -> Finding | None:
    """Emulated programs need more memory, and several build steps run at once."""
    total = facts.system.memory + facts.system.swap
    emulated = any(view.winner and not view.native for view in concerned(spec, facts))
    if not facts.system.memory or not emulated or total >= MEMORY or spec.buildkit.max_parallelism == 1:
        return None
    return finding(
        "memory-low",
        "warning",
        f"{facts.system.memory >> 10} MiB of memory and {facts.system.swap >> 10} MiB of swap",
        "compilers in emulated build steps are killed",
        Fix(words="add swap, or set [buildkit] max_parallelism = 1"),
    )


def cgroup(facts: Facts) -> Finding | None:
    """A Raspberry Pi's firmware adds cgroup_disable=memory to the kernel's command line."""
    if facts.system.cgroup_memory is not False:
        return None
    place = facts.basis.command_line
    where = f"the line in {place}" if place else "the kernel's command line"
    then = "run update-grub and reboot" if place.endswith("/grub") else "reboot"
    if place.endswith("/grub"):
        where = f"GRUB_CMDLINE_LINUX in {place}"
    return finding(
        "cgroup-memory",
        "warning",
        "the kernel's memory controller is off",
        "memory limits of builds are ignored: one build can take the machine down",
        Fix(words=f"add cgroup_enable=memory to {where}, then {then}"),
    )


def clock(facts: Facts) -> Finding | None:
    """The host's clock, compared with this machine's."""
    if facts.skew is None or abs(facts.skew) < CLOCK:
        return None
    behind = "behind" if facts.skew < 0 else "ahead of"
    return finding(
        "clock-off",
        "error" if abs(facts.skew) > DAY else "warning",
        f"its clock is {abs(facts.skew):.0f} s {behind} this machine's",
        "registries cannot be reached: their certificates seem expired or not yet valid",
        Fix.by(run("timedatectl", "set-ntp", "true")),
    )
