"""`--deep`: a build for every platform through the real daemon, and how much slower emulation is."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from provision import elf, paths
from provision.architectures import PLATFORMS, Architecture, of_platform
from provision.buildkit.failures import meaning_of
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.facts.records import number, records
from provision.facts.view import all_views, concerned
from provision.fix import NO_FIX, Fix, HostCommand, ToolCommand
from provision.health import basis
from provision.health.finding_table import finding
from provision.render import render
from provision.result import Finding, PlatformRow
from provision.spec import Spec

TIMEOUT: Final = 600.0
"""Seconds for all builds of a host."""
_BUILD: Final = 120
"""Seconds for one."""
_TIMED_OUT: Final = (124, 143)
"""Of timeout(1): of coreutils, and of busybox, whose own status is that of SIGTERM."""
_PRINTED: Final = re.compile(r"#\d+ \d+\.\d+ (.*)")
"""A line of a step's output in buildctl's plain progress."""
_MANY: Final = re.compile(r"(?: x){3,}")
_ARGUMENTS: Final = 4
"""The number of arguments of the workload's program, which is its exit status."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """One build. `seconds` is wall-clock time."""

    status: int
    seconds: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The results of the deep script on a host."""

    work: Mapping[str, float]
    """QEMU's name of the architecture -> seconds of CPU time that three runs of its workload took."""
    builds: Mapping[str, Build]
    damaged: tuple[str, ...] = ()
    """Programs of the release in use whose bytes are not those that were unpacked."""


def script(spec: Spec, facts: Facts, *, prove: bool = False) -> str:
    """The script to run on a host with these facts.

    To prove is to build without measuring, and to leave word on the host that it was done.
    """
    wanted = platforms(spec, facts)
    native = () if prove else _native(facts)
    programs = [
        {
            "name": arch.qemu,
            "probe": elf.octal(elf.probe(arch)),
            "work": elf.octal(elf.work(arch)),
            "platforms": [platform for platform in wanted if of_platform(platform) == arch],
        }
        for arch in dict.fromkeys([*native, *(of_platform(platform) for platform in wanted)])
    ]
    return render(
        "deep.sh",
        programs=programs,
        platforms=wanted,
        generation=_generation(facts) if prove else "",
        measure=not prove,
        paths=paths,
        nonce=secrets.token_hex(8),
        timeout=_BUILD,
    )


def is_proven(spec: Spec, facts: Facts) -> bool:
    """Whether an earlier run built for every wanted platform through the daemon as it is now."""
    proof = facts.proof
    return proof.generation == _generation(facts) != "" and {*platforms(spec, facts)} <= proof.platforms


def _generation(facts: Facts) -> str:
    return facts.daemon.generation if facts.daemon else ""


def platforms(spec: Spec, facts: Facts) -> tuple[str, ...]:
    """The platforms to build for: those that are wanted, else all that run here."""
    if spec.platforms is not None:
        return spec.platforms
    runs = {view.arch for view in all_views(spec, facts) if view.native} | {
        view.arch for view in concerned(spec, facts) if view.ran
    }
    return tuple(platform for platform in PLATFORMS if of_platform(platform) in runs)


def _native(facts: Facts) -> list[Architecture]:
    """The architecture of the machine's own programs, to compare with."""
    return [facts.system.architecture] if facts.system.architecture else []


def parse(lines: Iterable[str]) -> Measurements:
    """The measurements in the script's output; without those that a script did not reach before it was cut short."""
    work: dict[str, float] = {}
    builds: dict[str, Build] = {}
    damaged: list[str] = []
    for record in records(lines):
        if record.kind == "damage":
            damaged.append(record[0])
        if record.kind == "work" and record[1] == str(_ARGUMENTS):
            seconds = number(record[2]) / 1e9
            work[record[0]] = min(seconds, work.get(record[0], seconds))
        elif record.kind == "build":
            builds[record[0]] = Build(
                status=number(record[1]), seconds=number(record[2]) / 1e9, text=record.text
            )
    return Measurements(work=work, builds=builds, damaged=tuple(damaged))


def findings(spec: Spec, facts: Facts, measured: Measurements) -> tuple[Finding, ...]:
    """The builds that failed, and what only the bytes of the release show."""
    restart = service_manager(spec, facts).commands.restart
    failed = {name: build for name, build in measured.builds.items() if build.status != 0}
    return (*basis.changed(facts, measured.damaged), *(_failed(*each, restart) for each in failed.items()))


def _failed(platform: str, build: Build, restart: HostCommand) -> Finding:
    output = f"no end after {_BUILD} s" if build.status in _TIMED_OUT else _last_output(build.text)
    meaning = meaning_of(build.text, restart)
    fix = meaning.fix.for_platform(platform) if meaning else NO_FIX
    return finding(
        "worker-build",
        "error",
        f"a build of three lines for it failed: {output or f'status {build.status}'}",
        f"builds for it fail: {meaning.cause}" if meaning else "builds for it fail",
        fix or Fix.by(ToolCommand(task="explain", arguments=(platform,))),
        platform,
    )


def _last_output(text: str) -> str:
    """The step's last line of output and the build's error, without the program's many arguments."""
    lines = text.splitlines()
    printed = [found[1] for line in lines if (found := _PRINTED.match(line))]
    ended = [line for line in lines if line.startswith("error:")]
    return "; ".join(_MANY.sub(" …", line.strip()) for line in (*printed[-1:], *ended[-1:]))


def rows(measured: Measurements, known: Iterable[PlatformRow], facts: Facts) -> tuple[PlatformRow, ...]:
    """The platforms, with what was measured."""
    native = next((measured.work.get(arch.qemu) for arch in _native(facts)), None)
    return tuple(_row(row, measured, native) for row in known)


def _row(row: PlatformRow, measured: Measurements, native: float | None) -> PlatformRow:
    build = measured.builds.get(row.platform)
    took = measured.work.get(of_platform(row.platform).qemu) if row.platform in PLATFORMS else None
    slower = round(took / native, 1) if took and native and row.mode == "emulated" else None
    return replace(row, builds=build.status == 0 if build else row.builds, slower=slower)
