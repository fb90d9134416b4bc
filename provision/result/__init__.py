"""The outcome of a run: typed results that every report renders, and the exit code that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from provision.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PENDING,
    EXIT_UNHEALTHY,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    ProvisionError,
)
from provision.fix import HERE, NO_FIX, Fix, Place
from provision.result.logs import Logs
from provision.result.nodes import NodeRow
from provision.spec import Host

StepStatus = Literal["pending", "done", "failed", "skipped"]
HostStatus = Literal[
    "ok", "changed", "pending", "failed", "unreachable", "unhealthy", "interrupted", "skipped"
]
CheckStatus = Literal["ok", "warning", "error"]
Mode = Literal["native", "emulated", "none"]
Owner = Literal["provision", "distribution", "container", "machine", "unknown"]
OWNERS: Final[dict[Owner, str]] = {
    "provision": "set up by this tool",
    "distribution": "set up by the distribution",
    "container": "brought by a container",
    "machine": "of the machine around this container",
    "unknown": "set up by somebody else",
}
Severity = Literal["error", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
"""Worst first.

error: builds fail now, or the machine is open to everyone. warning: it works, and will not always, or not as well
as it should. info: worth knowing.
"""
LinkStatus = Literal["ok", "warning", "broken", "skipped"]
Status = Literal["ok", "changed", "partial", "error"]

EXIT_CODES: Final[dict[HostStatus, int]] = {
    "ok": EXIT_OK,
    "changed": EXIT_OK,
    "pending": EXIT_PENDING,
    "failed": EXIT_FAILED,
    "unreachable": EXIT_UNREACHABLE,
    "unhealthy": EXIT_UNHEALTHY,
    "interrupted": EXIT_INTERRUPTED,
    # Not begun because a canary failed. The canary's own code decides if it is worse.
    "skipped": EXIT_UNREACHABLE,
}

WORST_FIRST: Final = (
    EXIT_USAGE,
    EXIT_INTERRUPTED,
    EXIT_FAILED,
    EXIT_UNREACHABLE,
    EXIT_UNHEALTHY,
    EXIT_PENDING,
    EXIT_OK,
)
"""Which exit code a run gets when its hosts end differently.

1 first: nothing was touched, so nothing else can be true. 130: the run is not complete, whatever it found.
3 before 4: a machine was reached and is not as wanted, and somebody has to look; 4 then promises that every
host that answered is fine, so that trying again later is enough. 5 and 2 need hosts that all answered.
"""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One step of a plan, and its outcome."""

    id: str
    action: str
    target: str
    status: StepStatus
    detail: str = ""
    """The diff of a pending step; the output of one that was carried out."""


@dataclass(frozen=True, kw_only=True)
class PlatformRow:
    """One platform on one host. True, false, or None for not asked."""

    platform: str
    mode: Mode
    registered: bool | None = None
    """Whether the kernel has a handler for it."""
    listed: bool | None = None
    """Whether the BuildKit worker lists it."""
    builds: bool | None = None
    """Whether a build for it was seen to work."""
    handler: str | None = None
    flags: str | None = None
    interpreter: str | None = None
    qemu: str | None = None
    """The version of the QEMU that the kernel holds."""
    wanted: bool | None = None
    """Whether the configuration asks for it; None if that names no platforms."""
    milliseconds: float | None = None
    """CPU time that the start of its program took, a moment ago."""
    static: bool | None = None
    """Whether the interpreter needs no other file."""
    owner: Owner | None = None
    """Who registered the handler, as far as files tell."""
    slower: float | None = None
    """How many times longer a small workload takes than natively; None if that was not measured."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is not as it should be: what shows it (`evidence`), what it leads to, and the fix."""

    id: str
    severity: Severity
    platform: str | None = None
    evidence: str
    consequence: str
    fix: Fix


def reaches(found: Finding, threshold: Severity) -> bool:
    """Whether a finding is as bad as the threshold, or worse."""
    return SEVERITIES.index(found.severity) <= SEVERITIES.index(threshold)


@dataclass(frozen=True, kw_only=True)
class ChainLink:
    """One link of the chain from a platform's ELF header to its running build step."""

    id: str
    status: LinkStatus
    """warning: it holds now, but not for ever, or not as it should. skipped: not needed, or not known."""
    seen: str
    fix: Fix = NO_FIX


