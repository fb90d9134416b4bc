"""Why one platform does or does not work on a host: every link from its ELF header to a running build step. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provision import binfmt, paths
from provision.architectures import of_platform
from provision.buildkit.workers import covers
from provision.facts import Facts
from provision.facts.view import ArchitectureOnHost, view
from provision.health import boot, daemon, emulation, known_bad
from provision.result import OWNERS, Finding, Link, LinkStatus
from provision.spec import Spec

LINKS: Final = ("header", "cpu", "table", "handler", "emulator", "run", "boot", "service", "listing")
"""In the order in which a build step depends on them."""

LINK_OF: Final[Mapping[str, str]] = {
    "binfmt-not-mounted": "table",
    "binfmt-disabled": "table",
    "handler-over-native": "cpu",
    "handler-missing": "handler",
    "handler-disabled": "handler",
    "handler-shadowed": "handler",
    "handler-without-f": "handler",
    "handler-credentials": "handler",
    "handler-dynamic": "emulator",
    "handler-container": "emulator",
    "emulator-deleted": "emulator",
    "emulator-replaced": "emulator",
    "known-bad-aslr": "emulator",
    "known-bad-ldconfig": "emulator",
    "known-bad-go": "emulator",
    "known-bad-x86-64-v2": "emulator",
    "handler-argv": "run",
    "handler-broken": "run",
    "boot-no-mount": "boot",
    "boot-no-loader": "boot",
    "boot-missing": "boot",
    "boot-masked": "boot",
    "boot-broken": "boot",
    "boot-differs": "boot",
    "boot-over-native": "boot",
    "binfmt-not-held": "boot",
    "service-missing": "service",
    "service-stopped": "service",
    "service-disabled": "service",
    "worker-silent": "service",
    "worker-tmpdir": "listing",
    "worker-unlisted": "listing",
    "worker-masked": "listing",
    "worker-stale": "listing",
}
"""Which link a finding breaks. What is not here concerns the whole host and is `health`'s."""

_NATIVE: Final = ("table", "handler", "emulator", "boot")
"""Links that a platform has no need of when the CPU runs it."""


_DEPENDS: Final = ("handler", "emulator", "run", "listing")
"""Links of which nothing can be said when one before them is broken."""


def explain(spec: Spec, facts: Facts, platform: str) -> tuple[tuple[Link, ...], tuple[Finding, ...]]:
    """The chain of a canonical platform, and the findings that break it, in its order."""
    seen = view(of_platform(platform), spec, facts)
    found = _findings(spec, facts, seen, platform)
    links = []
    broken = False
    for name in LINKS:
        here = [each for each in found if LINK_OF[each.id] == name]
        known = here or not broken or name not in _DEPENDS
        link = _link(name, here, seen, platform) if known else _unknown(name)
        links.append(link)
        broken |= link.status == "broken" and name != "boot"
    return tuple(links), found


def _findings(spec: Spec, facts: Facts, seen: ArchitectureOnHost, platform: str) -> tuple[Finding, ...]:
    areas = (emulation.findings, boot.findings, known_bad.findings, daemon.findings)
    found = [each for area in areas for each in area(spec, facts) if each.id in LINK_OF]
    mine = [each for each in found if each.platform in (None, seen.platform, platform)]
    return tuple(sorted(mine, key=lambda each: LINKS.index(LINK_OF[each.id])))


def _link(name: str, here: list[Finding], seen: ArchitectureOnHost, platform: str) -> Link:
    if not here:
        return Link(id=name, status=_state(name, seen), seen=_words(name, seen, platform))
    status: LinkStatus = "broken" if any(each.severity == "error" for each in here) else "warning"
    if all(each.severity == "info" for each in here):
        status = "ok"
    return Link(id=name, status=status, seen="; ".join(each.evidence for each in here), fix=here[0].fix)


def _unknown(name: str) -> Link:
    return Link(id=name, status="skipped", seen="depends on what is broken before it")


def _state(name: str, seen: ArchitectureOnHost) -> LinkStatus:
    if name == "boot" and not seen.native and boot.coming(seen) is None:
        return "skipped"
    return "skipped" if seen.native and name in _NATIVE else "ok"


def _words(name: str, seen: ArchitectureOnHost, platform: str) -> str:
    """What a link that holds looks like on this host."""
    if seen.native and name in _NATIVE:
        return "not needed: the CPU runs its programs"
    return {
        "header": _header,
        "cpu": _cpu,
        "table": _table,
        "handler": _handler,
        "emulator": _emulator,
        "run": _run,
        "boot": _boot,
        "service": _service,
        "listing": _listing,
    }[name](seen, platform)


def _header(seen: ArchitectureOnHost, _platform: str) -> str:
    arch = seen.arch
    order = "big" if arch.big_endian else "little"
    return f"programs are ELF, {arch.bits} bits, {order}-endian, machine {arch.machine}"


def _cpu(seen: ArchitectureOnHost, _platform: str) -> str:
    machine = seen.facts.system.machine
    if seen.native:
        return f"this machine ({machine}) runs them itself"
    asked = seen.probe.natively is not None
    return f"this machine ({machine}) does not run them itself{'' if asked else ' (not tried)'}"


def _table(seen: ArchitectureOnHost, _platform: str) -> str:
    count = sum(entry.enabled for entry in seen.facts.entries)
    return f"binfmt_misc is mounted with {count} enabled handler{'' if count == 1 else 's'}"


def _handler(seen: ArchitectureOnHost, _platform: str) -> str:
    entry = seen.winner
    if entry is None:
        return "none"
    position = seen.facts.entries.index(entry) + 1
    others = [each.name for each in binfmt.shadows(seen.facts.entries, entry) if each.matches(seen.header)]
    hides = f"; it hides {', '.join(others)}" if others else ""
    return f"{emulation.describe(entry)}, asked as number {position} of {len(seen.facts.entries)}{hides}"


def _emulator(seen: ArchitectureOnHost, _platform: str) -> str:
    entry, file = seen.winner, seen.file
    if entry is None:
        return "none"
    linkage = file.header.linkage if file and file.header else "unknown linkage"
    qemu, owner = seen.qemu or "unknown", OWNERS[seen.owner(entry)]
    return f"{entry.interpreter}, {linkage}, QEMU {qemu}, the file the kernel holds; {owner}"


def _run(seen: ArchitectureOnHost, _platform: str) -> str:
    took = seen.probe.milliseconds
    where = "" if seen.facts.user.root else " (not in a chroot: that needs root)"
    time = f", {took:.1f} ms of CPU time" if took is not None else ""
    return f"a program of {seen.probe.expected} arguments counted them in an empty chroot{time}{where}"


def _boot(seen: ArchitectureOnHost, _platform: str) -> str:
    then = boot.coming(seen)
    if then:
        return f"{then.path} brings it back"
    return "no file brings it back" if seen.facts.system.systemd else "not known: systemd does not run here"


def _service(_seen: ArchitectureOnHost, _platform: str) -> str:
    return f"{paths.SERVICE} runs and answers"


def _listing(seen: ArchitectureOnHost, platform: str) -> str:
    found = seen.facts.worker
    if found is None:
        return "not known"
    if covers(found.platforms, platform) == "listed":
        return f"buildkitd lists {platform}"
    return f"buildkitd takes it for one of {', '.join(found.platforms)}"
