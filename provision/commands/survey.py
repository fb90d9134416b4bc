"""What hosts offer as nodes of a builder: their health, with a build for every platform and its measured speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provision import health
from provision.architectures import PLATFORMS, of_platform
from provision.builder.assignment import Ability, Offer
from provision.commands.ask import ask_facts_and_clock
from provision.commands.inspect import place_of
from provision.facts import Facts
from provision.health import deep
from provision.health.platforms import rows
from provision.paths import STATE
from provision.result import HostResult, PlatformRow
from provision.spec import Spec
from provision.transport import Transport


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Filled by the fleet's threads, each for a host of its own."""

    offers: dict[str, Offer] = field(default_factory=dict)

    def look(self, transport: Transport, spec: Spec) -> HostResult:
        """One host, in two requests; `unhealthy` if something is wrong that concerns more than one platform."""
        facts = ask_facts_and_clock(transport, spec)
        found, seen = list(health.find(spec, facts)), rows(spec, facts)
        work: Mapping[str, float] = {}
        if facts.worker is not None:
            measured = deep.parse(transport.ask(deep.script(spec, facts), timeout=deep.TIMEOUT).records)
            seen, work = deep.rows(measured, seen, facts), measured.work
            found += deep.findings(spec, facts, measured)
        self.offers[transport.name] = offer(transport.name, seen, facts, work)
        errors = [each for each in found if each.severity == "error"]
        # An error of one platform takes that platform from the host, no more: it was not seen to build.
        bad = any(each.platform is None for each in errors)
        return HostResult(
            host=transport.name,
            status="unhealthy" if bad else "ok",
            findings=health.ranked(errors),
            platforms=seen,
            place=place_of(facts),
        )


def offer(host: str, seen: Sequence[PlatformRow], facts: Facts, work: Mapping[str, float]) -> Offer:
    """The platforms that a host was seen to build a moment ago. `work` is `deep.Measurements.work`."""
    disk = facts.disks.get(STATE)
    return Offer(
        host=host,
        abilities={
            row.platform: Ability(
                native=row.mode == "native",
                seconds=work.get(of_platform(row.platform).qemu) if row.platform in PLATFORMS else None,
            )
            for row in seen
            if row.builds
        },
        room=disk.free if disk else 0,
    )
