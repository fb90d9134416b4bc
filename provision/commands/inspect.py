"""The commands that only look: `check`, `platforms`, `health` and `explain` of one host. Nothing is changed there.

Each raises HostError, UnreachableError or StoppedError when a question fails; the fleet makes a result of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from provision import health
from provision.commands.ask import ask_facts, ask_facts_and_clock, ask_target
from provision.facts import Facts
from provision.health import deep
from provision.health.explain import explain as explained
from provision.health.platforms import rows
from provision.plan.requirements import check_all
from provision.result import Finding, HostResult, PlatformRow, Severity, first_broken
from provision.spec import Spec
from provision.transport import Transport

_PRODUCT = "./inv provision"


def check_host(transport: Transport, spec: Spec, version: str) -> HostResult:
    """Whether the host can be provisioned at all, with BuildKit of this version: by what `provision` refuses by."""
    lines = check_all(ask_target(transport, spec, version))
    bad = any(line.status == "error" for line in lines)
    return HostResult(host=transport.name, status="failed" if bad else "ok", checks=lines)


def list_platforms(transport: Transport, spec: Spec) -> HostResult:
    """Every platform of the host: how it runs, and whether the worker lists it."""
    facts = ask_facts(transport, spec)
    return HostResult(host=transport.name, status="ok", platforms=rows(spec, facts))


def health_of(transport: Transport, spec: Spec, bar: Severity, *, thorough: bool = False) -> HostResult:
    """Everything that is not as it should be; `unhealthy` if any of it is as bad as `bar`.

    One request. `thorough` adds a second, which builds for every platform and measures.
    """
    facts = ask_facts_and_clock(transport, spec)
    found = health.find(spec, facts)
    seen = rows(spec, facts)
    if thorough:
        seen, failed = built(transport, spec, facts)
        found = health.ranked((*found, *failed))
    findings = addressed(found, transport)
    bad = any(health.reaches(each, bar) for each in findings)
    return HostResult(
        host=transport.name,
        status="unhealthy" if bad else "ok",
        findings=findings,
        platforms=seen,
    )


def build_platforms(transport: Transport, spec: Spec) -> HostResult:
    """Every platform of the host, with whether the daemon builds for it: it does so now. Two requests."""
    seen, failed = built(transport, spec, ask_facts(transport, spec))
    notes = tuple(f"{each.platform}: {each.evidence}" for each in failed)
    return HostResult(host=transport.name, status="ok", platforms=seen, notes=notes)


def built(
    transport: Transport, spec: Spec, facts: Facts
) -> tuple[tuple[PlatformRow, ...], tuple[Finding, ...]]:
    """The platforms after a build for each, and the builds that failed. None is begun if the daemon is silent."""
    seen = rows(spec, facts)
    if facts.worker is None:
        return seen, ()
    said = deep.parse(transport.ask(deep.script(spec, facts), timeout=deep.TIMEOUT).records)
    return deep.rows(said, seen, facts), deep.findings(said)


def explain(transport: Transport, spec: Spec, platform: str) -> HostResult:
    """The chain of one canonical platform; `unhealthy` if a link of it is broken, or will be."""
    narrow = replace(spec, platforms=(platform,))
    facts = ask_facts_and_clock(transport, narrow)
    links, findings = explained(narrow, facts, platform)
    if platform not in (spec.platforms or (platform,)):
        links = tuple(replace(link, fix=_asking(link.fix, platform)) for link in links)
        findings = tuple(replace(each, fix=_asking(each.fix, platform)) for each in findings)
    links = tuple(replace(link, fix=_addressed(link.fix, transport)) for link in links)
    return HostResult(
        host=transport.name,
        status="unhealthy" if first_broken(links) else "ok",
        chain=links,
        findings=addressed(findings, transport),
    )


def _asking(fix: str, platform: str) -> str:
    """For a platform that the configuration does not want: the bare command would do nothing for it."""
    return fix.replace(_PRODUCT, f"{_PRODUCT} --platforms {platform}")


def addressed(findings: Iterable[Finding], transport: Transport) -> tuple[Finding, ...]:
    """The same with fixes that say where: this tool's own command runs here, for that host."""
    return tuple(replace(each, fix=_addressed(each.fix, transport)) for each in findings)


def _addressed(fix: str, transport: Transport) -> str:
    return fix if transport.local else fix.replace(_PRODUCT, f"{_PRODUCT} --hosts {transport.name}")
