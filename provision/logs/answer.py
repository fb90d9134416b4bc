"""What a host answered, as `Logs`: without secrets, and with what is known of the errors in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from provision import paths
from provision.buildkit.failures import Explanation, meaning_of
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.facts.records import Record, number, records
from provision.fix import Fix, HostCommand
from provision.logs.builds import parse_builds
from provision.logs.masking import masked, masked_lines
from provision.logs.question import source
from provision.logs.since import Since, later
from provision.result.logs import BuildRow, KnownError, Logs, RoomRow, WorkerRow
from provision.spec import Spec

_DISKS: Final = ("/", paths.STATE)
_QUIET: Final = ("level=info", "level=debug", "level=trace", '"level":"info"', '"level":"debug"')
_TRACE: Final = re.compile(r'traceID"?[=:]"?(\w+)')
_UNREADABLE: Final = (
    "Hint: You are currently not seeing messages from other users",
    "No journal files were opened due to insufficient permissions",
    "Permission denied",
)
_HINT: Final = ("Hint: ", "      Users in ", "      Pass -q")
"""How journalctl says it, in several lines."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The logs, and what goes with them."""

    logs: Logs
    notes: tuple[str, ...] = ()
    environment: str = ""
    """The user's own variables for the daemon, masked."""


def read(spec: Spec, facts: Facts, lines: Iterable[str], *, count: int, since: Since | None) -> Answered:
    """From the records of `templates/logs.sh`."""
    found: dict[str, Record] = {}
    outputs: dict[str, tuple[str, ...]] = {}
    for record in records(lines):
        if record.kind == "output":
            outputs[record[0]] = tuple(record.lines)
        else:
            found[record.kind] = record
    empty = Record(kind="")
    moment = since.moment(facts.system.clock) if since else None
    log, unreadable = _readable(found.get("log", empty).lines)
    if moment is not None and service_manager(spec, facts).name != "systemd":
        log = later(log, moment)[-count:]
    history = found.get("history", empty)
    builds = parse_builds(history.lines, outputs)
    if moment is not None:
        builds = tuple(each for each in builds if (each.created or 0.0) >= moment)
    restart = service_manager(spec, facts).commands.restart
    logs = Logs(
        source=source(spec, facts),
        lines=masked_lines(log),
        workers=_workers(facts),
        builds=tuple(_without_secrets(each) for each in builds),
        kills=tuple(found.get("kills", empty).lines),
        killed=number(found["killed"][0]) if "killed" in found else None,
        memory=facts.system.memory * 1024,
        available=facts.system.available * 1024,
        swap=facts.system.swap * 1024,
        room=_room(facts),
        known=known_errors(log, builds, facts.worker_error, restart),
    )
    return Answered(
        logs=logs,
        notes=tuple(_notes(facts, history, unreadable=unreadable)),
        environment=masked(found.get("environment", empty).text),
    )


def _readable(lines: list[str]) -> tuple[tuple[str, ...], bool]:
    """The lines of the log itself, and whether somebody without the rights asked for them."""
    unreadable = any(sign in line for line in lines[-5:] + lines[:5] for sign in _UNREADABLE)
    if not unreadable:
        return tuple(lines), False
    kept = (line for line in lines if not line.startswith(_HINT) and not any(s in line for s in _UNREADABLE))
    return tuple(kept), True


def _notes(facts: Facts, history: Record, *, unreadable: bool) -> Iterable[str]:
    if unreadable:
        yield "not all of the log may be read by this user: run it by sudo, or join the group systemd-journal"
    if facts.worker is None and facts.worker_error:
        yield f"buildkitd does not answer: {facts.worker_error.strip().splitlines()[-1]}"
    elif facts.worker is None:
        yield "buildkitd was not asked: its socket is not there, or not open to this user"
    if history[0] == "error":
        yield f"the history of builds cannot be read: {(history.lines or ['no answer'])[-1]}"


def _workers(facts: Facts) -> tuple[WorkerRow, ...]:
    worker = facts.worker
    if worker is None:
        return ()
    row = WorkerRow(
        id=worker.id, version=worker.version, snapshotter=worker.snapshotter, platforms=worker.platforms
    )
    return (row,)


def _room(facts: Facts) -> tuple[RoomRow, ...]:
    return tuple(
        RoomRow(path=path, size=disk.size * 1024, free=disk.free * 1024, inodes=disk.inodes)
        for path in _DISKS
        if (disk := facts.disks.get(path)) and disk.size
    )


def _without_secrets(build: BuildRow) -> BuildRow:
    return replace(build, error=masked(build.error), output=masked_lines(build.output))


def known_errors(
    log: Iterable[str], builds: Iterable[BuildRow], worker_error: str, restart: HostCommand
) -> tuple[KnownError, ...]:
    """Each known message once, the newest last: of the log, of the builds that failed, of the question for workers."""
    # The daemon's log has the errors of builds once more: of the two, the one with more counts.
    in_log = _counted(_in_log(log, restart))
    # The step's own words are above the error.
    in_builds = _counted(
        meaning_of("\n".join([*build.output, build.error]), restart)
        for build in builds
        if build.status == "failed"
    )
    found = dict(in_log)
    for key, each in {**in_builds, **_counted([meaning_of(worker_error, restart)])}.items():
        before = found.pop(key, each)
        found[key] = replace(each, times=max(each.times, before.times))
    return tuple(found.values())


def _in_log(log: Iterable[str], restart: HostCommand) -> Iterator[Explanation | None]:
    """What the log's errors mean. The daemon writes an error at each of its layers, under one trace."""
    told = set()
    for line in log:
        # In logrus's msg="…" and JSON quotes are escaped.
        seen = (
            None if any(sign in line for sign in _QUIET) else meaning_of(line.replace('\\"', '"'), restart)
        )
        trace = _TRACE.search(line)
        event = (trace[1], seen.cause) if trace and seen else None
        if event is None or event not in told:
            yield seen
        told.add(event)


_Counted = dict[tuple[str, Fix], KnownError]


def _counted(explanations: Iterable[Explanation | None]) -> _Counted:
    found: _Counted = {}
    for each in explanations:
        if each is not None:
            key = (each.cause, each.fix)
            before = found.pop(key, None)
            times = before.times + 1 if before else 1
            found[key] = KnownError(
                seen=masked(each.seen), cause=masked(each.cause), fix=each.fix, times=times
            )
    return found
