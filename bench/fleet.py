"""The no-op on one host against pyinfra and Ansible, fleets of 50 and 500 against plain OpenSSH; which targets are met.

Needs what the host rung of the tests needs, and PyPI. Ratios of one run count, and turns of the line: absolute
seconds are this machine's. Ends with 1 if a target is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.lab import many_hosts, measure, one_host
from bench.lab.measure import Cost
from tests.lab.requirements import missing


@dataclass(frozen=True, kw_only=True)
class Target:
    """A number that must be at most, or at least, what was promised."""

    what: str
    found: float
    promised: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.found >= self.promised if self.at_least else self.found <= self.promised

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        return (
            f"| {self.what} | {word} {self.promised:g} | {self.found:.2f} | {'yes' if self.met else 'NO'} |"
        )


def targets_of_most(most: Mapping[str, Cost]) -> Iterator[Target]:
    """Of as many hosts as one run is promised to take."""
    size = many_hosts.MOST
    ours, plain = most[f"provision platforms, {size}"], most[f"OpenSSH, bare script, {size}"]
    yield Target(
        what=f"time of {size} hosts, plain OpenSSH being 1", found=ours.wall / plain.wall, promised=1.0
    )
    yield Target(what=f"MB of memory for {size} hosts", found=ours.memory / 1e6, promised=200)
    yield Target(what=f"open files for {size} hosts", found=ours.files, promised=many_hosts.FILES)


def targets(one: Mapping[str, Cost], many: Mapping[str, Cost]) -> Iterator[Target]:
    """Of the costs that `main` measures."""
    ours, most = one["provision"], many["provision platforms, 50"]
    yield Target(what="turns of a no-op", found=ours.turns, promised=8)
    for name, factor in (("pyinfra", 6), ("ansible", 20)):
        rival = next(cost for each, cost in one.items() if each.startswith(name))
        yield Target(
            what=f"times quicker than {name}", found=rival.wall / ours.wall, promised=factor, at_least=True
        )
    plain = many["OpenSSH, bare script, 50"]
    yield Target(what="time of 50 hosts, plain OpenSSH being 1", found=most.wall / plain.wall, promised=1.0)
    health = many["provision health, 50"]
    yield Target(
        what="time of health of 50 hosts, the no-op being 1", found=health.wall / most.wall, promised=1.25
    )
    yield Target(what="turns a host, of 50", found=most.turns / 50, promised=8)
    yield Target(what="MB of memory for 50 hosts", found=most.memory / 1e6, promised=150)


def main() -> int:
    if lacking := missing("host", "ssh"):
        print(
            "\n".join(("error: this benchmark cannot run here", *(f"  {each}" for each in lacking))),
            file=sys.stderr,
        )
        return 1
    items, one = one_host.measured()
    print(measure.table(f"The no-op of {items} items on one host", one), flush=True)
    many = many_hosts.measured()
    print(measure.table(f"Facts of more and more hosts, {many_hosts.JOBS} at once", many), flush=True)
    most = many_hosts.measured_most()
    print(measure.table(f"Facts of {many_hosts.MOST} hosts, {many_hosts.MOST_JOBS} at once", most))
    found = [*targets(one, many), *targets_of_most(most)]
    print("\n**Targets**\n\n| | promised | found | met |\n| --- | --- | ---: | --- |")
    print("\n".join(map(str, found)))
    return 0 if all(target.met for target in found) else 1


if __name__ == "__main__":
    sys.exit(main())
