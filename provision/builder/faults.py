"""Every fault of a builder by its id, which never changes. docs/builder.md lists the same (a test compares them)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from provision.errors import ProvisionError
from provision.fix import Fix, HostCommand
from provision.result import Finding, Severity


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a kind of fault leads to and what to do about it. What was seen is each finding's own."""

    severity: Severity
    consequence: str
    fix: str


AGAIN: Final = "run builder again for all hosts: what this node cannot do goes to others"

FAULTS: Final[Mapping[str, Fault]] = {
    "node-unreachable": Fault(
        severity="error",
        consequence="builds for {platforms} fail, and builds for a platform in no list",
        fix=AGAIN,
    ),
    "node-platform": Fault(severity="error", consequence="builds for {platforms} fail", fix=AGAIN),
    "node-build": Fault(
        severity="error",
        consequence="builds for {platforms} fail",
        fix="look at that host: health --deep, or explain PLATFORM",
    ),
    "node-elsewhere": Fault(
        severity="warning",
        consequence="another node than the one that was meant does the work, perhaps by emulation",
        fix=AGAIN,
    ),
    "node-version": Fault(
        severity="warning",
        consequence="one Dockerfile may build on some nodes and fail on others",
        fix="run provision for all hosts, with one version",
    ),
    "node-clock": Fault(
        severity="warning",
        consequence="certificates and tokens seem expired or not yet valid there, and files of a build have odd times",
        fix="timedatectl set-ntp true, on that host",
    ),
    "node-certificate": Fault(
        severity="warning",
        consequence="nobody can build on that node then",
        fix="run provision for that host, which renews it",
    ),
    "client-certificate": Fault(
        severity="warning",
        consequence="this machine can then build on no node that listens with TLS",
        fix="run builder again, or get a new one with client-cert",
    ),
}


def fault(
    id_: str, evidence: str, platforms: str = "", *, severity: Severity | None = None, fix: Fix | None = None
) -> Finding:
    """The finding of this kind. A case of it may be worse than others, or have a fix of its own."""
    row = FAULTS[id_]
    return Finding(
        id=id_,
        severity=severity or row.severity,
        evidence=evidence,
        consequence=row.consequence.format(platforms=platforms),
        fix=fix or Fix(words=row.fix),
    )


def unreachable(error: ProvisionError, platforms: str) -> Finding:
    """A node that gave this error."""
    lines = [each.line for each in error.fix.commands if isinstance(each, HostCommand)]
    what = f"{' && '.join(lines)}, on that host" if lines else error.hint.rstrip(".")
    words = ": ".join(filter(None, (error.message, error.cause)))
    return fault(
        "node-unreachable", words, platforms, fix=Fix(words="; or ".join(filter(None, (what, AGAIN))))
    )