def first_broken(chain: Iterable[ChainLink]) -> ChainLink | None:
    """The link to fix first: the first that breaks the chain now, else the first that will."""
    links = tuple(chain)
    found = [[link for link in links if link.status == status] for status in ("broken", "warning")]
    return next((group[0] for group in found if group), None)


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the build load."""

    pid: int
    platform: str | None
    """Of its program; None for buildkitd itself."""
    command: str
    """The guest's, where it is emulated."""
    cpu: float
    """Percent of one CPU."""
    memory: int
    """Resident bytes, the emulator's own included."""


@dataclass(frozen=True, kw_only=True)
class CheckLine:
    """One line of `check`: what was seen, what is needed, and the fix if they differ."""

    id: str
    status: CheckStatus
    seen: str
    needed: str
    fix: Fix = NO_FIX


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One platform of an image in a registry."""

    platform: str
    digest: str
    """Of its manifest."""
    size: int
    """Bytes of its layers, as they are transferred."""
    layers: int
    attestations: int = 0
    entrypoint: tuple[str, ...] = ()
    """The file that a container starts, then the interpreter of each script; empty if that is not known."""
    libraries: int | None = None
    """How many libraries the program loads; None: it is static, or not known."""
    checked: bool = False
    """Whether its layers were read and its programs looked at."""


@dataclass(frozen=True, kw_only=True)
class HostResult:
    """The outcome of one host."""

    host: str
    status: HostStatus
    steps: tuple[StepResult, ...] = ()
    platforms: tuple[PlatformRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[CheckLine, ...] = ()
    chain: tuple[ChainLink, ...] = ()
    """Of `explain`."""
    processes: tuple[Process, ...] = ()
    """Of `top`."""
    images: tuple[ImageRow, ...] = ()
    """Of `verify`, whose "host" is an image."""
    logs: Logs | None = None
    """Of `logs`."""
    nodes: tuple[NodeRow, ...] = ()
    """Of `builder` and `health --builder`, whose first "host" is a builder."""
    notes: tuple[str, ...] = ()
    error: ProvisionError | None = None
    untouched: bool = False
    """Whether an error came before the first change to the host."""
    seconds: float = 0.0
    place: Place = HERE
    """Where the fixes are read, and how the host is reached from there."""

    @classmethod
    def of_error(
        cls,
        host: str,
        error: ProvisionError,
        *,
        steps: tuple[StepResult, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> HostResult:
        """The outcome of a host on which an error stopped the work, after these steps."""
        return cls(host=host, status=error.host_status, steps=steps, notes=notes, error=error)


def at(host: str, text: str) -> str:
    """The text with its host's name before it, once: messages of a connection begin with that name already."""
    return text if text.startswith((f"{host}: ", f"{host} ")) else f"{host}: {text}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole run: what every table, file and exit code is made from."""

    command: str
    hosts: tuple[HostResult, ...] = ()
    selection: tuple[Host, ...] = ()
    """Of `hosts`: what was selected. Nothing was asked of them."""
    text: str = ""
    """Of a command that writes a file for another program: all of it, for standard output."""
    threshold: Severity = "warning"
    """How bad a finding must be to count (`--severity`)."""
    error: ProvisionError | None = None
    """What stopped the run as a whole; the errors of hosts are in their results."""
    place: Place = HERE
    """Where the run's own error is read."""
    signal: int = 0
    """The number of the signal that interrupted the run, if one did."""

    @property
    def exit_code(self) -> int:
        """The worst of all, by `WORST_FIRST`; for a run that was interrupted, 128 and the signal's number."""
        codes = {EXIT_OK, *(EXIT_CODES[host.status] for host in self.hosts)}
        if self.error is not None:
            codes.add(self.error.exit_code)
        worst = min(codes, key=WORST_FIRST.index)
        return 128 + self.signal if worst == EXIT_INTERRUPTED and self.signal else worst

    @property
    def status(self) -> Status:
        """`error`: no host succeeded. `partial`: some did, some did not. Else `changed` or `ok`.

        A host with pending steps succeeded: `plan` did what it was asked. The report is `changed`.
        """
        good = [host for host in self.hosts if EXIT_CODES[host.status] in (EXIT_OK, EXIT_PENDING)]
        if self.error or len(good) < len(self.hosts):
            return "partial" if good else "error"
        return "changed" if any(host.status in ("changed", "pending") for host in good) else "ok"
