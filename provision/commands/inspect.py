"""The commands that change nothing: `check`, `platforms`, `health` and `explain` of one host.

Each raises HostError, UnreachableError or StoppedError when a question fails; the fleet makes a result of it.
"""

from __future__ import annotations

from dataclasses import replace

from provision import health, user_folders
from provision.commands.ask import ask_facts, ask_facts_and_clock, ask_target
from provision.facts import Facts
from provision.fix import Place
from provision.health import deep as deep_builds
from provision.health import registries
from provision.health.explain import explain as explained
from provision.health.platforms import rows
from provision.plan.requirements import check_all
from provision.result import Finding, HostResult, PlatformRow, Severity, first_broken
from provision.spec import Spec
from provision.transport import Transport


def check_host(transport: Transport, spec: Spec, version: str) -> HostResult:
    """Whether the host can be provisioned at all, with BuildKit of this version: by what `provision` refuses by."""
    target = ask_target(transport, spec, version, user_folders.cache(), registries=True)
    # A registry that does not answer today is no reason not to provision.
    lines = (*check_all(target), *registries.lines(target.facts))
    bad = any(line.status == "error" for line in lines)
    return HostResult(
        host=transport.name, status="failed" if bad else "ok", checks=lines, place=place_of(target.facts)
    )


def list_platforms(transport: Transport, spec: Spec) -> HostResult:
    """Every platform of the host: how it runs, and whether the worker lists it."""
    facts = ask_facts(transport, spec)
    return HostResult(host=transport.name, status="ok", platforms=rows(spec, facts))


def health_of(transport: Transport, spec: Spec, threshold: Severity, *, deep: bool = False) -> HostResult:
    """Everything that is not as it should be; `unhealthy` if any of it is as bad as `threshold`.

    One request. `deep` adds a second, which builds for every platform and measures.
    """
    facts = ask_facts_and_clock(transport, spec, registries=True)
    found = health.find(spec, facts)
    if not deep:
        return judged(transport.name, spec, facts, threshold, found)
    seen, failed = build_all(transport, spec, facts)
    return judged(transport.name, spec, facts, threshold, health.ranked((*found, *failed)), seen)


def judged(
    host: str,
    spec: Spec,
    facts: Facts,
    threshold: Severity,
    found: tuple[Finding, ...],
    seen: tuple[PlatformRow, ...] | None = None,
) -> HostResult:
    """The health of a host with these facts and findings."""
    bad = any(health.reaches(each, threshold) for each in found)
    return HostResult(
        host=host,
        status="unhealthy" if bad else "ok",
        findings=found,
        platforms=rows(spec, facts) if seen is None else seen,
        place=place_of(facts),
    )


def build_platforms(transport: Transport, spec: Spec) -> HostResult:
    """Every platform of the host, after a build for each that shows whether the daemon can. Two requests."""
    seen, failed = build_all(transport, spec, ask_facts(transport, spec))
    notes = tuple(f"{each.platform}: {each.evidence}" for each in failed)
    return HostResult(host=transport.name, status="ok", platforms=seen, notes=notes)


def build_all(
    transport: Transport, spec: Spec, facts: Facts
) -> tuple[tuple[PlatformRow, ...], tuple[Finding, ...]]:
    """The platforms after a build for each, and the builds that failed. None begins if the daemon is silent."""
    seen = rows(spec, facts)
    if facts.worker is None:
        return seen, ()
    script = deep_builds.script(spec, facts)
    measured = deep_builds.parse(transport.ask(script, timeout=deep_builds.TIMEOUT).records)
    return deep_builds.rows(measured, seen, facts), deep_builds.findings(spec, facts, measured)


def explain(transport: Transport, spec: Spec, platform: str) -> HostResult:
    """The chain of one canonical platform; `unhealthy` if a link of it is broken, or will be."""
    narrow = replace(spec, platforms=(platform,))
    facts = ask_facts_and_clock(transport, narrow)
    links, findings = explained(narrow, facts, platform)
    if platform not in (spec.platforms or (platform,)):
        # A bare `provision` would do nothing for it.
        links = tuple(replace(link, fix=link.fix.for_platform(platform)) for link in links)
        findings = tuple(replace(each, fix=each.fix.for_platform(platform)) for each in findings)
    return HostResult(
        host=transport.name,
        status="unhealthy" if first_broken(links) else "ok",
        chain=links,
        findings=findings,
        place=place_of(facts),
    )


def place_of(facts: Facts) -> Place:
    """The part of the place that the facts tell: who logs in on the host, and whether that user needs sudo.

    `login` is the user who called sudo. Without one, the session's user is the one who logged in.
    """
    user = facts.user
    return Place(login=user.login or user.name, sudo=not user.root or bool(user.login))
