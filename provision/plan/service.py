"""What the BuildKit service on a host needs: release, settings, unit, group. Pure."""

from __future__ import annotations

import hashlib
from typing import Final

from provision import elf, paths
from provision.buildkit import daemon
from provision.buildkit.release import Release
from provision.buildkit.source import shown
from provision.buildkit.workers import undetected
from provision.errors import HostError
from provision.facts import Facts
from provision.facts.interpreters import running
from provision.plan.steps import (
    AddMember,
    CreateGroup,
    MakeLink,
    RunUnit,
    Step,
    UnpackRelease,
    write_file,
)
from provision.spec import Spec

ROOM: Final = 1 << 20
"""KiB that a release needs while it is unpacked: the archive, the programs, and some air."""


def refuse_host(facts: Facts) -> None:
    """Raise HostError where the service cannot run: nothing must be changed on such a host."""
    if not facts.system.systemd:
        raise HostError(
            "systemd does not run here",
            cause="buildkitd is installed as a systemd service",
            hint="boot the machine with systemd; in a container, use the machine it runs on",
        )
    room = facts.disks.get(paths.RELEASES)
    if room is not None and room.free < ROOM:
        raise HostError(
            f"{room.free >> 10} MiB are left for {paths.RELEASES}",
            cause=f"a release needs {ROOM >> 10} MiB while it is unpacked",
            hint="free some room",
        )


def plan(
    spec: Spec, facts: Facts, release: Release, url: str | None, restart: bool
) -> tuple[tuple[Step, ...], str]:
    """The steps for the service, and the generation its settings have.

    `restart` says that handlers change, which a running buildkitd does not see (its list is cached and masked).
    """
    refuse_host(facts)
    folder = paths.release(release.version, release.digest.value)
    disk = facts.disks.get(paths.STATE)
    config = daemon.render_config(spec.buildkit, release.version, disk.size * 1024 if disk else 0)
    tmpfiles = daemon.render_tmpfiles(spec.buildkit)
    generation = _generation(
        folder, config, tmpfiles, daemon.render_unit(spec.buildkit, release.version, "")
    )
    unit = daemon.render_unit(spec.buildkit, release.version, generation)
    steps = (
        *_group(spec, facts),
        *_release(release, folder, url, facts),
        *write_file("buildkit-config", paths.CONFIG, config, facts),
        *write_file("buildkit-tmpfiles", paths.TMPFILES, tmpfiles, facts),
        *write_file("buildkit-unit", paths.UNIT, unit, facts),
        *_links(folder, facts),
    )
    return (*steps, *_unit(spec, facts, generation, restart)), generation


def _generation(*parts: str) -> str:
    """One name for all the daemon is started from: release, settings and unit."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _group(spec: Spec, facts: Facts) -> tuple[Step, ...]:
    group = spec.buildkit.group
    steps: list[Step] = []
    if group not in facts.groups:
        steps.append(CreateGroup(id="group", action="create", target=f"group {group}", group=group))
    members = facts.groups.get(group, ())
    # Whoever called sudo is root already: the group gives them nothing new, and builds work without sudo.
    caller = (facts.user.login,) if facts.user.login not in ("", "root") else ()
    steps += [
        AddMember(
            id=f"member-{user}", action="add", target=f"{user} to group {group}", group=group, user=user
        )
        for user in dict.fromkeys((*spec.buildkit.users, *caller))
        if user not in members
    ]
    return tuple(steps)


def _release(release: Release, folder: str, url: str | None, facts: Facts) -> tuple[Step, ...]:
    if facts.releases.get(folder) == release.digest.value:
        return ()
    return (
        UnpackRelease(
            id="release",
            action="install",
            target=f"BuildKit {release.version} in {folder}",
            detail=f"{shown(release.location)}\nsha256 {release.digest.value} ({release.digest.source})",
            folder=folder,
            archive=release.asset.name,
            sha256=release.digest.value,
            header=elf.pattern(release.asset.architecture),
            url=url,
        ),
    )


def _links(folder: str, facts: Facts) -> tuple[Step, ...]:
    wanted = {
        paths.CURRENT: ("release-link", folder),
        paths.BUILDCTL: ("buildctl-link", paths.CLIENT),
    }
    steps: list[Step] = []
    for path, (name, to) in wanted.items():
        old = facts.files.get(path)
        if old is None or old.target != to:
            before = (
                "" if old is None else f"-{old.target or 'a file of its own (kept as .before-provision)'}\n"
            )
            action = "update" if old else "create"
            steps.append(
                MakeLink(id=name, action=action, target=path, detail=f"{before}+{to}", path=path, to=to)
            )
    return tuple(steps)


def _unit(spec: Spec, facts: Facts, generation: str, restart: bool) -> tuple[Step, ...]:
    unit = facts.unit(paths.SERVICE)
    steps: list[Step] = []
    if unit.file_state != "enabled":
        steps.append(
            RunUnit(
                id="service-enable",
                action="enable",
                target=paths.SERVICE,
                verb="enable",
                unit=paths.SERVICE,
            )
        )
    running = unit.active == "active"
    why = restart_reason(spec, facts, generation, restart)
    if not running:
        steps.append(
            RunUnit(
                id="service-start",
                action="start",
                target=paths.SERVICE,
                verb="restart",
                unit=paths.SERVICE,
            )
        )
    elif why:
        steps.append(
            RunUnit(
                id="service-restart",
                action="restart",
                target=paths.SERVICE,
                detail=why,
                verb="restart",
                unit=paths.SERVICE,
            )
        )
    return tuple(steps)


def restart_reason(spec: Spec, facts: Facts, generation: str, handlers_change: bool) -> str:
    """Why a running daemon has to be restarted; empty if it need not be (a restart kills running builds)."""
    if handlers_change:
        return "handlers change, and a running buildkitd does not notice"
    if facts.daemon is None or facts.daemon.generation != generation:
        return "it runs with other settings"
    if facts.worker is None:
        return "it does not answer"
    lacking = undetected(facts.worker.platforms, running(spec, facts))
    return f"it does not list {', '.join(lacking)}" if lacking else ""
