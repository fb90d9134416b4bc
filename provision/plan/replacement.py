"""The daemon is replaced by another one: what is waited for, saved, proven, and removed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from provision import paths
from provision.architectures import of_qemu
from provision.buildkit.version import is_version, number
from provision.buildkit.workers import undetected, unknown_to
from provision.facts import Facts, Previous
from provision.facts.interpreters import running
from provision.facts.managers import others, reading, service_manager
from provision.placed import astray, current
from provision.plan.steps import (
    RegisterHandler,
    RemoveTree,
    RunService,
    SaveGeneration,
    StartDaemon,
    Step,
    Verb,
    WaitForBuilds,
    WriteFile,
)
from provision.services.manager import ServiceManager
from provision.spec import Spec


def replaced(
    spec: Spec,
    facts: Facts,
    *,
    generation: str,
    version: str,
    folder: str,
    changes: tuple[Step, ...],
    registered: Sequence[RegisterHandler] = (),
) -> tuple[Step, ...]:
    """The steps that have the daemon run from `generation`, with the `changes` of its files among them.

    Builds are waited for, what runs now is saved, and the new daemon proves itself before a boot starts it.
    """
    starts = tuple(_start(spec, facts, generation, version, folder, registered))
    ends = (*_hand_over(spec, facts), *starts)
    saving = tuple(_save(facts, generation, changes)) if changes and starts else ()
    if saving:
        starts = tuple(replace(step, back=saving[0].generation) for step in starts)
    return (
        *_drain(spec, facts, ends),
        *saving,
        *changes,
        *_hand_over(spec, facts),
        *starts,
        *_enable(spec, facts),
        *_prune(facts, generation, folder, saving),
    )


def way_back(facts: Facts, generation: str) -> Previous | None:
    """What is saved of another daemon than that one: what was saved before, where a run was cut that had saved it."""
    saved = facts.previous
    return facts.older or saved if saved is None or saved.generation == generation else saved


def _start(
    spec: Spec,
    facts: Facts,
    generation: str,
    version: str,
    folder: str,
    registered: Sequence[RegisterHandler],
) -> Iterator[StartDaemon]:
    manager, service = service_manager(spec, facts), reading(spec, facts).service
    # The daemon that answers may be the one that another manager runs: it has been stopped by then.
    stopped = any(each.state == "running" for _, each in others(spec, facts))
    changed = facts.daemon is None or facts.daemon.generation != generation
    saved = facts.previous.generation if facts.previous else ""
    step = StartDaemon(
        id="service-restart",
        action="restart",
        target=manager.service,
        manager=manager.name,
        service=manager.service,
        generation=generation,
        back=saved if changed and saved != generation else "",
        copy_for=_downgraded_from(facts, version),
        platforms=_listed(spec, facts, version),
    )
    if service.state != "running" or stopped:
        detail = service.described if service.last_words and not stopped else ""
        yield replace(step, id="service-start", action="start", detail=detail)
    elif why := restart_reason(spec, facts, generation, folder):
        yield replace(step, detail=why)
    elif unseen := _unseen(facts, registered):
        names = ", ".join(each.target for each in unseen)
        why = f"it does not see a new handler while it runs: {names}"
        yield replace(step, detail=why, only_after=tuple(each.id for each in unseen))


def _unseen(facts: Facts, registered: Sequence[RegisterHandler]) -> tuple[RegisterHandler, ...]:
    """The handlers whose platforms the daemon does not list. Whether one that it lists is replaced is nothing to it."""
    listed = facts.worker.platforms if facts.worker else ()
    return tuple(step for step in registered if undetected(listed, _platforms(step.qemu)))


def _platforms(qemu: str) -> tuple[str, ...]:
    arch = of_qemu(qemu)
    return arch.platforms if arch else ()


def _listed(spec: Spec, facts: Facts, version: str) -> tuple[str, ...]:
    """What the daemon lists of what runs here, and one of that version can list; without variants."""
    if facts.worker is None:
        return ()
    new = replace(facts.worker, version=version)
    names = (
        each for each in running(spec, facts) if each in facts.worker.platforms and not unknown_to(new, each)
    )
    return tuple(dict.fromkeys("/".join(each.split("/")[:2]) for each in names))


def _downgraded_from(facts: Facts, version: str) -> str:
    """The version of the running daemon, if it is newer than the one to come."""
    now = facts.worker.version if facts.worker else None
    if now is None or not is_version(now) or number(now) <= number(version):
        return ""
    return now


def _drain(spec: Spec, facts: Facts, ends: Sequence[Step]) -> Iterator[Step]:
    """Only a daemon that runs has builds, and only one that is stopped or restarted ends them."""
    seconds = spec.buildkit.drain_seconds
    services = (reading(spec, facts).service, *(each for _, each in others(spec, facts)))
    runs = any(each.state == "running" for each in services)
    ending = [step for step in ends if isinstance(step, StartDaemon) or getattr(step, "verb", "") == "stop"]
    if seconds == 0 or not runs or not ending:
        return
    after = ending[0].only_after if len(ending) == 1 and isinstance(ending[0], StartDaemon) else ()
    yield WaitForBuilds(
        id="drain",
        action="wait for",
        target="running builds",
        detail=f"at most {spec.buildkit.drain} ([buildkit] drain)",
        seconds=seconds,
        only_after=after,
    )


_STARTED_FROM: Final = (
    *(paths.CONFIG, paths.UNIT, paths.TMPFILES),
    *(paths.SERVICE_SCRIPT, paths.OPENRC_SCRIPT),
)
"""Files that the daemon is started from, whoever runs it."""


def _listener(facts: Facts, changes: Sequence[Step]) -> Iterator[str]:
    """Files of the listener, which the daemon reads when it starts, that go back with it if it does not come up.

    The key is no part of that. Where it is replaced, the certificate before it is of no use either. `rollback` leaves
    all of them: it must not trust again whom nobody trusts any more.
    """
    anew = any(isinstance(step, WriteFile) and step.path == paths.TLS_KEY for step in changes)
    there = {path for path, file in facts.basis.certificates.items() if not file.lost}
    return (path for path in (paths.TLS_CA, *(() if anew else (paths.TLS_CERT,))) if path in there)


def _save(facts: Facts, generation: str, changes: Sequence[Step]) -> Iterator[SaveGeneration]:
    """Not a second time: after a run that was cut, the files are a mixture."""
    installed, daemon = current(facts), facts.daemon
    if installed is None or daemon is None or daemon.generation in ("", generation):
        return
    if facts.previous is not None and facts.previous.generation == daemon.generation:
        return
    yield SaveGeneration(
        id="save",
        action="save",
        target=f"BuildKit {installed.version} as it runs",
        detail=f"in {paths.PREVIOUS}, for a way back",
        generation=daemon.generation,
        version=f"BuildKit {installed.version}",
        folder=installed.folder,
        files=(
            *(path for path in _STARTED_FROM if path in facts.files),
            *_listener(facts, changes),
        ),
    )


def _enable(spec: Spec, facts: Facts) -> Iterator[Step]:
    """After the start: a boot must not start what never ran."""
    if reading(spec, facts).service.enabled is False:
        yield command(service_manager(spec, facts), "enable")


def _prune(facts: Facts, generation: str, folder: str, saving: Sequence[SaveGeneration]) -> Iterator[Step]:
    """Releases but the one that is wanted and the one to go back to."""
    back = way_back(facts, generation)
    before = saving[0].folder if saving else back.folder if back else ""
    running_one = facts.daemon.executable.removesuffix("/bin/buildkitd") if facts.daemon else ""
    for each in facts.releases:
        if each not in (folder, before, running_one):
            yield RemoveTree(
                id=f"release-{each.rpartition('/')[2]}",
                action="remove",
                target=each,
                detail="a release that is neither in use nor the one before",
                path=each,
            )


def _hand_over(spec: Spec, facts: Facts) -> Iterator[Step]:
    """Two daemons cannot share the state: one that another manager runs, or would at the next boot, is stopped."""
    for manager, service in others(spec, facts):
        if service.enabled:
            yield command(manager, "disable", id_=f"{manager.name}-disable")
        if service.state in ("running", "failed"):
            yield command(manager, "stop", id_=f"{manager.name}-stop")


def command(
    manager: ServiceManager, verb: Verb, *, id_: str = "", action: str = "", detail: str = ""
) -> RunService:
    """A command for the service of a manager."""
    return RunService(
        id=id_ or f"service-{verb}",
        action=action or verb,
        target=manager.service,
        detail=detail,
        manager=manager.name,
        verb=verb,
        service=manager.service,
    )


def restart_reason(spec: Spec, facts: Facts, generation: str, folder: str) -> str:
    """Why a running daemon has to be restarted, whatever handlers change; empty if it need not be."""
    if facts.daemon is None or facts.daemon.generation != generation:
        return "it runs with other settings"
    # A boot between the writing of its unit and the switch of its link.
    program = facts.daemon.executable
    if program.startswith(f"{paths.RELEASES}/") and not program.startswith(f"{folder}/"):
        return "it is another release"
    if facts.worker is None:
        return "it does not answer"
    if gone := astray(facts):
        return f"{gone} is not the folder that it has open"
    # A restart helps none that this BuildKit does not look for.
    runs = [each for each in running(spec, facts) if not unknown_to(facts.worker, each)]
    lacking = undetected(facts.worker.platforms, runs)
    return f"it does not list {', '.join(lacking)}" if lacking else ""
