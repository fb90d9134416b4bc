"""The steps for the BuildKit service on a host: release, settings, unit, group. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provision import elf
from provision.buildkit.release import Release
from provision.buildkit.source import shown
from provision.buildkit.workers import undetected, unknown_to
from provision.facts import Facts, packages
from provision.facts.interpreters import running
from provision.facts.managers import others, reading, service_manager
from provision.placed import Installation, Link, astray, placed
from provision.placed.changes import link_change
from provision.plan.download import host_fetches
from provision.plan.requirements.buildkit import OLDEST_RUNC
from provision.plan.steps import (
    AddMember,
    CreateGroup,
    InstallRunc,
    MakeLink,
    RunService,
    Step,
    UnpackRelease,
    Verb,
    write_file,
)
from provision.plan.target import Target, release_folder
from provision.plan.tls import plan_tls
from provision.services.manager import ServiceManager
from provision.spec import Spec


def plan_service(target: Target, *, restart: bool) -> tuple[tuple[Step, ...], str]:
    """The steps for the service on a host that meets the requirements, and the generation its settings have.

    `restart` says that handlers change, which a running buildkitd does not see (its list is cached and masked).
    """
    spec, facts, release = target.spec, target.facts, target.known_release()
    folder = release_folder(release)
    wanted = placed(spec, facts, Installation(version=release.version, folder=folder), target.tls)
    steps = (
        *_group(spec, facts),
        *_release(target, release),
        *plan_tls(target),
        *(
            step
            for each in wanted.files
            for step in write_file(each.id, each.path, each.text, facts, each.mode)
        ),
        *_links(wanted.links, facts),
        *_hand_over(spec, facts),
        *_service(spec, facts, wanted.generation, restart),
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
            id=f"member-{user}", action="add", target=f"{user} to group {group}", group=group, user=user
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


def _links(wanted: Iterable[Link], facts: Facts) -> Iterator[Step]:
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


def _hand_over(spec: Spec, facts: Facts) -> Iterator[Step]:
    """Two daemons cannot share the state: one that another manager runs, or would at the next boot, is stopped."""
    for manager, service in others(spec, facts):
        if service.enabled:
            yield _command(manager, "disable", id_=f"{manager.name}-disable")
        if service.state in ("running", "failed"):
            yield _command(manager, "stop", id_=f"{manager.name}-stop")


def _service(spec: Spec, facts: Facts, generation: str, handlers_change: bool) -> Iterator[Step]:
    manager, service = service_manager(spec, facts), reading(spec, facts).service
    # The daemon that answers may be the one that another manager runs: it has been stopped by then.
    stopped = any(each.state == "running" for _, each in others(spec, facts))
    if service.state != "running" or stopped:
        detail = service.described if service.last_words and not stopped else ""
        yield _command(manager, "restart", id_="service-start", action="start", detail=detail)
    elif why := restart_reason(spec, facts, generation, handlers_change):
        yield _command(manager, "restart", detail=why)
    # A first start that fails leaves nothing that the next boot would start again and again.
    if service.enabled is False:
        yield _command(manager, "enable")


def _command(
    manager: ServiceManager, verb: Verb, *, id_: str = "", action: str = "", detail: str = ""
) -> RunService:
    return RunService(
        id=id_ or f"service-{verb}",
        action=action or verb,
        target=manager.service,
        detail=detail,
        manager=manager.name,
        verb=verb,
        service=manager.service,
    )


def restart_reason(spec: Spec, facts: Facts, generation: str, handlers_change: bool) -> str:
    """Why a running daemon has to be restarted; empty if it need not be (a restart kills running builds)."""
    if handlers_change:
        return "handlers change, and a running buildkitd does not notice"
    if facts.daemon is None or facts.daemon.generation != generation:
        return "it runs with other settings"
    if facts.worker is None:
        return "it does not answer"
    if gone := astray(facts):
        return f"{gone} is not the folder that it has open"
    # A restart helps none that this BuildKit does not look for.
    runs = [each for each in running(spec, facts) if not unknown_to(facts.worker, each)]
    lacking = undetected(facts.worker.platforms, runs)
    return f"it does not list {', '.join(lacking)}" if lacking else ""
