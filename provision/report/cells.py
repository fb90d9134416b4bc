"""The pieces of tables: one function per kind of result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from provision.errors import ProvisionError
from provision.fix import Fix, Place
from provision.plain import clean
from provision.report.console import whole
from provision.report.fixes import advice, written
from provision.result import (
    ChainLink,
    CheckLine,
    Finding,
    HostStatus,
    ImageRow,
    PlatformRow,
    Process,
    StepResult,
    at,
)
from provision.result.nodes import NodeRow
from provision.spec import Host

_MARKS: Final = {
    "done": ("✓", "green"),
    "ok": ("✓", "green"),
    "failed": ("✗", "red"),
    "error": ("✗", "red"),
    "warning": ("!", "yellow"),
    "broken": ("✗", "red"),
    "info": ("•", "cyan"),
    "pending": ("•", "cyan"),
    "skipped": ("–", "dim"),
}
_DIFF: Final = (("+++", "bold"), ("---", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))
_STATUS: Final = {
    "ok": "green",
    "changed": "yellow",
    "pending": "yellow",
    "failed": "red",
    "unreachable": "red",
    "unhealthy": "red",
    "interrupted": "magenta",
    "skipped": "magenta",
}


def mark(status: str) -> Text:
    """The status mark: ✓, ✗, !, • or –."""
    sign, style = _MARKS[status]
    return Text(sign, style=style)


def status(of: HostStatus, words: Mapping[str, str]) -> Text:
    """The status of a host in its colour; `words` has other names for some."""
    return Text(words.get(of, of), style=_STATUS[of])


def duration(seconds: float) -> str:
    """`0.4 s`, `52 s`, `3 min 05 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def count(number: int, thing: str, things: str = "") -> str:
    """`1 change`, `2 changes`; `1 library`, `2 libraries`."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def table(*headings: str, header: bool = True) -> Table:
    """Columns without lines. One row is one line; a cell that is too wide ends in an ellipsis."""
    made = Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        made.add_column(heading, no_wrap=True, overflow="ellipsis")
    return made


def diff(text: str) -> Iterator[Text]:
    """The lines of a unified diff, coloured by their first characters."""
    for line in clean(text).splitlines():
        style = next((style for start, style in _DIFF if line.startswith(start)), "")
        yield whole(f"    {line}", style)


def steps(results: Iterable[StepResult]) -> Iterator[RenderableType]:
    """Steps, each with its diff if it is pending, or its output if it failed."""
    for step in results:
        yield Text.assemble(mark(step.status), " ", (clean(step.action), "bold"), " ", clean(step.target))
        if step.status == "pending":
            yield from diff(step.detail)
        elif step.status != "done":
            yield from (whole(f"    {line}") for line in clean(step.detail).splitlines())


def _truth(value: bool | None) -> Text:
    return Text("–", "dim") if value is None else Text("yes", "green") if value else Text("no", "red")


def platforms(rows: Sequence[PlatformRow]) -> Table:
    """One line per platform; fits 80 columns for every row of the table of architectures."""
    made = table("PLATFORM", "RUNS", "HANDLER", "FLAGS", "QEMU", "REGISTERED", "LISTED", "BUILDS")
    # Eight columns: two blanks between each would be two columns too many.
    made.padding = (0, 1, 0, 0)
    for row in rows:
        mode = Text(row.mode, {"native": "green", "emulated": "cyan"}.get(row.mode, "red"))
        cells = [clean(cell) if cell else "–" for cell in (row.handler, row.flags, row.qemu)]
        truths = [_truth(value) for value in (row.registered, row.listed, row.builds)]
        made.add_row(Text(clean(row.platform)), mode, *(Text(cell) for cell in cells), *truths)
    return made


def nodes(rows: Sequence[NodeRow]) -> Table:
    """The nodes of a builder. An emulated platform stands with its pace: `linux/s390x (12×)`."""
    made = table("NODE", "ENDPOINT", "BUILDS NATIVELY", "EMULATES")
    for row in rows:
        emulated = [
            f"{platform} ({row.slower[platform]:g}×)" if platform in row.slower else platform
            for platform in row.platforms
            if platform not in row.native
        ]
        texts = (row.node, row.endpoint, ", ".join(row.native) or "–", ", ".join(emulated) or "–")
        made.add_row(*(Text(clean(text)) for text in texts))
    for column in made.columns[2:]:
        column.no_wrap, column.overflow = False, "fold"
    return made


def tried_nodes(rows: Sequence[NodeRow]) -> Table:
    """The nodes of a builder, with what each built a moment ago."""
    made = table("NODE", "ENDPOINT", "BUILDKIT", "BUILT JUST NOW")
    for row in rows:
        texts = (row.node, row.endpoint, row.version or "–", ", ".join(row.built) or "–")
        made.add_row(*(Text(clean(text)) for text in texts))
    made.columns[3].no_wrap, made.columns[3].overflow = False, "fold"
    return made


def builds(rows: Sequence[PlatformRow]) -> Table:
    """The outcome of `--deep`: whether each platform builds, and how slow it is."""
    made = table("PLATFORM", "RUNS", "BUILDS", "SLOWER THAN NATIVE")
    for row in rows:
        if row.builds is not None:
            slower = f"{row.slower:.1f} times" if row.slower is not None else "–"
            made.add_row(Text(clean(row.platform)), row.mode, _truth(row.builds), slower)
    return made


def fix(what: Fix, place: Place, indent: int = 4) -> Iterator[RenderableType]:
    """The commands on a line of their own, which is never wrapped, to be copied. The words stand below."""
    text = written(what, place)
    label = "fix: "
    if text.command:
        yield whole(f"{' ' * indent}{label}{text.command}")
        indent, label = indent + len(label), ""
    if text.words:
        yield Padding(Text(f"{label}{text.words}"), (0, 0, 0, indent))


def checks(lines: Iterable[CheckLine], place: Place) -> Iterator[RenderableType]:
    """What was seen and what is needed, with the fix."""
    for line in lines:
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True, min_width=12)
        row.add_column()
        needed = "" if line.status == "ok" else f"; needed: {line.needed}"
        row.add_row(mark(line.status), Text(line.id, "bold"), Text(clean(f"{line.seen}{needed}")))
        yield row
        yield from fix(line.fix, place)


def findings(results: Iterable[Finding], place: Place) -> Iterator[RenderableType]:
    """What is wrong, what it leads to, and the fix. What several platforms have in common is shown once."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in results:
        groups.setdefault((finding.id, finding.severity), []).append(finding)
    for (name, severity), group in groups.items():
        platforms = ", ".join(clean(each.platform) for each in group if each.platform)
        yield Text.assemble(mark(severity), " ", (clean(name), "bold"), f" {platforms}" if platforms else "")
        for each in group:
            about = f"{each.platform}: " if len(group) > 1 and each.platform else ""
            yield Padding(Text(clean(f"{about}{each.evidence}")), (0, 0, 0, 4))
        for consequence in dict.fromkeys(each.consequence for each in group):
            yield Padding(Text(clean(consequence), "italic"), (0, 0, 0, 4))
        for each_fix in dict.fromkeys(each.fix for each in group):
            yield from fix(each_fix, place)


def tally(results: Iterable[Finding]) -> str:
    """`2 errors, 1 warning: handler-missing linux/arm64`: the worst is named, for it comes first."""
    found = tuple(results)
    if not found:
        return ""
    counts = Counter(each.severity for each in found)
    numbers = [
        f"{number} info" if severity == "info" else count(number, severity)
        for severity, number in counts.items()
    ]
    return f"{', '.join(numbers)}: {found[0].id}{f' {found[0].platform}' if found[0].platform else ''}"


def processes(found: Sequence[Process]) -> Iterator[RenderableType]:
    """A line for each platform with all its processes, and one for each process."""
    totals = table("PLATFORM", "PROCESSES", "CPU", "MEMORY")
    groups: dict[str, list[Process]] = {}
    for each in found:
        groups.setdefault(each.platform or "buildkitd", []).append(each)
    for name, group in groups.items():
        totals.add_row(
            Text(clean(name)),
            str(len(group)),
            f"{sum(p.cpu for p in group):.0f}%",
            _mib(sum(p.memory for p in group)),
        )
    lines = table("PID", "PLATFORM", "CPU", "MEMORY", "COMMAND")
    for each in found:
        command = clean(each.command).replace("\n", " ")
        lines.add_row(
            str(each.pid),
            Text(clean(each.platform or "–")),
            f"{each.cpu:.0f}%",
            _mib(each.memory),
            Text(command),
        )
    if found:
        yield from (totals, Text(""), lines)
    else:
        yield Text("nothing is built here now, and buildkitd does not run")


def images(rows: Sequence[ImageRow]) -> Table:
    """One line per platform of an image."""
    made = table("PLATFORM", "SIZE", "LAYERS", "ATTESTED", "LINKED")
    made.add_column("STARTS", no_wrap=True, overflow="ellipsis")
    for row in rows:
        linked = f"{count(row.libraries, 'library', 'libraries')}" if row.libraries is not None else "static"
        starts = " → ".join(row.entrypoint) or "–"
        made.add_row(
            Text(clean(row.platform)),
            f"{row.size / 1e6:.1f} MB",
            str(row.layers),
            str(row.attestations or "–"),
            linked if row.entrypoint else "–",
            Text(clean(starts if row.checked else "not checked")),
        )
    return made


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def chain(links: Iterable[ChainLink]) -> Iterator[RenderableType]:
    """Every link and what was seen of it."""
    for link in links:
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True, min_width=8)
        row.add_column()
        style = "dim" if link.status == "skipped" else ""
        row.add_row(mark(link.status), Text(link.id, "bold"), Text(clean(link.seen), style))
        yield row


def hosts(selection: Iterable[Host]) -> Table:
    """The hosts that a selection means."""
    made = table("HOST", "ADDRESS", "USER", "PORT", "JUMP", "PLATFORMS")
    for host in selection:
        cells = (
            host.user,
            host.port and str(host.port),
            host.jump,
            host.platforms and ",".join(host.platforms),
        )
        address = "this machine" if host.local else host.address
        made.add_row(
            Text(host.name), Text(address), *(Text(cell) if cell else Text("–", "dim") for cell in cells)
        )
    return made


def error(
    problem: ProvisionError, place: Place, host: str = "", *, of: str = ""
) -> Iterator[RenderableType]:
    """The three parts: what failed, the likely cause, what to do. `of` says whose the last two are."""
    message = at(host, problem.message) if host else problem.message
    yield Text.assemble(("error: ", "bold red"), (clean(message), "bold"))
    if problem.cause:
        yield Padding(Text.assemble((f"likely cause{of}: ", "dim"), clean(problem.cause)), (0, 0, 0, 2))
    if to_do := advice(problem, place):
        yield whole(f"  what to do{of}: {to_do}")
