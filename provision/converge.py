"""One host, from question to proof: ask, plan, apply, ask again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from provision import probe, sent
from provision.apply import Journal, script
from provision.buildkit import release as releases
from provision.buildkit.release import Release
from provision.buildkit.source import is_url
from provision.checks import check_all
from provision.errors import HostError, ProvisionError, UnreachableError
from provision.facts import Facts, parse
from provision.parcel import parts, payload
from provision.plan import Plan, plan
from provision.platforms import rows, unmet
from provision.report.progress import Progress
from provision.result import HostResult, HostStatus, StepResult
from provision.spec import Buildkit, Spec
from provision.transport import Transport

ASK_TIMEOUT = 120.0
"""Seconds for the facts: they take well under one, on a loaded Pi a few."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a run behaves, the same for all its hosts."""

    cache: Path
    """Where this machine keeps downloads."""
    timeout: float
    """Seconds for the apply script."""
    progress: Progress
    version: str
    """The BuildKit version, resolved once."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A host as it is, and what would be done to it."""

    facts: Facts
    release: Release
    plan: Plan


def ask(transport: Transport, spec: Spec) -> Facts:
    """The facts of a host. Raises HostError or UnreachableError."""
    question = probe.question(spec)
    answer = transport.ask(question.script, timeout=ASK_TIMEOUT)
    if answer.status != 0 and not answer.records:
        raise HostError(
            f"the facts script ended with status {answer.status}",
            cause=answer.stderr.strip()[-300:],
            hint="log in by hand and run `sh -c true`: it must print nothing",
        )
    return parse(answer.records, question.expected)


def look(transport: Transport, spec: Spec, run: Run, *, local: bool) -> Outlook:
    """Facts and plan; `local` says that the host is this machine. Changes nothing.

    Raises what stands against provisioning this host.
    """
    facts = ask(transport, spec)
    release = releases.resolve(
        spec.buildkit, version=run.version, machine=facts.system.machine, userland_bits=facts.system.userland_bits
    )
    url = release.location if host_fetches(spec.buildkit, release, facts, local=local) else None
    made = plan(
        spec,
        facts,
        release,
        url=url,
        sent=sent.files(spec),
        nonce=secrets.token_bytes(7),
        argc=probe.argc(),
    )
    return Outlook(facts=facts, release=release, plan=made)


def host_fetches(buildkit: Buildkit, release: Release, facts: Facts, *, local: bool) -> bool:
    """Whether the host downloads the release itself rather than get it from here.

    Raises HostError where the user asked for what cannot be.
    """
    able = is_url(release.location) and bool(facts.tools & {"curl", "wget"})
    if buildkit.fetch == "host" and not able:
        raise HostError(
            "this host cannot download the release itself",
            cause="it has neither curl nor wget" if is_url(release.location) else "the mirror is a folder on this machine",
            hint='set [buildkit] fetch = "auto"',
        )
    # A URL with a login stays here: on the host it would stand in a command line.
    login = is_url(release.location) and "@" in release.location.split("/")[2]
    return buildkit.fetch == "host" or (buildkit.fetch == "auto" and able and not local and not login)


def check(transport: Transport, spec: Spec) -> HostResult:
    """Whether the host can be provisioned at all."""

    def work() -> HostResult:
        lines = check_all(spec, ask(transport, spec))
        bad = any(line.status == "error" for line in lines)
        return HostResult(host=transport.name, status="failed" if bad else "ok", checks=lines)

    return guarded(transport.name, work)


def platforms(transport: Transport, spec: Spec) -> HostResult:
    """Every platform of the host: how it runs, and whether the worker lists it."""

    def work() -> HostResult:
        facts = ask(transport, spec)
        return HostResult(host=transport.name, status="ok", platforms=rows(spec, facts))

    return guarded(transport.name, work)


def preview(transport: Transport, spec: Spec, run: Run, *, local: bool = False) -> HostResult:
    """What `provision` would do."""

    def work() -> HostResult:
        made = look(transport, spec, run, local=local).plan
        steps = tuple(
            StepResult(id=step.id, action=step.action, target=step.target, status="pending", detail=step.detail)
            for step in made.steps
        )
        return HostResult(host=transport.name, status="pending" if steps else "ok", steps=steps, notes=made.notes)

    return guarded(transport.name, work)


def provision(transport: Transport, spec: Spec, run: Run, *, local: bool = False) -> HostResult:
    """Make the host as wanted, and prove it. What goes wrong on the host is in the result."""

    def work() -> HostResult:
        outlook = look(transport, spec, run, local=local)
        facts = outlook.facts
        steps: tuple[StepResult, ...] = ()
        if not outlook.plan.empty:
            steps = carry_out(transport, outlook, run)
            facts = ask(transport, spec)
        return _judged(transport.name, spec, facts, steps, outlook.plan.notes)

    return guarded(transport.name, work)


def carry_out(transport: Transport, outlook: Outlook, run: Run) -> tuple[StepResult, ...]:
    """Send the plan as one script, with what the host needs from here."""
    made, progress, host = outlook.plan, run.progress, transport.name
    targets = {step.id: f"{step.action} {step.target}" for step in made.steps}
    journal = Journal(
        steps=made.steps,
        listener=lambda id, state, words: progress.step(host, id, state, words or targets.get(id, id)),
    )

    def archive() -> Path:
        return releases.fetch(
            outlook.release, run.cache, lambda done, total: progress.transfer(host, "download", done, total)
        )

    wanted = parts(made.steps, outlook.facts.cached, archive)
    with payload(wanted, lambda done, total: progress.transfer(host, "send", done, total)) as sending:
        transport.ask(script(made, wanted), timeout=run.timeout, payload=sending, on_record=journal.record)
    return journal.results()


def _judged(
    host: str, spec: Spec, facts: Facts, steps: tuple[StepResult, ...], notes: tuple[str, ...]
) -> HostResult:
    """The result, from the facts after the fact: a step that went well proves nothing."""
    failed = [step for step in steps if step.status == "failed"]
    interrupted = any(step.status == "skipped" and step.detail == "interrupted" for step in steps)
    lacking = unmet(spec, facts)
    error = None
    status: HostStatus = "changed" if steps else "ok"
    if interrupted:
        status = "interrupted"
    elif failed:
        status = "failed"
        error = HostError(
            f"{failed[0].action} {failed[0].target} failed",
            cause=failed[0].detail.splitlines()[0] if failed[0].detail else "",
            hint="mend the cause and run it again: what was finished stays",
        )
    elif lacking:
        status = "failed"
        error = HostError(
            "the host is not as wanted after all steps", cause="; ".join(lacking), hint="run it again, or look at the host"
        )
    return HostResult(host=host, status=status, steps=steps, platforms=rows(spec, facts), notes=notes, error=error)


def guarded(host: str, work: Callable[[], HostResult]) -> HostResult:
    """What `work` returns, or the failure it met as a result: one bad host never spoils a run."""
    begun = time.monotonic()
    try:
        result = work()
    except ProvisionError as error:
        status: HostStatus = "unreachable" if isinstance(error, UnreachableError) else "failed"
        result = HostResult(host=host, status=status, error=error)
    return replace(result, seconds=time.monotonic() - begun)
