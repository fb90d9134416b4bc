"""The commands that change a host: `plan` shows what would be done, `provision` does it and asks again for proof."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.apply import Journal, payload, script, uploads
from provision.apply.lock import Claim, LockedError
from provision.buildkit import release as releases
from provision.buildkit.release import Release
from provision.commands.ask import ask_facts, ask_target
from provision.commands.build import with_release
from provision.commands.certificates import Certifier
from provision.commands.once import Machines
from provision.commands.proof import prove
from provision.errors import ConnectionLostError, DeadlineError, HostError, ProvisionError
from provision.facts import Facts, question
from provision.health.deep import is_proven
from provision.health.platforms import rows, unmet
from provision.hosts.interruption import Interruption
from provision.plan import Plan, plan
from provision.plan.foreign import adopted_lines
from provision.plan.rollback import plan_rollback, plan_taking_back
from provision.plan.steps import WaitForBuilds
from provision.result import HostResult, HostStatus, StepResult
from provision.spec import Spec
from provision.transport import StoppedError, Transport

if TYPE_CHECKING:  # rich is imported while the host is waited for
    from provision.report.progress import Progress


_TURNS: Final = 5
"""How often a plan is made anew because another run was first."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run behaves, the same for all its hosts."""

    cache: Path
    """Where this machine keeps downloads."""
    timeout: float
    """Seconds for the apply script."""
    progress: Progress
    version: str
    """The BuildKit version, resolved once."""
    proof: bool = True
    """Whether a run ends with a build for each platform."""
    certifier: Certifier | None = None
    """With an authority of the user's own."""
    machines: Machines = field(default_factory=Machines)
    interruption: Interruption = field(default_factory=Interruption)


@dataclass(frozen=True, kw_only=True)
class PlannedHost:
    """A host as it is, and what would be done to it."""

    facts: Facts
    plan: Plan
    release: Release | None = None
    """What a step may unpack; None where no plan of that kind does."""


def look(
    transport: Transport, spec: Spec, run: RunSettings, *, local: bool, issue: bool = False
) -> PlannedHost:
    """Facts and plan; `local` says that the host is this machine. Changes nothing.

    With `issue` the plan can be carried out: a certificate that it needs is made.
    Raises what stands against provisioning this host.
    """
    target = ask_target(transport, spec, run.version, run.cache, local=local)
    target = with_release(target, transport.name, run.cache, run.progress, run.interruption)
    if run.certifier:
        target = run.certifier.with_files(target, transport.address, issue=issue)
    made = plan(target, nonce=secrets.token_bytes(7), argc=question.argc())
    return PlannedHost(facts=target.facts, release=target.known_release(), plan=made)


def preview(
    transport: Transport, spec: Spec, run: RunSettings, *, local: bool = False, adopt: bool = False
) -> HostResult:
    """What `provision` would do. Raises what stands against provisioning this host.

    With `adopt` the notes have the lines for provision.toml that keep the settings of a foreign buildkitd.toml.
    """
    outlook = look(transport, spec, run, local=local)
    more = _adoption(outlook.facts) if adopt else ()
    return run.machines.once(
        outlook.facts.system.identity, transport.name, lambda: shown(transport.name, outlook.plan, more)
    )


def shown(host: str, made: Plan, more: tuple[str, ...] = ()) -> HostResult:
    """A plan that is only shown."""
    steps = tuple(
        StepResult(id=step.id, action=step.action, target=step.target, status="pending", detail=step.detail)
        for step in made.steps
    )
    return HostResult(
        host=host, status="pending" if steps else "ok", steps=steps, notes=(*made.notes, *more)
    )


def provision(transport: Transport, spec: Spec, run: RunSettings, *, local: bool = False) -> HostResult:
    """Make the host as wanted, and prove it. Raises what stands against it; later errors are in the result."""
    outlook = look(transport, spec, run, local=local, issue=True)
    change = Change(
        transport=transport,
        spec=spec,
        run=run,
        outlook=outlook,
        look=lambda wanted: look(transport, wanted, run, local=local, issue=True),
    )
    return run.machines.once(outlook.facts.system.identity, transport.name, change.provision)


