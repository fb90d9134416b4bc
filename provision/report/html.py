"""The report as one page that needs nothing else: hosts × platforms, each cell with its evidence and fix."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from provision.architectures import PLATFORMS
from provision.errors import ProvisionError
from provision.fix import Place
from provision.plain import clean
from provision.render import render as fill
from provision.report.cells import count
from provision.report.fixes import FixText, advice, written
from provision.result import EXIT_CODES, OWNERS, Finding, HostResult, ImageRow, PlatformRow, Report

WHOLE: Final = "host"
"""The column of findings about a host as a whole: service, boot, resources."""
MARKS: Final = {"ok": "✓", "none": "–", "info": "•", "warning": "!", "error": "✗"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is known of one platform on one host, or of the host as a whole."""

    id: str
    column: str
    state: str
    """ok, none, warning or error."""
    words: str
    row: PlatformRow | None = None
    findings: tuple[FixedFinding, ...] = ()
    error: ProvisionError | None = None
    to_do: str = ""
    """About the error."""

    @property
    def mark(self) -> str:
        return MARKS[self.state]


@dataclass(frozen=True, kw_only=True)
class FixedFinding:
    """A finding, and its fix for the reader."""

    found: Finding
    fix: FixText


@dataclass(frozen=True, kw_only=True)
class Line:
    """One host."""

    name: str
    status: str
    state: str
    cells: tuple[Cell | None, ...]


def render(report: Report, now: datetime | None = None) -> str:
    """The page. `now` is shown on it."""
    platforms = _platforms(report)
    return fill(
        "health.html",
        title=f"{'Images' if any(host.images for host in report.hosts) else 'Build machines'}: {report.command}",
        now=now or datetime.now(timezone.utc),
        summary=_summary(report),
        error=report.error,
        to_do=advice(report.error, report.place) if report.error else "",
        columns=(WHOLE, *platforms),
        hosts=tuple(_line(number, host, platforms) for number, host in enumerate(report.hosts)),
        marks=MARKS,
        owners=OWNERS,
    )


def _platforms(report: Report) -> tuple[str, ...]:
    """The platforms that any host has a row or a finding of, in the table's order."""
    seen = {row.platform for host in report.hosts for row in host.platforms}
    seen |= {row.platform for host in report.hosts for row in host.images}
    seen |= {finding.platform for host in report.hosts for finding in host.findings if finding.platform}
    return tuple(sorted(seen, key=lambda name: (PLATFORMS.index(name) if name in PLATFORMS else 99, name)))


def _summary(report: Report) -> str:
    counts = Counter(host.status for host in report.hosts)
    words = ", ".join(f"{number} {status}" for status, number in counts.items())
    return f"{count(len(report.hosts), 'host')}{': ' if words else ''}{words}."


def _line(number: int, host: HostResult, platforms: tuple[str, ...]) -> Line:
    rows = {row.platform: row for row in host.platforms}
    images = {row.platform: row for row in host.images}
    cells = [_whole(f"d-{number}-host", host)]
    for at, name in enumerate(platforms):
        cell = f"d-{number}-{at}"
        if name in images:
            cells.append(_image(cell, images[name], host))
        else:
            cells.append(_cell(cell, name, rows.get(name), host))
    state = "ok" if EXIT_CODES[host.status] == 0 else "error"
    return Line(name=clean(host.host), status=host.status, state=state, cells=tuple(cells))


def _whole(name: str, host: HostResult) -> Cell | None:
    findings = tuple(finding for finding in host.findings if finding.platform is None)
    state = "error" if host.error else _worst(findings)
    words = host.status if host.error else ", ".join(finding.id for finding in findings) or "fine"
    return Cell(
        id=name,
        column=WHOLE,
        state=state,
        words=words,
        findings=_with_fixes(findings, host.place),
        error=host.error,
        to_do=advice(host.error, host.place) if host.error else "",
    )


def _cell(name: str, platform: str, row: PlatformRow | None, host: HostResult) -> Cell | None:
    findings = tuple(finding for finding in host.findings if finding.platform == platform)
    if host.error and row is None:
        return None
    state = _worst(findings)
    words = findings[0].id if findings else "not set up"
    if row is not None and row.mode != "none":
        words = findings[0].id if state != "ok" else row.mode
    elif state == "ok":
        state = "none"
    shown = _with_fixes(findings, host.place)
    return Cell(id=name, column=platform, state=state, words=words, row=row, findings=shown)


def _with_fixes(findings: tuple[Finding, ...], place: Place) -> tuple[FixedFinding, ...]:
    return tuple(FixedFinding(found=each, fix=written(each.fix, place)) for each in findings)


def _image(name: str, row: ImageRow, host: HostResult) -> Cell:
    findings = tuple(finding for finding in host.findings if finding.platform == row.platform)
    words = findings[0].id if findings else "fine" if row.checked else "not checked"
    state = _worst(findings) if findings or row.checked else "none"
    shown = _with_fixes(findings, host.place)
    return Cell(id=name, column=row.platform, state=state, words=words, findings=shown)


def _worst(findings: tuple[Finding, ...]) -> str:
    """The state of a cell with these findings. `info` findings do not change it."""
    severities = {finding.severity for finding in findings}
    return next((each for each in ("error", "warning") if each in severities), "ok")
