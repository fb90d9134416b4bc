"""The report for people: on a terminal, and as plain lines in a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from provision.report import cells, logs
from provision.report.console import Prefixed
from provision.report.plain import clean
from provision.result import EXIT_CODES, WORST_FIRST, HostResult, Report, first_broken

HostView = Callable[[HostResult], Iterable[RenderableType]]

_WORDS: Final = {"ok": "unchanged"}
"""Other names for a status in the summary of a command that changes hosts, or shows what would change."""


def render(report: Report, console: Console, *, log: bool) -> None:
    """Print everything but the errors. `log`: lines name their host instead of standing under it."""
    if report.selection:
        _print(console, cells.hosts(report.selection))
    several = len(report.hosts) > 1
    for host in report.hosts:
        if several and report.command == "health":
            break  # a line for each, below; one host alone shows its findings
        body = tuple(_body(report.command, host, several=several))
        if several and body and not log:
            _print(console, Text(clean(host.host), "bold"))
        prefix = "" if not several else f"{clean(host.host)}: " if log else "  "
        for part in body:
            _print(console, part, prefix, "dim" if log else "")
    if several:
        _print(console, cells.summary(_ordered(report), _words(report.command)))
        _print(console, Text(_total(report)))


def complain(report: Report, console: Console) -> None:
    """Print every error in its three parts; for standard error."""
    several = len(report.hosts) > 1
    if report.error:
        for part in cells.error(report.error, report.place):
            _print(console, part)
    for host in report.hosts:
        if host.error:
            for part in cells.error(host.error, host.place, host.host if several else ""):
                _print(console, part)


def _print(console: Console, body: RenderableType, prefix: str = "", style: str = "") -> None:
    console.print(Prefixed(body=body, prefix=prefix, style=style), crop=False, end="")


def _ordered(report: Report) -> tuple[HostResult, ...]:
    """The hosts as they were named, or worst first where that is the question."""
    if report.command != "health":
        return report.hosts
    return tuple(sorted(report.hosts, key=_badness))


def _badness(host: HostResult) -> tuple[int, ...]:
    counts = Counter(finding.severity for finding in host.findings)
    return WORST_FIRST.index(EXIT_CODES[host.status]), -counts["error"], -counts["warning"], -counts["info"]


def _words(command: str) -> dict[str, str]:
    return _WORDS if command in ("plan", "provision") else {}


def _total(report: Report) -> str:
    words = _words(report.command)
    counts = Counter(words.get(host.status, host.status) for host in report.hosts)
    return f"{cells.count(len(report.hosts), 'host')}: " + ", ".join(
        f"{n} {word}" for word, n in counts.items()
    )


def _body(command: str, host: HostResult, *, several: bool) -> Iterator[RenderableType]:
    yield from (
        VIEWS.get(command, _anything)(host) if not (several and command == "provision") else _brief(host)
    )
    yield from (Text.assemble(("note: ", "yellow"), clean(note)) for note in host.notes)


def _plan(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.steps(host.steps)
    if host.steps:
        yield Text(f"{cells.count(len(host.steps), 'change')} pending", "bold")
    elif host.status == "ok":
        yield Text("nothing to change", "green")


def _provision(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.steps(host.steps)
    running = sum(row.mode != "none" for row in host.platforms)
    if host.steps:
        yield from _platforms(host)
        done = sum(step.status == "done" for step in host.steps)
        yield Text(
            f"{host.status}: {cells.count(done, 'step')} done in {cells.duration(host.seconds)}", "bold"
        )
    elif host.status == "ok":
        yield Text(f"nothing to change: {cells.count(running, 'platform')} run here", "green")


def _brief(host: HostResult) -> Iterator[RenderableType]:
    """Of many hosts only the failed steps; the summary has a line for each host."""
    yield from cells.steps(step for step in host.steps if step.status == "failed")


def _platforms(host: HostResult) -> Iterator[RenderableType]:
    if host.platforms:
        yield cells.platforms(host.platforms)


def _check(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.checks(host.checks, host.place)


def _health(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.findings(host.findings, host.place)
    if host.status == "ok":
        runs = cells.count(sum(row.mode != "none" for row in host.platforms), "platform")
        yield Text(f"healthy: {runs} run here", "green")
    if any(row.builds is not None for row in host.platforms):
        yield cells.builds(host.platforms)


def _explain(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.chain(host.chain)
    link = first_broken(host.chain)
    if link is None:
        yield from () if host.error else (Text("every link holds", "green"),)
        return
    word = "broken" if link.status == "broken" else "to be fixed"
    yield Text.assemble(
        ("first link ", "bold"),
        (word, "bold red" if link.status == "broken" else "bold yellow"),
        ": ",
        (link.id, "bold"),
    )
    for found in host.findings:
        if found.fix == link.fix:
            yield Text(clean(found.consequence), "italic")
            break
    yield from cells.fix(link.fix, host.place, indent=0)


def _top(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.processes(host.processes)


def _builder(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.steps(host.steps)
    if host.nodes:
        yield cells.nodes(host.nodes)
    yield from cells.findings(host.findings, host.place)


def _verify(host: HostResult) -> Iterator[RenderableType]:
    if host.images:
        yield cells.images(host.images)
    yield from cells.findings(host.findings, host.place)
    if host.status == "ok":
        checked = cells.count(sum(row.checked for row in host.images), "platform")
        yield Text(f"as it should be: {checked} checked", "green")


def _logs(host: HostResult) -> Iterator[RenderableType]:
    if host.logs:
        yield from logs.logs(host.logs, host.place)


def _anything(host: HostResult) -> Iterator[RenderableType]:
    """A command without a view of its own: all parts of the result."""
    yield from cells.steps(host.steps)
    yield from _platforms(host)
    yield from cells.checks(host.checks, host.place)
    yield from cells.findings(host.findings, host.place)


VIEWS: Final[Mapping[str, HostView]] = {
    "plan": _plan,
    "provision": _provision,
    "platforms": _platforms,
    "check": _check,
    "health": _health,
    "explain": _explain,
    "top": _top,
    "verify": _verify,
    "logs": _logs,
    "builder": _builder,
}