def rolled_back(
    transport: Transport, spec: Spec, planned: Callable[[Spec, Facts], Plan] = plan_rollback
) -> PlannedHost:
    """Facts, and the plan that goes back. Raises HostError where there is no way back."""
    facts = ask_facts(transport, spec)
    return PlannedHost(facts=facts, plan=planned(spec, facts))


@dataclass(kw_only=True)
class Change:
    """One host on its way to what is wanted. Plans are made anew where a script could not carry one out."""

    transport: Transport
    spec: Spec
    run: RunSettings
    outlook: PlannedHost
    look: Callable[[Spec], PlannedHost]
    """Asks again, and plans anew."""
    journal: Journal = field(default_factory=lambda: Journal(steps=()))
    done: tuple[StepResult, ...] = ()
    """Steps of plans before the last one."""
    notes: tuple[str, ...] = ()

    def provision(self) -> HostResult:
        """Carry out the plan, ask again, and build for proof."""
        facts = self.outlook.facts
        try:
            if not self.outlook.plan.empty:
                self.carry_out()
                if self.spec.buildkit.fetch == "auto" and (why := not_downloaded(self.journal.results())):
                    self._send_instead(why)
                facts = ask_facts(self.transport, self.spec)
            result = _judged(self.transport.name, self.spec, facts, self.steps(), self.all_notes())
            return self._proven(result, facts)
        except ProvisionError as error:
            return broken_off(self.transport.name, self.steps(), self.all_notes(), error)

    def _proven(self, result: HostResult, facts: Facts) -> HostResult:
        """The result with proof: after a change, or where no run has proven what is there now."""
        if result.error or not self.run.proof or (not result.steps and is_proven(self.spec, facts)):
            return result
        proof = prove(self.transport, self.spec, facts, result.platforms, self.run.progress)
        seen = replace(result, platforms=proof.platforms)
        if proof.error and any(step.id == "save" and step.status == "done" for step in result.steps):
            return self._taken_back(seen, proof.error)
        if proof.error:
            return replace(seen, status="failed", error=proof.error)
        return seen

    def _taken_back(self, result: HostResult, error: ProvisionError) -> HostResult:
        """A new daemon that builds less than the old one gives way to it."""
        self.done, self.journal = result.steps, Journal(steps=())
        self.look = lambda spec: rolled_back(self.transport, spec, plan_taking_back)
        try:
            self._look()
            self.carry_out()
        except ProvisionError as reason:
            back = f"it was not taken back: {reason.message}"
        else:
            failed = [step for step in self.journal.results() if step.status == "failed"]
            back = "it could not be taken back" if failed else "taken back: the daemon of before runs again"
        steps = self.steps()
        cause = f"{error.cause}; {back}" if error.cause else back
        again = HostError(error.message, cause=cause, hint=error.hint, fix=error.fix)
        return replace(result, status="failed", steps=steps, error=again)

    def _send_instead(self, why: str) -> None:
        """That it has curl says nothing of its network. What is done by now is not in the new plan."""
        self.done = tuple(step for step in self.journal.results() if step.status == "done")
        self.notes = (f"the host could not download the release ({why}): it got it from here",)
        self.spec = from_here(self.spec)
        self._look()
        self.carry_out()

    def _look(self) -> None:
        self.outlook = self.look(self.spec)
        self.journal = _journal(self.transport.name, self.outlook.plan, self.run.progress)

    def carry_out(self) -> None:
        """Carry out a plan; a new one if another run has changed the host since. Raises LockedError."""
        for _ in range(_TURNS):
            self.journal = _journal(self.transport.name, self.outlook.plan, self.run.progress)
            if self.outlook.plan.empty:
                return
            carry_out(self.transport, self.outlook, self.run, self.journal)
            if not self.journal.overtaken:
                return
            self._look()
        raise LockedError(
            "other runs change this host again and again",
            cause=f"{_TURNS} times one was first",
            hint="Find out who runs this tool there, then run this again. Nothing was changed by this run.",
        )

    def steps(self) -> tuple[StepResult, ...]:
        """Of all plans so far."""
        return (*self.done, *self.journal.results())

    def all_notes(self) -> tuple[str, ...]:
        """Of the last plan, and on how it came to that."""
        return (*self.outlook.plan.notes, *self.notes)


def _adoption(facts: Facts) -> tuple[str, ...]:
    lines = adopted_lines(facts)
    if not lines:
        return ("there is no buildkitd.toml of somebody else with a setting that provision.toml has",)
    return ("for provision.toml:\n" + "\n".join(lines),)


