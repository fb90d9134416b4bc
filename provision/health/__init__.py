"""Spec × Facts → Findings: will the next build work, and the one after the next boot? Pure.

A new finding is a function in the module it belongs to, and a row in finding_table.py (and so in docs/findings.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from provision import paths
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.facts.view import concerned, provisioned
from provision.fix import PROVISION, Fix
from provision.health import (
    access,
    basis,
    boot,
    daemon,
    drift,
    emulation,
    known_bad,
    network,
    registries,
    resources,
)
from provision.health.finding_table import ROWS, finding
from provision.result import SEVERITIES, Finding, reaches
from provision.spec import Spec

__all__ = ["ROWS", "SEVERITIES", "find", "ranked", "reaches"]

Area = Callable[[Spec, Facts], Sequence[Finding]]

AREAS: Final[tuple[Area, ...]] = (
    emulation.findings,
    boot.findings,
    known_bad.findings,
    basis.findings,
    drift.findings,
    daemon.findings,
    network.findings,
    access.findings,
    resources.findings,
    registries.findings,
)


def find(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Everything that is not as it should be on a host, worst first; empty on a healthy one."""
    if not provisioned(facts):
        return ranked((_not_provisioned(spec, facts), *_container_handlers(spec, facts)))
    return ranked(each for area in AREAS for each in area(spec, facts))


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first, else in the order given."""
    return tuple(sorted(findings, key=_rank))


def _rank(found: Finding) -> int:
    return SEVERITIES.index(found.severity)


def _not_provisioned(spec: Spec, facts: Facts) -> Finding:
    others = [entry.name for entry in facts.entries]
    seen = f"; handlers of others: {', '.join(others)}" if others else ""
    daemon = "; a buildkitd of somebody else answers" if facts.worker else ""
    service = service_manager(spec, facts).path
    evidence = f"no {paths.CURRENT}, no {service}, no rule of this tool in {paths.RULES}{seen}{daemon}"
    return finding("not-provisioned", "error", evidence, "not a build machine", Fix.by(PROVISION))


def _container_handlers(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Handlers that a container registered work now and vanish at reboot: reported on an unprovisioned host, too."""
    found = (emulation.first_fault(view, spec) for view in concerned(spec, facts) if view.contained)
    return tuple(each for each in found if each and each.id == "handler-container")
