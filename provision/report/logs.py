"""What `logs` shows: the log first, what is known of its errors last, where the eye is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from provision.fix import Place
from provision.plain import clean
from provision.report import cells
from provision.report.console import whole
from provision.result.logs import BuildRow, BuildStatus, KnownError, Logs, RoomRow, WorkerRow

_STYLES: dict[BuildStatus, str] = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "canceled": "yellow",
}


def logs(found: Logs, place: Place) -> Iterator[RenderableType]:
    """All of one host."""
    yield Text(f"{clean(found.source)}:", "bold")
    yield from (whole(line) for line in found.lines)
    if not found.lines:
        yield Text("(no lines)", "dim")
    if found.workers:
        yield Text("")
        yield _workers(found.workers)
    if found.builds:
        yield Text("")
        yield _builds(found.builds)
        yield from _failures(found.builds)
    yield Text("")
    yield from _machine(found)
    if found.known:
        yield Text("")
        yield Text("what is known of these errors:", "bold")
        yield from _known(found.known, place)


def _workers(rows: Sequence[WorkerRow]) -> Table:
    made = cells.table("WORKER", "VERSION", "SNAPSHOTTER")
    made.add_column("PLATFORMS", overflow="fold")
    for row in rows:
        words = (row.id, row.version or "–", row.snapshotter or "–", ", ".join(row.platforms))
        made.add_row(*(Text(clean(word)) for word in words))
    return made


def _builds(rows: Sequence[BuildRow]) -> Table:
    made = cells.table("BUILD", "STATUS", "BEGUN", "TOOK", "STEPS", "PLATFORMS")
    for row in rows:
        steps = f"{row.steps}, {row.cached} cached" if row.cached else str(row.steps)
        made.add_row(
            Text(clean(row.ref)),
            Text(row.status, _STYLES[row.status]),
            _moment(row.created),
            "–" if row.seconds is None else cells.duration(row.seconds),
            steps,
            Text(clean(", ".join(row.platforms)) or "–"),
        )
    return made


def _moment(seconds: float | None) -> str:
    """In the time of the machine where it is read."""
    try:
        read = datetime.fromtimestamp(seconds, timezone.utc) if seconds is not None else None
    except (ValueError, OverflowError, OSError):
        read = None
    return f"{read.astimezone():%Y-%m-%d %H:%M:%S}" if read else "–"


def _failures(rows: Sequence[BuildRow]) -> Iterator[RenderableType]:
    for row in rows:
        if row.error or row.output:
            yield Text.assemble(cells.mark("failed"), " ", (clean(row.ref), "bold"))
            yield from (whole(f"    {line}", "dim") for line in row.output)
            yield from (whole(f"    {line}", "red") for line in clean(row.error).splitlines())


def _machine(found: Logs) -> Iterator[RenderableType]:
    for line in found.kills:
        yield Text.assemble(cells.mark("failed"), " ", clean(line))
    if found.killed is not None:
        ended = f"{cells.count(found.killed, 'process', 'processes')} killed since boot as memory ran out"
        yield Text(f"memory kills: {ended if found.killed else 'none since boot'}")
    if found.memory:
        yield Text(
            f"memory: {_size(found.available)} of {_size(found.memory)} available, {_size(found.swap)} of swap"
        )
    yield from (Text(_room(row)) for row in found.room)


def _room(row: RoomRow) -> str:
    inodes = f", {row.inodes} inodes" if row.inodes else ""
    return f"room: {clean(row.path)}: {_size(row.free)} of {_size(row.size)} free{inodes}"


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB"


def _known(errors: Sequence[KnownError], place: Place) -> Iterator[RenderableType]:
    for each in errors:
        times = f" ({each.times} times)" if each.times > 1 else ""
        yield Text.assemble(cells.mark("error"), " ", (clean(each.cause), "bold"), times)
        yield Padding(Text(clean(each.seen), "dim"), (0, 0, 0, 4))
        yield from cells.fix(each.fix, place)
