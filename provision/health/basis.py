"""What the next build step and the next start of buildkitd need of the host, besides handlers. Pure.

Where the daemon runs and lists its platforms, any of these can still be broken: it reads its programs, its settings and
its state again at each step or start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from provision import paths
from provision.buildkit.daemon import CAPABILITIES
from provision.facts import Facts
from provision.facts.basis import Damage
from provision.facts.managers import reading, running_manager, service_manager
from provision.facts.strangers import in_the_way, stop
from provision.fix import PROVISION, Fix, run
from provision.health.finding_table import finding
from provision.placed import astray, current, lost, noexec, unwritable
from provision.result import Finding
from provision.spec import Spec

NAMESPACES: Final = ("mnt", "pid", "ipc", "uts")
"""Kinds of which each build step has one of its own (executor/oci/spec.go)."""
_NO_STEP: Final = "no build step starts"


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Faults of programs, folders and limits, each said once."""
    damaged = tuple(release(facts))
    return (
        *damaged,
        *(() if damaged or lost(facts) else runtime(facts)),
        *state(spec, facts),
        *capabilities(spec, facts),
        *control_groups(spec, facts),
        *namespaces(spec, facts),
        *devices(facts),
        *strangers(facts),
        *program(spec, facts),
    )


def release(facts: Facts) -> Iterator[Finding]:
    """The programs of the release in use, compared with what was unpacked."""
    damage, installed = _known(facts), current(facts)
    if installed and lost(facts):
        yield _damaged([f"nothing is left: there is no {installed.folder}"])
    elif damage:
        yield _damaged([f"{each.program} {'is gone' if each.lost else 'was changed'}" for each in damage])


def changed(facts: Facts, programs: Sequence[str]) -> tuple[Finding, ...]:
    """What only the bytes of these programs show: size, mode and time are as they were. `--deep` compares them."""
    if not programs or _known(facts):
        return ()
    installed = current(facts)
    folder = installed.folder if installed else paths.CURRENT
    fix = Fix.by(run("rm", "-r", folder), PROVISION, words="it unpacks the release again")
    return (replace(_damaged([f"{name} has other bytes" for name in programs]), fix=fix),)


def _known(facts: Facts) -> tuple[Damage, ...]:
    installed = current(facts)
    return facts.basis.damage.get(installed.folder, ()) if installed else ()


def _damaged(seen: Sequence[str]) -> Finding:
    return finding(
        "release-damaged",
        "error",
        f"in {paths.PROGRAMS} {', '.join(seen)}",
        "build steps, or the next start of buildkitd, fail or run something else",
        Fix.by(PROVISION),
    )


def runtime(facts: Facts) -> Iterator[Finding]:
    """The program that starts build steps: the release's own, else the host's runc."""
    if mount := noexec(facts, paths.RELEASES):
        evidence = f"{paths.PROGRAMS} lies on {mount.point}, which is mounted noexec"
        fix = Fix.by(run("mount", "-o", "remount,exec", mount.point))
        yield finding("runtime-broken", "error", evidence, "neither a build step nor buildkitd starts", fix)
        return
    found = facts.basis.runtime
    if found is None or (found.path and not found.problem):
        return
    evidence = (
        f"{found.path} ends with {found.problem}" if found.path else "there is no buildkit-runc or runc"
    )
    yield finding("runtime-broken", "error", evidence, _NO_STEP, Fix.by(PROVISION))


def state(spec: Spec, facts: Facts) -> Iterator[Finding]:
    """The places that the daemon writes to, and whether it still has the state at its path open."""
    manager = service_manager(spec, facts)
    path, evidence = unwritable(spec, facts)
    what = "file" if path == paths.LOG else "folder"
    fix = Fix(words=f"make {path} a {what} that root can write to, then restart {manager.service}")
    if not path and (lost := astray(facts)):
        evidence = f"buildkitd runs, and what it has open is no longer at {lost}"
        fix = Fix.by(manager.commands.restart, words="what it had cached is lost")
    if evidence:
        yield finding("state-folder", "error", evidence, "builds fail, or the next start of buildkitd", fix)


def capabilities(spec: Spec, facts: Facts) -> Iterator[Finding]:
    """What the daemon, or else the process that will start it, may never have, build steps cannot get."""
    sets = facts.basis.capabilities
    starter = "self" if service_manager(spec, facts).name == "process" else "init"
    whose = "daemon" if "daemon" in sets else starter
    if whose not in sets:
        return
    lacking = [name for name, bit in CAPABILITIES.items() if not sets[whose] >> bit & 1]
    if not lacking:
        return
    around = [name for name, bit in CAPABILITIES.items() if not sets.get(starter, -1) >> bit & 1]
    restart = service_manager(spec, facts).commands.restart
    if around:
        fix = Fix(
            words=f"give this container {', '.join(around)} (--cap-add, or --privileged), then start it anew"
        )
    elif running_manager(facts.system) == "systemd":
        words = f"first remove CapabilityBoundingSet= from {_drop_ins(facts) or 'the unit'}"
        fix = Fix.by(run("systemctl", "daemon-reload"), restart, words=words)
    else:
        fix = Fix.by(restart, words="from a shell that has all capabilities (capsh --print)")
    yield finding(
        "capabilities",
        "error",
        f"the bounding set of {'buildkitd' if whose == 'daemon' else 'process 1'} lacks {', '.join(lacking)}",
        f"{_NO_STEP}: runc cannot give it those",
        fix,
    )


