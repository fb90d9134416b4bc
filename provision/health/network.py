"""The network of build steps, and the daemon's certificates. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from provision import paths
from provision.buildkit import network
from provision.certificates.life import LATE
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.fix import PROVISION, Fix
from provision.health.finding_table import finding
from provision.result import Finding
from provision.spec import Spec

DAY = 86_400
SOON = 14
"""Days before its end from which on a certificate is reported."""


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """What keeps build steps from the network, and clients from the daemon."""
    return (
        *_resolvers(spec, facts),
        *_plugins(spec, facts),
        *_mirrors(spec),
        *_certificates(spec, facts),
    )


_PUBLIC = "BuildKit gives them 8.8.8.8 instead: names fail where that is blocked, and local names always"


def _resolvers(spec: Spec, facts: Facts) -> Iterator[Finding]:
    basis = facts.basis
    if seen := network.no_resolvers(spec.buildkit, basis.resolvers, basis.no_resolvers):
        fatal = network.hinders_steps(basis.no_resolvers)
        yield finding(
            "resolver-missing",
            "error" if fatal else "warning",
            seen if fatal else f"{seen}, so build steps get none of this host's",
            "no build step starts" if fatal else _PUBLIC,
            Fix(words=f"write a {paths.RESOLVER} with the servers that this host asks")
            if fatal
            else Fix.by(PROVISION, words=network.NAMESERVERS),
        )
    if servers := network.unreachable_resolvers(spec.buildkit, facts.basis.resolvers):
        yield finding(
            "resolver-loopback",
            "warning",
            f"{paths.RESOLVER} names {', '.join(servers)} alone, which build steps cannot reach",
            _PUBLIC,
            Fix.by(PROVISION, words=network.NAMESERVERS),
        )


def _plugins(spec: Spec, facts: Facts) -> Iterator[Finding]:
    if lack := network.lacks(spec.buildkit, facts.tools, facts.files):
        yield finding(
            "network-plugins",
            "error",
            lack.seen,
            "build steps, or the next start of buildkitd, fail",
            lack.fix,
        )


def _mirrors(spec: Spec) -> Iterator[Finding]:
    if wrong := network.never_asked(spec.buildkit):
        yield finding(
            "registry-unused",
            "warning",
            "; ".join(f'[registry."{name}"] is never asked for' for name in wrong),
            "its mirrors and settings do not count",
            Fix.by(PROVISION, words=network.docker_io(wrong)),
        )


def _certificates(spec: Spec, facts: Facts) -> Iterator[Finding]:
    """Read by the daemon when it starts, and never again."""
    tls, files = spec.buildkit.tls, facts.basis.certificates
    if tls is None or not files:
        return
    restart = service_manager(spec, facts).commands.restart
    if problem := network.certificate_problem(tls, facts.basis):
        words = f"put the right file there, then restart {service_manager(spec, facts).service}"
        fix = Fix.by(PROVISION) if tls.own else Fix(words=words)
        yield finding("tls-files", "error", problem, "the next start of buildkitd fails", fix)
        return
    socket = facts.files.get(paths.SOCKET)
    renewed = [path for path, each in files.items() if socket and each.modified > socket.modified > 0]
    if renewed:
        evidence = f"{', '.join(renewed)} {'are' if len(renewed) > 1 else 'is'} newer than buildkitd's start"
        yield finding(
            "tls-renewed",
            "warning",
            evidence,
            "buildkitd still uses what it read at its start",
            Fix.by(restart),
        )
    for path in filter(None, (tls.cert, tls.ca)):
        end, now = network.expiry(files[path].text), facts.system.clock
        soon = tls.days * LATE if tls.own else SOON
        if end is None or not now or end - now > soon * DAY:
            continue
        over, days = end <= now, abs((end - now) // DAY)
        count = f"{days} day{'' if days == 1 else 's'}"
        yield finding(
            "tls-expiry",
            "error" if over else "warning",
            f"{path} expired {count} ago" if over else f"{path} expires in {count}",
            "no client is let in" if over else "no client is let in then",
            Fix.by(PROVISION) if tls.own else Fix.by(restart, words="first renew it"),
        )
