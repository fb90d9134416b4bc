"""The plan of `rollback`: to the release and the settings that the daemon before this one ran from. Pure."""

from __future__ import annotations

from dataclasses import replace

from provision import paths
from provision.errors import HostError
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.fix import PROVISION, Fix
from provision.placed import Link, current
from provision.plan.record import plan_record
from provision.plan.replacement import replaced, way_back
from provision.plan.service import link_steps
from provision.plan.steps import Plan, RemoveTree, write_file
from provision.spec import Spec


def plan_rollback(spec: Spec, facts: Facts) -> Plan:
    """Everything that `rollback` would do on this host. Raises HostError where there is no way back."""
    back = way_back(facts, facts.daemon.generation if facts.daemon else "")
    if back is None:
        raise HostError(
            "there is nothing to go back to",
            cause="no run of this tool has replaced a daemon on this host that was at work",
        )
    if facts.daemon is not None and facts.daemon.generation == back.generation:
        raise HostError(
            "there is nothing to go back to",
            cause=f"{back.version} runs already, with the settings that are saved: a later one was taken back",
        )
    if back.folder not in facts.releases:
        raise HostError(
            f"the release of {back.version} is gone",
            cause=f"there is no {back.folder}",
            fix=Fix.by(PROVISION, words="with [buildkit] version set to that release"),
        )
    manager = service_manager(spec, facts)
    if manager.path not in back.files:
        raise HostError(
            f"{back.version} was not run by {manager.title}",
            cause=f"what is saved of it holds no {manager.path}",
            fix=Fix.by(PROVISION, words="with the settings that you want"),
        )
    changes = (
        *(
            step
            for path, file in back.files.items()
            for step in write_file(_step_id(path), path, file.text or "", facts, file.mode)
        ),
        *link_steps([Link(id="release-link", path=paths.CURRENT, to=back.folder)], facts),
    )
    steps = replaced(
        spec,
        facts,
        generation=back.generation,
        version=back.version.removeprefix("BuildKit "),
        folder=back.folder,
        changes=changes,
    )
    return Plan(
        steps=(*plan_record(facts), *steps),
        notes=(
            (
                f"goes back to {back.version} and the settings it ran with; `provision` goes forward again, unless"
                " [buildkit] version and the settings say the same"
            ),
        ),
        generation=back.generation,
    )


def plan_taking_back(spec: Spec, facts: Facts) -> Plan:
    """The same for a daemon that builds less than the one before it: nothing shall go forward to it again."""
    made, current_one = plan_rollback(spec, facts), current(facts)
    gone = [("previous", "what was saved of the daemon that is taken back", paths.PREVIOUS)]
    if (
        current_one is not None
        and facts.previous is not None
        and current_one.folder != facts.previous.folder
    ):
        gone.append(("release-taken-back", current_one.folder, current_one.folder))
    after = (RemoveTree(id=id_, action="remove", target=target, path=path) for id_, target, path in gone)
    return replace(made, steps=(*made.steps, *after))


def _step_id(path: str) -> str:
    return {
        paths.CONFIG: "buildkit-config",
        paths.UNIT: "buildkit-unit",
        paths.TMPFILES: "buildkit-tmpfiles",
        paths.SERVICE_SCRIPT: "buildkit-script",
        paths.OPENRC_SCRIPT: "buildkit-unit",
    }.get(path, path)
