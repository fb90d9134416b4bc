"""The registries of the configuration, as the host reaches them: answer, certificate, login, clock. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from provision.facts import Facts, RegistryAnswer
from provision.fix import NO_FIX, PROVISION, Fix, ToolCommand, run
from provision.health.finding_table import finding
from provision.health.resources import CLOCK
from provision.result import CheckLine, Finding
from provision.spec import Spec

_UNTRUSTED: Final = frozenset({51, 58, 60, 77, 83, 91})
"""curl's exit statuses about certificates (curl(1), EXIT CODES)."""
_ANSWERS: Final = frozenset({200, 401, 403})
"""What a registry answers at its front door."""


def findings(_spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Faults of the registries that were asked."""
    return tuple(each for name, seen in facts.registries.items() for each in _of(name, seen, facts))


def lines(facts: Facts) -> tuple[CheckLine, ...]:
    """The same for `check`: a line for each registry, which is no reason to refuse."""
    return tuple(_line(name, seen, facts) for name, seen in facts.registries.items())


def _line(name: str, seen: RegistryAnswer, facts: Facts) -> CheckLine:
    faults = tuple(_of(name, seen, facts))
    login = {"valid": ", and takes the login", "refused": ", and refuses the login"}.get(seen.login, "")
    answer = f"{name} answers{login}"
    return CheckLine(
        id="registry",
        status="warning" if faults else "ok",
        seen="; ".join(each.evidence for each in faults) or answer,
        needed="an answer, a certificate that the host trusts, a login that is valid, the right time",
        fix=faults[0].fix if faults else NO_FIX,
    )


def _of(name: str, seen: RegistryAnswer, facts: Facts) -> Iterator[Finding]:
    consequence = f"builds that pull from or push to {name} fail"
    if seen.curl in _UNTRUSTED:
        fix = Fix.by(PROVISION, words=f'first name its authority as ca under [registry."{name}"]')
        yield finding("registry-certificate", "error", f"{name}: {seen.problem}", consequence, fix)
    elif seen.curl or seen.status not in _ANSWERS:
        said = seen.problem or f"it answered {seen.status}, which no registry does"
        fix = Fix(words="look at its name and port, the network, and the proxy of the daemon's environment")
        yield finding("registry-unreachable", "error", f"{name}: {said}", consequence, fix)
    if seen.login == "refused":
        yield finding(
            "registry-login",
            "warning",
            f"{name} refuses the login of {facts.user.login or facts.user.name or 'the user'}",
            "that user's builds cannot pull private images or push",
            Fix.by(ToolCommand(task="login", arguments=(name,))),
        )
    off = _off(seen, facts)
    if abs(off) >= CLOCK and abs(facts.skew or 0.0) < CLOCK:
        yield finding(
            "clock-off",
            "warning",
            f"its clock is {abs(off):.0f} s {'behind' if off < 0 else 'ahead of'} that of {name}",
            "registries cannot be reached: their certificates seem expired or not yet valid",
            Fix.by(run("timedatectl", "set-ntp", "true")),
        )


def _off(seen: RegistryAnswer, facts: Facts) -> float:
    """Seconds by which the host's clock is ahead of the registry's; 0 if that is not known."""
    try:
        theirs = parsedate_to_datetime(seen.date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return facts.system.clock - theirs if facts.system.clock else 0.0
