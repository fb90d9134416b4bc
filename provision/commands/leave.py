"""The ways back of one host: `rollback` to the daemon of before, `remove` to the machine of before."""

from __future__ import annotations

from provision.commands.ask import ask_facts
from provision.commands.change import (
    Change,
    PlannedHost,
    RunSettings,
    broken_off,
    failure,
    rolled_back,
    shown,
)
from provision.errors import ProvisionError
from provision.plan.remove import plan_remove
from provision.result import HostResult
from provision.spec import Spec
from provision.transport import Transport


def preview_rollback(transport: Transport, spec: Spec, run: RunSettings) -> HostResult:
    """What `rollback` would do. Raises HostError where there is no way back."""
    outlook = rolled_back(transport, spec)
    return run.machines.once(
        outlook.facts.system.identity, transport.name, lambda: shown(transport.name, outlook.plan)
    )


def rollback(transport: Transport, spec: Spec, run: RunSettings) -> HostResult:
    """To the release and settings of before, with the same proof. Raises HostError where there is no way back."""
    outlook = rolled_back(transport, spec)
    change = Change(
        transport=transport,
        spec=spec,
        run=run,
        outlook=outlook,
        look=lambda wanted: rolled_back(transport, wanted),
    )
    return run.machines.once(outlook.facts.system.identity, transport.name, change.provision)


def preview_remove(transport: Transport, spec: Spec, run: RunSettings, *, purge: bool) -> HostResult:
    """What `remove` would take away."""
    outlook = _removal(transport, spec, purge=purge, sizes=purge)
    return run.machines.once(
        outlook.facts.system.identity, transport.name, lambda: shown(transport.name, outlook.plan)
    )


def remove(transport: Transport, spec: Spec, run: RunSettings, *, purge: bool) -> HostResult:
    """Take away what the record says is this tool's, and prove that nothing of it is left."""
    outlook = _removal(transport, spec, purge=purge, sizes=False)
    change = Change(
        transport=transport,
        spec=spec,
        run=run,
        outlook=outlook,
        look=lambda wanted: _removal(transport, wanted, purge=purge, sizes=False),
    )
    return run.machines.once(
        outlook.facts.system.identity, transport.name, lambda: _removed(change, transport.name)
    )


def _removal(transport: Transport, spec: Spec, *, purge: bool, sizes: bool) -> PlannedHost:
    facts = ask_facts(transport, spec, sizes=sizes)
    return PlannedHost(facts=facts, plan=plan_remove(spec, facts, purge=purge))


def _removed(change: Change, host: str) -> HostResult:
    notes = change.all_notes()
    try:
        if change.outlook.plan.empty:
            return HostResult(host=host, status="ok", notes=(*notes, "nothing of this tool is left there"))
        change.carry_out()
    except ProvisionError as error:
        return broken_off(host, change.steps(), notes, error)
    steps = change.steps()
    failed = [step for step in steps if step.status == "failed"]
    if failed:
        return HostResult(host=host, status="failed", steps=steps, notes=notes, error=failure(failed[0]))
    return HostResult(host=host, status="changed", steps=steps, notes=notes)