def from_here(spec: Spec) -> Spec:
    """The same, with a release that is downloaded on this machine and sent."""
    return replace(spec, buildkit=replace(spec.buildkit, fetch="controller"))


def not_downloaded(steps: Sequence[StepResult]) -> str:
    """What the host's own download ended with; empty if it did not fail."""
    sign = "the download of "
    words = (step.detail.partition("\n")[0] for step in steps if step.status == "failed")
    return next(
        (each.removeprefix(sign).partition(" failed: ")[2] for each in words if each.startswith(sign)), ""
    )


def _journal(host: str, made: Plan, progress: Progress) -> Journal:
    targets = {step.id: f"{step.action} {step.target}" for step in made.steps}
    return Journal(
        steps=made.steps,
        listener=lambda step, state, words: progress.step(
            host, step, state, words or targets.get(step, step)
        ),
    )


def carry_out(transport: Transport, outlook: PlannedHost, run: RunSettings, journal: Journal) -> None:
    """Send the plan as one script, with what the host needs from here. Raises LockedError."""
    made, progress, host = outlook.plan, run.progress, transport.name

    def archive() -> Path:
        wanted_release = outlook.release
        if wanted_release is None:
            raise TypeError("this plan unpacks nothing")

        def arrived(done: int, total: int | None) -> None:
            progress.transfer(host, "download", done, total)

        return run.interruption.while_none(lambda: releases.fetch(wanted_release, run.cache, arrived))

    wanted = uploads(made.steps, outlook.facts.cached, archive)
    with payload(wanted, lambda done, total: progress.transfer(host, "send", done, total)) as sending:
        order = script(made, wanted, Claim.after(outlook.facts.last_run))
        timeout = run.timeout + sum(step.seconds for step in made.steps if isinstance(step, WaitForBuilds))
        transport.ask(order, timeout=timeout, payload=sending, on_record=journal.record)
    journal.check_lock()


_FIXES: Final = (
    (
        "No space left on device",
        "free some room there (see df -h), then run it again: finished steps are kept",
    ),
    ("Disk quota exceeded", "raise root's quota there, then run it again: finished steps are kept"),
    ("Read-only file system", "mount it read-write, or use a machine whose system can be changed"),
)
"""What a program says, and what to do about it."""
_ANY_FIX: Final = "fix the cause and run it again: finished steps are kept"


def failure(step: StepResult) -> HostError:
    """The error that a step amounts to."""
    fix = next((fix for sign, fix in _FIXES if sign in step.detail), _ANY_FIX)
    return HostError(f"{step.action} {step.target} failed", cause=step.detail.partition("\n")[0], hint=fix)


def _judged(
    host: str, spec: Spec, facts: Facts, steps: tuple[StepResult, ...], notes: tuple[str, ...]
) -> HostResult:
    """Judge by the facts collected after applying; a successful step is not proof."""
    failed = [step for step in steps if step.status == "failed"]
    lacking = unmet(spec, facts)
    error = None
    if failed:
        error = failure(failed[0])
    elif lacking:
        error = HostError(
            "the host is not as wanted after all steps",
            cause="; ".join(lacking),
            hint="run it again, or look at the host",
        )
    status: HostStatus = "failed" if error else "changed" if steps else "ok"
    seen = rows(spec, facts)
    return HostResult(host=host, status=status, steps=steps, platforms=seen, notes=notes, error=error)


def broken_off(
    host: str, steps: tuple[StepResult, ...], notes: tuple[str, ...], error: ProvisionError
) -> HostResult:
    """The result of a host whose script, or the look at it afterwards, came to no end."""
    if isinstance(error, StoppedError):
        done = sum(step.status == "done" for step in steps)
        error = StoppedError(
            f"interrupted: {done} of {len(steps)} steps are done",
            hint="run it again: finished steps are kept",
        )
    # Where the link broke, a step may have begun whose first word did not arrive.
    silent = isinstance(error, ConnectionLostError | DeadlineError)
    begun = silent or any(step.status != "skipped" for step in steps)
    result = HostResult.of_error(host, error, steps=steps if begun else (), notes=notes)
    return replace(result, untouched=not begun)
