"""The steps for the BuildKit service on a host: release, settings, unit, group. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from provision import elf
from provision.buildkit.release import Release
from provision.buildkit.source import shown
from provision.facts import Facts, packages
from provision.placed import Installation, Link, placed
from provision.placed.changes import link_change
from provision.plan.download import host_fetches
from provision.plan.replacement import replaced
from provision.plan.requirements.buildkit import OLDEST_RUNC
from provision.plan.steps import (
    AddMember,
    CreateGroup,
    InstallRunc,
    MakeLink,
    RegisterHandler,
    Step,
    UnpackRelease,
    write_file,
)
from provision.plan.target import Target, release_folder
from provision.plan.tls import plan_tls
from provision.spec import Spec


def plan_service(target: Target, registered: Sequence[RegisterHandler]) -> tuple[tuple[Step, ...], str]:
    """The steps for the service on a host that meets the requirements, and the generation its settings have.

    `registered` are the handlers that change: a running buildkitd does not see a new one (its list is cached).
    """
    spec, facts, release = target.spec, target.facts, target.known_release()
    folder = release_folder(release)
    wanted = placed(spec, facts, Installation(version=release.version, folder=folder), target.tls)
    steps = (
        *_group(spec, facts),
        *_release(target, release),
        *replaced(
            spec,
            facts,
            generation=wanted.generation,
            version=release.version,
            folder=folder,
            changes=(
                *plan_tls(target),
                *(
                    step
                    for each in wanted.files
                    for step in write_file(each.id, each.path, each.text, facts, each.mode)
                ),
                *link_steps(wanted.links, facts),
            ),
            registered=registered,
        ),
    )
    return steps, wanted.generation


def plan_runc(target: Target) -> tuple[Step, ...]:
    """The step for a BuildKit that brings no runc, on a host that has none."""
    manager = packages.manager(target.facts)
    if not target.built_here or target.facts.runc is not None or manager is None:
        return ()
    return (
        InstallRunc(
            id="runc",
            action="install",
            target="runc",
            detail=f"by {manager.command}, {'.'.join(map(str, OLDEST_RUNC))} or newer",
            manager=manager.command,
            oldest=OLDEST_RUNC,
        ),
    )


def _group(spec: Spec, facts: Facts) -> tuple[Step, ...]:
    group = spec.buildkit.group
    steps: list[Step] = []
    if group not in facts.groups:
        steps.append(CreateGroup(id="group", action="create", target=f"group {group}", group=group))
    members = facts.groups.get(group, ())
    # The user who called sudo is root already: the group gives no new right, and builds work without sudo.
    caller = (facts.user.login,) if facts.user.login not in ("", "root") else ()
    steps += [
        AddMember(
            id=f"member-{user}",
            action="add",
            target=f"{user} to group {group}",
            group=group,
            user=user,
            optional=user not in spec.buildkit.users,
        )
        for user in dict.fromkeys((*spec.buildkit.users, *caller))
        if user not in members
    ]
    return tuple(steps)


def _release(target: Target, release: Release) -> tuple[Step, ...]:
    if not target.unpacks:
        return ()
    folder = release_folder(release)
    return (
        UnpackRelease(
            id="release",
            action="install",
            target=f"BuildKit {release.version} in {folder}",
            detail=f"{_origin(release)}\nsha256 {release.digest.value} ({release.digest.source})",
            folder=folder,
            archive=release.asset.name,
            sha256=release.digest.value,
            header=elf.pattern(release.asset.architecture),
            url=release.location if host_fetches(target) else None,
        ),
    )


def _origin(release: Release) -> str:
    return release.digest.note if release.built else shown(release.location)


def link_steps(wanted: Iterable[Link], facts: Facts) -> Iterator[Step]:
    """The steps that make these links."""
    for link in wanted:
        if change := link_change(link, facts):
            yield MakeLink(
                id=link.id,
                action=change.action,
                target=link.path,
                detail=change.detail,
                path=link.path,
                to=link.to,
            )
