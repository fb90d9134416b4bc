"""The platforms of a host: whether each is registered, listed and builds, which may differ, and how it runs. Pure."""

from __future__ import annotations

from dataclasses import replace

from provision.architectures import PLATFORMS, of_platform
from provision.buildkit.workers import covers, undetected, unknown_to
from provision.errors import UsageError
from provision.facts import Facts
from provision.facts.interpreters import running
from provision.facts.view import ArchitectureOnHost, view
from provision.health.emulation import describe
from provision.result import Mode, PlatformRow
from provision.spec import Spec


def listed(facts: Facts) -> tuple[str, ...] | None:
    """The platforms the worker lists, normalised; None when it did not answer."""
    return facts.worker.platforms if facts.worker else None


def rows(spec: Spec, facts: Facts) -> tuple[PlatformRow, ...]:
    """Every platform that is wanted, listed, registered or runs: the user's first, then the table's order."""
    worker = listed(facts)
    wanted = spec.platforms or ()
    names = dict.fromkeys((*wanted, *PLATFORMS, *(worker or ())))
    found = (_row(platform, spec, facts, worker) for platform in names)
    return tuple(
        row for row in found if row.platform in wanted or row.mode != "none" or row.registered or row.listed
    )


def _row(platform: str, spec: Spec, facts: Facts, worker: tuple[str, ...] | None) -> PlatformRow:
    wanted = None if spec.platforms is None else platform in spec.platforms
    try:
        seen = view(of_platform(platform), spec, facts)
    except UsageError:  # the worker knows one that the table does not
        return PlatformRow(platform=platform, mode="none", listed=True, wanted=wanted)
    # Of a variant that was not found here: that programs of the usual one run says nothing.
    strange = (
        worker is not None
        and not covers(worker, platform)
        and platform not in undetected(worker, [platform])
    )
    mode = "none" if strange else _mode(seen)
    row = PlatformRow(
        platform=platform,
        mode=mode,
        listed=None if worker is None else platform in worker,
        wanted=wanted,
        milliseconds=None if mode == "none" else seen.probe.milliseconds,
    )
    if mode == "native":
        return row
    entry = seen.winner
    if entry is None and seen.provided:
        return replace(row, registered=True, qemu=seen.probe.qemu, owner="machine")
    if entry is None:
        return replace(row, registered=False)
    return replace(
        row,
        registered=True,
        handler=entry.name,
        flags=entry.flags,
        interpreter=entry.interpreter,
        qemu=None if strange else seen.probe.qemu,
        static=seen.static,
        owner=seen.owner(entry),
    )


def _mode(seen: ArchitectureOnHost) -> Mode:
    if seen.native:
        return "native"
    return "emulated" if seen.ran else "none"


def unmet(spec: Spec, facts: Facts) -> tuple[str, ...]:
    """What a provisioned host still lacks, one sentence each. Empty: every wanted platform runs and is listed.

    If the configuration names no platforms, every platform that has a handler must run.
    """
    worker = listed(facts)
    if worker is None or facts.worker is None:
        return (f"buildkitd does not answer: {facts.worker_error or 'its socket is not there'}",)
    problems = []
    runs = running(spec, facts)
    late = undetected(worker, runs)
    for platform in spec.platforms or runs:
        since = unknown_to(facts.worker, platform)
        if since and spec.platforms is None:
            continue  # nobody asked for it
        if since and platform in runs:
            problems.append(f"{platform}: BuildKit {facts.worker.version} does not list it, {since} does")
        elif platform not in runs and not _late(platform, facts):
            problems.append(f"{platform}: {why_not(view(of_platform(platform), spec, facts))}")
        elif platform in late:
            problems.append(f"{platform}: it runs here, but buildkitd does not list it")
        elif not covers(worker, platform):
            problems.append(f"{platform}: this processor or emulator does not have the variant")
    return tuple(problems)


def _late(platform: str, facts: Facts) -> bool:
    """Whether its program did not end in time, which proves nothing."""
    probe = facts.probes.get(of_platform(platform).qemu)
    return probe is not None and probe.late


def why_not(seen: ArchitectureOnHost) -> str:
    """The reason why a wanted platform does not run."""
    return f"{describe(seen.winner)}: {seen.outcome}" if seen.winner else seen.outcome
