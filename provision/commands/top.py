"""`top`: the build load of this machine, live on a terminal until Ctrl-C, or once.

It shows buildkitd, its build steps, and every emulated process, by platform. The processes are this machine's, those in
containers included; without root, the programs of other users are known by their command lines alone.
psutil is imported here and nowhere else, as a machine may lack it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live

from provision import elf, lazy, paths
from provision.architectures import ARCHITECTURES, of_qemu, of_uname
from provision.binfmt import Entry, parse_entry
from provision.commands import INTERVAL
from provision.elf import HEAD
from provision.hosts.interruption import number_of
from provision.lazy import LazyModule
from provision.report import Report, Style, cells
from provision.report.console import console, interactive
from provision.report.output import TABLE
from provision.result import HostResult, Process

if TYPE_CHECKING:
    import psutil
else:
    psutil = LazyModule("psutil")

ONCE: Final = 0.5
"""Seconds of a single measurement."""

# qemu-aarch64, qemu-aarch64-static; Debian's aarch64-binfmt-P; BuildKit's own buildkit-qemu-aarch64.
_EMULATOR: Final = re.compile(
    r"(?:buildkit-)?qemu-(?P<plain>[a-z0-9_]+)(?:-static)?|(?P<p>[a-z0-9_]+)-binfmt-P"
)
_BUNDLED: Final = "/dev/.buildkit_qemu_emulator"
"""Where BuildKit mounts its own emulator into a build step (solver/llbsolver/ops/exec_binfmt.go)."""
_STEP: Final = "/buildkit/"
"""In the cgroup of every build step (executor/runcexecutor)."""
_DAEMON: Final = "buildkitd"
DELETED: Final = " (deleted)"


def run(command: str, host: str, style: Style, *, seconds: float | None, once: bool) -> Report:
    """The report of the last measurement; on a terminal, after each has been shown.

    `seconds` lie between two measurements, and a single one takes as long; None where they were not given.
    Raises UsageError where psutil is missing.
    """
    lazy.require_package("psutil", needed_by="top", built_with="gcc python3-dev")
    live = style.format == TABLE and interactive(style.out) and not once
    if not live:
        return _report(command, host, seconds or ONCE)
    with Live(console=console(style.out), screen=True, auto_refresh=False) as screen:
        try:
            while True:
                seen = sample(seconds or INTERVAL)
                screen.update(Group(*cells.processes(seen)), refresh=True)
        except KeyboardInterrupt as error:
            if number_of(error) != signal.SIGINT:
                raise
    return _report(command, host, ONCE)


def _report(command: str, host: str, seconds: float) -> Report:
    return Report(command=command, hosts=(HostResult(host=host, status="ok", processes=sample(seconds)),))


def sample(seconds: float) -> tuple[Process, ...]:
    """The build load now, with the CPU time used during the next `seconds`; the busiest process first."""
    entries = handlers(Path(paths.BINFMT))
    watched = [
        (process, found) for process in psutil.process_iter() if (found := _load_of(process, entries))
    ]
    before = {process.pid: _cpu(process) for process, _ in watched}
    begun = time.monotonic()
    time.sleep(seconds)
    passed = max(time.monotonic() - begun, 1e-3)
    measured = [_measured(process, *found, before, passed) for process, found in watched]
    return tuple(sorted((each for each in measured if each), key=lambda each: -each.cpu))


def _measured(
    process: psutil.Process, platform: str | None, command: str, before: dict[int, float], passed: float
) -> Process | None:
    """None if the process has ended meanwhile."""
    try:
        memory = process.memory_info().rss
        cpu = (_cpu(process) - before[process.pid]) / passed * 100
    except psutil.Error:
        return None
    return Process(
        pid=process.pid, platform=platform, command=command, cpu=round(max(cpu, 0.0), 1), memory=memory
    )


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _load_of(process: psutil.Process, entries: Sequence[Entry]) -> tuple[str | None, str] | None:
    """Platform and command of a process of the build load; None for any other."""
    try:
        with process.oneshot():
            argv = process.cmdline()
            program = _program(process) or (argv[0] if argv else "")
    except psutil.Error:
        return None
    if Path(program).name == _DAEMON:
        return None, " ".join(argv)
    if guest := emulated(program, argv, entries, Path(f"/proc/{process.pid}/root")):
        return guest
    if argv and _in_build_step(process.pid):
        return native(), " ".join(argv)
    return None


def _program(process: psutil.Process) -> str:
    try:
        return process.exe().removesuffix(DELETED)
    except psutil.AccessDenied:
        return ""


def _in_build_step(pid: int) -> bool:
    try:
        return _STEP in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def native() -> str | None:
    """The platform of this machine's own programs."""
    row = of_uname(os.uname().machine)
    return row.platforms[0] if row else None


def emulated(
    program: str, argv: Sequence[str], entries: Sequence[Entry], root: Path | None = None
) -> tuple[str, str] | None:
    """Platform and guest command of an emulator's process; None if the program is no emulator.

    The kernel starts an emulator with the guest's path, with P its argv[0] too, then its arguments
    (Documentation/admin-guide/binfmt-misc.rst). `root` is the folder that the process sees as /.
    """
    names = (program, argv[0] if argv else "")
    entry = next((each for each in entries if each.interpreter in names), None)
    guest = list(argv[1:])
    if guest[:1] == ["-0"]:  # BuildKit's own gets argv[0] by an option
        guest = guest[2:]
    elif len(guest) > 1 and _repeats(entry, guest):
        del guest[1]
    platform = _of_entry(entry) or _of_name(Path(program).name)
    if platform is None and program == _BUNDLED:
        platform = _of_file(root, guest[0] if guest else "") or "unknown"
    return (platform, " ".join(guest)) if platform else None


def _repeats(entry: Entry | None, guest: Sequence[str]) -> bool:
    """Whether the second word is the guest's argv[0]; without an entry, if it looks like that."""
    if entry is not None:
        return "P" in entry.flags
    return Path(guest[0]).name == Path(guest[1]).name


def _of_entry(entry: Entry | None) -> str | None:
    row = next((each for each in ARCHITECTURES if entry and entry.matches(elf.probe(each))), None)
    return row.platforms[0] if row else None


def _of_name(name: str) -> str | None:
    found = _EMULATOR.fullmatch(name)
    if found is None:
        return None
    qemu = found["plain"] or found["p"]
    row = of_qemu(qemu)
    return row.platforms[0] if row else qemu


def _of_file(root: Path | None, guest: str) -> str | None:
    try:
        header = elf.parse(((root or Path("/")) / guest.lstrip("/")).read_bytes()[:HEAD])
    except OSError:
        return None
    row = header.architecture if header else None
    return row.platforms[0] if row else None


def handlers(table: Path) -> tuple[Entry, ...]:
    """The handlers of this machine; none where the table is not mounted."""
    return tuple(_entries(table)) if (table / "status").exists() else ()


def _entries(table: Path) -> Iterator[Entry]:
    for file in table.iterdir():
        if file.name not in ("register", "status") and (entry := _entry(file)):
            yield entry


def _entry(file: Path) -> Entry | None:
    """None if the handler was removed meanwhile."""
    try:
        return parse_entry(file.name, file.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return None
