"""The report for people: on a terminal, and as plain lines in a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from provision.plain import clean
from provision.report import cells, logs, summary
from provision.report.console import Prefixed
from provision.result import HostResult, Report, first_broken

CHANGING: Final = ("provision", "rollback", "remove")
"""Commands that change hosts: of several hosts each has a few lines, of many one."""

HostView = Callable[[HostResult], Iterable[RenderableType]]


def render(report: Report, console: Console, *, log: bool) -> None:
    """Print everything but the errors. `log`: lines name their host instead of standing under it."""
    if report.selection:
        _print(console, cells.hosts(report.selection))
    # Of a builder the first is the builder, and the others are left out: their lines are its own.
    several = len(report.hosts) > 1 and report.command != "builder"
    for host in report.hosts:
        if (several and report.command == "health") or (report.command in CHANGING and _are_many(report)):
            break  # a line for each, or for each kind, below; one host alone shows its findings
        body = tuple(_body(report.command, host, several=several))
        if several and body and not log:
            _print(console, Text(clean(host.host), "bold"))
        prefix = "" if not several else f"{clean(host.host)}: " if log else "  "
        for part in body:
            _print(console, part, prefix, "dim" if log else "")
    if several:
        for part in summary.shown(report):
            _print(console, part)


def complain(report: Report, console: Console) -> None:
    """Print every error in its three parts; for standard error."""
    if report.error:
        for part in cells.error(report.error, report.place):
            _print(console, part)
    for part in summary.errors(report):
        _print(console, part)


def _print(console: Console, body: RenderableType, prefix: str = "", style: str = "") -> None:
    console.print(Prefixed(body=body, prefix=prefix, style=style), crop=False, end="")


def _are_many(report: Report) -> bool:
    return len(report.hosts) > summary.MANY


def _body(command: str, host: HostResult, *, several: bool) -> Iterator[RenderableType]:
    yield from (
        VIEWS.get(command, _anything)(host) if not (several and command in CHANGING) else _brief(host)
    )
    yield from (Text.assemble(("note: ", "yellow"), clean(note)) for note in host.notes)


def _plan(host: HostResult) -> Iterator[RenderableType]:
    yield from cells.steps(host.steps)
    if host.steps:
        yield Text(f"{cells.count(len(host.steps), 'change')} pending", "bold")
    elif host.status == "ok":
        yield Text("nothing to change", "green")


def _provision(host: HostResult) -> Iterator[RenderableType]:
    if host.error:
        yield from _broken_off(host)
        return
    yield from cells.steps(host.steps)
    running = sum(row.mode != "none" for row in host.platforms)
    if host.steps:
        yield from _platforms(host)
        done = sum(step.status == "done" for step in host.steps)
        yield Text(
            f"{host.status}: {cells.count(done, 'step')} done in {cells.duration(host.seconds)}{_proof(host)}",
            "bold",
        )
    elif host.status == "ok":
        yield Text(f"nothing to change: {cells.count(running, 'platform')} run here{_proof(host)}", "green")


def _remove(host: HostResult) -> Iterator[RenderableType]:
    if host.error:
        yield from _broken_off(host)
    elif host.steps:
        yield from cells.steps(host.steps)
        yield Text(
            f"removed: {cells.count(len(host.steps), 'step')} done in {cells.duration(host.seconds)}", "bold"
        )


def _proof(host: HostResult) -> str:
    """Where a run ended with a build for each platform."""
    built = sum(row.builds is True for row in host.platforms)
    return (
        f", {'a build' if built == 1 else 'builds'} for {cells.count(built, 'platform')} succeeded"
        if built
        else ""
    )


def _broken_off(host: HostResult) -> Iterator[RenderableType]:
    """What failed, what was finished before, and how much was not begun."""
    if host.untouched:
        yield Text("nothing was touched")
    if not host.steps:
        return
    failed = [step for step in host.steps if step.status == "failed"]
    done = [step for step in host.steps if step.status == "done"]
    left = len(host.steps) - len(failed) - len(done)
    yield from cells.steps(failed)
    kinds = Counter(step.action for step in done)
    if done:
        words = ", ".join(
            f"{number} × {action}" if number > 1 else action for action, number in kinds.items()
        )
        yield Text(clean(f"finished: {words}"))
    yield from _platforms(host)
    numbers = f"{cells.count(len(done), 'step')} done, {len(failed)} failed, {left} not begun"
    yield Text(f"{host.status} after {cells.duration(host.seconds)}: {numbers}", "bold")


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
    if host.nodes:
        yield cells.tried_nodes(host.nodes)
    elif host.status == "ok":
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
    "rollback": _provision,
    "remove": _remove,
    "platforms": _platforms,
    "check": _check,
    "health": _health,
    "explain": _explain,
    "top": _top,
    "verify": _verify,
    "logs": _logs,
    "builder": _builder,
}
