"""Combinations of QEMU, kernel and guest that are known to fail, with what helps. Pure.

A new combination is one row, with its source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provision.facts import Facts, kernel
from provision.facts.view import ArchitectureOnHost, concerned
from provision.fix import PROVISION, Fix
from provision.health.finding_table import finding
from provision.result import Finding
from provision.spec import Spec

NEWER: Final = "first bring a newer QEMU: another release of the system, or [emulation] interpreters"
Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Combination:
    """QEMU from `since` to below `before`, on kernels from `kernel` on, for one guest or all."""

    id: str
    since: Version
    before: Version
    kernel: tuple[int, int] = (0, 0)
    guest: str | None = None
    consequence: str
    source: str
    words: str = NEWER
    """What to do before `provision`."""

    def applies(self, view: ArchitectureOnHost, version: Version) -> bool:
        release = kernel.version(view.facts.system.kernel)
        guest = self.guest in (None, view.arch.qemu)
        return guest and self.since <= version < self.before and release >= self.kernel


COMBINATIONS: Final = (
    # The kernel lays out memory more randomly, where QEMU 7.0 wants its own (Debian bug 1087822).
    Combination(
        id="known-bad-aslr",
        since=(7, 0),
        before=(7, 1),
        kernel=(6, 8),
        guest="aarch64",
        consequence="programs crash now and then (segmentation fault)",
        source="tonistiigi/binfmt#215, home-assistant/builder#229",
        words=f"{NEWER}; until then, while building: sysctl kernel.randomize_va_space=0",
    ),
    Combination(
        id="known-bad-ldconfig",
        since=(9, 2, 0),
        before=(9, 2, 1),
        guest="aarch64",
        consequence="ldconfig of Ubuntu 22.04 images crashes, and with it apt-get install",
        source="tonistiigi/binfmt#231, #245",
    ),
    Combination(
        id="known-bad-go",
        since=(6, 2),
        before=(6, 3),
        consequence="programs crash at times, those written in Go above all (Ubuntu 22.04's QEMU)",
        source="moby/buildkit#2541, commaai/agnos-builder#468",
    ),
    # Fixed by QEMU's commit d135f781405f: -cpu max by default.
    Combination(
        id="known-bad-x86-64-v2",
        since=(0,),
        before=(7, 2),
        guest="x86_64",
        consequence="images that need x86-64-v2 (RHEL 9 and its kin) end with `CPU does not support x86-64-v2`",
        source="podman-container-tools/podman#15456",
        words=f"{NEWER}; until then: ENV QEMU_CPU=max in the build",
    ),
)


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """The combinations that hold on a host."""
    return tuple(found for view in concerned(spec, facts) for found in _matching(view))


def _matching(view: ArchitectureOnHost) -> tuple[Finding, ...]:
    """The combinations of one architecture."""
    version = numbers(view.qemu or "")
    if not version or not view.ran:
        return ()
    return tuple(
        finding(
            row.id,
            "warning",
            f"QEMU {view.qemu} on Linux {view.facts.system.kernel}",
            f"{row.consequence} ({row.source})",
            Fix.by(PROVISION, words=row.words),
            view.platform,
        )
        for row in COMBINATIONS
        if row.applies(view, version)
    )


def numbers(text: str) -> Version:
    """(7, 2, 22) of "7.2.22"; release candidates count as their release. Empty if there is no number."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