def _drop_ins(facts: Facts) -> str:
    return ", ".join(facts.unit(paths.SERVICE).drop_ins)


def control_groups(spec: Spec, facts: Facts) -> Iterator[Finding]:
    """Runc makes a control group for each step."""
    tree, problem = facts.system.control_groups, facts.basis.no_control_group
    if problem:
        evidence = f"no control group can be made in /sys/fs/cgroup: {problem}"
    elif tree == "partial":
        evidence = "control groups of version 1 are mounted without `devices`"
    elif tree == "none" and (facts.daemon or not service_manager(spec, facts).mounts_control_groups):
        evidence = "no control groups are mounted on /sys/fs/cgroup"
    else:
        return
    fix = Fix(words="mount cgroup2 on /sys/fs/cgroup, read-write; in a container, run it with --privileged")
    yield finding("control-groups", "error", evidence, _NO_STEP, fix)


def namespaces(spec: Spec, facts: Facts) -> Iterator[Finding]:
    """The kernel's limits, which some hardening guides set to 0."""
    network = ("net",) if spec.buildkit.network in ("bridge", "cni") else ()
    # With version 1 a build step has none of its own (cgroupV2NamespaceSupported in executor/oci/spec_linux.go).
    groups = ("cgroup",) if facts.system.control_groups == "2" else ()
    lacking = [each for each in (*NAMESPACES, *groups, *network) if each in facts.basis.no_namespaces]
    if lacking:
        settings = [f"user.max_{each}_namespaces" for each in lacking]
        yield finding(
            "namespaces",
            "error",
            f"{', '.join(settings)} {'are' if len(settings) > 1 else 'is'} 0",
            _NO_STEP,
            Fix.by(
                *(run("sysctl", "-w", f"{each}=10000") for each in settings),
                words="and remove the 0 from /etc/sysctl.d",
            ),
        )
    elif facts.basis.namespaces_used_up:
        yield finding(
            "namespaces",
            "error",
            "no further namespaces can be made: as many are there as /proc/sys/user allows",
            _NO_STEP,
            Fix(words="raise the limit that is reached, of those that `sysctl -a -r user.max_` shows"),
        )


def devices(facts: Facts) -> Iterator[Finding]:
    """The daemon starts programs with /dev/null, and runc takes all of them from here in a user namespace."""
    if lacking := facts.basis.no_devices:
        evidence = f"{', '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} missing, or no device"
        fix = Fix(words="make it anew (mknod), or restart the machine or container, which does that")
        yield finding("devices", "error", evidence, _NO_STEP, fix)


def strangers(facts: Facts) -> Iterator[Finding]:
    """Daemons of others that have this tool's socket or state."""
    for each in in_the_way(facts):
        has = paths.SOCKET if each.socket else paths.STATE
        what = (
            "clients reach that one, with its settings and its cache"
            if each.socket
            else "this tool's buildkitd cannot start beside it"
        )
        unit = f", {each.unit}" if each.unit else ""
        evidence = f"a buildkitd of somebody else ({each.program}, process {each.pid}{unit}) has {has}"
        yield finding("daemon-foreign", "error", evidence, what, stop(each, facts))
    socket = facts.unit(paths.SERVICE_SOCKET)
    if socket.active == "active":
        yield finding(
            "daemon-foreign",
            "warning",
            f"{paths.SERVICE_SOCKET} of somebody else ({socket.path}) is active beside {paths.SERVICE}",
            f"its restart takes {paths.SOCKET} away from buildkitd",
            Fix.by(run("systemctl", "disable", "--now", paths.SERVICE_SOCKET)),
        )


def program(spec: Spec, facts: Facts) -> Iterator[Finding]:
    """A drop-in can give the unit a program of somebody else."""
    installed, daemon = current(facts), facts.daemon
    manager, service = service_manager(spec, facts), reading(spec, facts).service
    if installed is None or daemon is None or service.state != "running" or not daemon.executable:
        return
    if daemon.executable.startswith(f"{paths.RELEASES}/"):
        return
    where = f" ({_drop_ins(facts)})" if _drop_ins(facts) else ""
    yield finding(
        "service-program",
        "warning",
        f"{manager.service} runs {daemon.executable}, not that of {installed.folder}{where}",
        "builds may come out otherwise than on other hosts",
        Fix.by(
            manager.commands.restart,
            words="first remove ExecStart= there, then systemctl daemon-reload",
        ),
    )
