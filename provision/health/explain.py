"""Why one platform does or does not work on a host: every link from its ELF header to a running build step. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from provision import binfmt
from provision.architectures import of_platform
from provision.buildkit.workers import covers
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.facts.view import ArchitectureOnHost, view
from provision.health import basis, boot, daemon, drift, emulation, known_bad
from provision.health.finding_table import ROWS, LinkId
from provision.result import OWNERS, ChainLink, Finding, LinkStatus
from provision.spec import Spec

_SERVICE: Final = (basis.findings, drift.findings, daemon.findings)


def explain(spec: Spec, facts: Facts, platform: str) -> tuple[tuple[ChainLink, ...], tuple[Finding, ...]]:
    """The chain of a canonical platform, and the findings that break it, in its order."""
    seen = view(of_platform(platform), spec, facts)
    found = _findings(spec, facts, seen, platform)
    links = []
    broken = False
    for row in LINKS:
        here = [each for each in found if ROWS[each.id].link == row.id]
        if here:
            link = _faulty(row, here)
        elif broken and row.depends_on_earlier:
            link = ChainLink(
                id=row.id, status="skipped", seen="depends on the link that is broken before it"
            )
        else:
            link = _sound(row, seen, platform)
        links.append(link)
        broken |= link.status == "broken" and row.id != "boot"
    return tuple(links), found


def _findings(spec: Spec, facts: Facts, seen: ArchitectureOnHost, platform: str) -> tuple[Finding, ...]:
    areas = (emulation.findings, boot.findings, known_bad.findings, *_SERVICE)
    found = [
        each
        for area in areas
        for each in area(spec, facts)
        if each.platform in (None, seen.platform, platform)
    ]
    return tuple(each for row in LINKS for each in found if ROWS[each.id].link == row.id)


def _faulty(row: LinkRow, here: list[Finding]) -> ChainLink:
    status: LinkStatus = "broken" if any(each.severity == "error" for each in here) else "warning"
    if all(each.severity == "info" for each in here):
        status = "ok"
    return ChainLink(
        id=row.id, status=status, seen="; ".join(each.evidence for each in here), fix=here[0].fix
    )


def _sound(row: LinkRow, seen: ArchitectureOnHost, platform: str) -> ChainLink:
    if seen.native and row.only_emulated:
        return ChainLink(id=row.id, status="skipped", seen="not needed: the CPU runs its programs")
    status, words = row.describe(seen, platform)
    return ChainLink(id=row.id, status=status, seen=words)


Description = tuple[LinkStatus, str]


def _header(seen: ArchitectureOnHost, _platform: str) -> Description:
    arch = seen.arch
    order = "big" if arch.big_endian else "little"
    return "ok", f"programs are ELF, {arch.bits} bits, {order}-endian, machine {arch.machine}"


def _cpu(seen: ArchitectureOnHost, _platform: str) -> Description:
    machine = seen.facts.system.machine
    if seen.native:
        return "ok", f"this machine ({machine}) runs them itself"
    tried = seen.probe.natively is not None
    return "ok", f"this machine ({machine}) does not run them itself{'' if tried else ' (not tried)'}"


def _table(seen: ArchitectureOnHost, _platform: str) -> Description:
    if seen.provided:
        return "ok", "the table of handlers is that of the machine around this container"
    count = sum(entry.enabled for entry in seen.facts.entries)
    return "ok", f"binfmt_misc is mounted with {count} enabled handler{'' if count == 1 else 's'}"


def _handler(seen: ArchitectureOnHost, _platform: str) -> Description:
    entry = seen.winner
    if entry is None:
        return "ok", "none"
    position = seen.facts.entries.index(entry) + 1
    others = [each.name for each in binfmt.shadows(seen.facts.entries, entry) if each.matches(seen.header)]
    hides = f"; it hides {', '.join(others)}" if others else ""
    return (
        "ok",
        f"{emulation.describe(entry)}, asked as number {position} of {len(seen.facts.entries)}{hides}",
    )


def _emulator(seen: ArchitectureOnHost, _platform: str) -> Description:
    entry, file = seen.winner, seen.file
    if entry is None:
        return "ok", "none"
    linkage = file.header.linkage if file and file.header else "unknown linkage"
    qemu, owner = seen.qemu or "unknown", OWNERS[seen.owner(entry)]
    return "ok", f"{entry.interpreter}, {linkage}, QEMU {qemu}, the file the kernel holds; {owner}"


def _run(seen: ArchitectureOnHost, _platform: str) -> Description:
    took = seen.probe.milliseconds
    where = "" if seen.facts.user.root else " (not in a chroot: that needs root)"
    time = f", {took:.1f} ms of CPU time" if took is not None else ""
    return "ok", f"a program of {seen.probe.expected} arguments counted them in an empty chroot{time}{where}"


def _boot(seen: ArchitectureOnHost, _platform: str) -> Description:
    then = boot.coming(seen)
    if then:
        return "ok", f"{then.path} brings it back"
    return "skipped", "no file brings it back"


def _service(seen: ArchitectureOnHost, _platform: str) -> Description:
    return "ok", f"{service_manager(seen.spec, seen.facts).service} runs and answers"


def _listing(seen: ArchitectureOnHost, platform: str) -> Description:
    found = seen.facts.worker
    if found is None:
        return "ok", "not known"
    if covers(found.platforms, platform) == "listed":
        return "ok", f"buildkitd lists {platform}"
    return "ok", f"buildkitd takes it for one of {', '.join(found.platforms)}"


@dataclass(frozen=True, kw_only=True)
class LinkRow:
    """One link of every chain."""

    id: LinkId
    describe: Callable[[ArchitectureOnHost, str], Description]
    """How the link looks on a host where no finding breaks it; the second argument is the platform."""
    only_emulated: bool = False
    """Whether a platform that the CPU runs does not need it."""
    depends_on_earlier: bool = False
    """Whether its state is unknown when a link before it is broken."""


LINKS: Final = (
    LinkRow(id="header", describe=_header),
    LinkRow(id="cpu", describe=_cpu),
    LinkRow(id="table", describe=_table, only_emulated=True),
    LinkRow(id="handler", describe=_handler, only_emulated=True, depends_on_earlier=True),
    LinkRow(id="emulator", describe=_emulator, only_emulated=True, depends_on_earlier=True),
    LinkRow(id="run", describe=_run, depends_on_earlier=True),
    LinkRow(id="boot", describe=_boot, only_emulated=True),
    LinkRow(id="service", describe=_service),
    LinkRow(id="listing", describe=_listing, depends_on_earlier=True),
)
"""In the order in which a build step depends on them."""
