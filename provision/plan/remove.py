"""The plan of `remove`: takes away what the record says is this tool's, and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from provision import paths
from provision.facts import Facts
from provision.facts.host_record import Entry, HostRecord
from provision.facts.managers import runs, seen
from provision.plan.record import owned, plan_record, plan_tidying
from provision.plan.replacement import command
from provision.plan.steps import (
    Plan,
    RemoveFile,
    RemoveFolders,
    RemoveGroup,
    RemoveHandler,
    RemovePackages,
    RemoveRecord,
    RemoveTree,
    RunService,
    Step,
    WaitForBuilds,
)
from provision.services import MANAGERS
from provision.spec import Spec

_PURGED: Final = ("package", "group", "member", "state")
"""Kinds that stay without --purge: others may have come to use them."""
_NOT_IN_THE_RECORD: Final = (paths.CACHE, paths.SOCKET_FOLDER)

_LAST: Final = RemoveRecord(id="remove-record", action="remove", target=paths.OWN)


def plan_remove(spec: Spec, facts: Facts, *, purge: bool) -> Plan:
    """Everything that `remove` would do on this host; empty where nothing of this tool is left."""
    record = owned(facts)
    leaving = [entry for entry in record.entries if purge or entry.kind not in _PURGED]
    if not leaving:
        if facts.record is not None and not record.entries:
            return Plan(steps=(_LAST,))
        return Plan(notes=tuple(_staying(record, purge=purge)))
    steps = (
        *plan_tidying(facts),
        *plan_record(facts),
        *_stop(spec, facts, record),
        *_handlers(record),
        *_files(record),
        *_trees(record),
        *(_purge(record) if purge else ()),
        *_folders(record),
        _LAST,
    )
    return Plan(steps=steps, notes=tuple(_notes(facts, record, purge=purge)))


def _stop(spec: Spec, facts: Facts, record: HostRecord) -> Iterator[Step]:
    services = [(manager, manager.read(seen(facts)).service) for manager in MANAGERS]
    ours = {entry.names[0] for entry in record.of("file")}
    # The script runs the daemon of OpenRC too: whoever rests on it is asked first.
    going = [
        manager
        for manager, service in services
        if manager.path in ours and runs(manager, facts.system) and service.state in ("running", "failed")
    ]
    if going and spec.buildkit.drain_seconds:
        yield WaitForBuilds(
            id="drain",
            action="wait for",
            target="running builds",
            detail=f"at most {spec.buildkit.drain} ([buildkit] drain)",
            seconds=spec.buildkit.drain_seconds,
        )
    for manager in going[:1]:
        yield command(manager, "stop")
    for number, entry in enumerate(record.of("enabled")):
        name, service = entry.names
        manager = next(each for each in MANAGERS if each.name == name)
        yield RunService(
            id=f"disable-{number}",
            action="disable",
            target=service,
            manager=manager.name,
            verb="disable",
            service=service,
        )


def _handlers(record: HostRecord) -> Iterator[Step]:
    for entry in record.of("handler"):
        (name,) = entry.names
        was = record.find("was", name)
        yield RemoveHandler(
            id=f"remove-{name}",
            action="remove",
            target=name,
            detail=f"+{was.more}" if was else "",
            name=name,
            was=was.more if was else "",
        )


def _files(record: HostRecord) -> Iterator[Step]:
    files = [(entry, "file") for entry in record.of("file")] + [
        (entry, "link") for entry in record.of("link")
    ]
    for number, (entry, kind) in enumerate(files):
        (path,) = entry.names
        kept = record.find("kept", path) is not None
        yield RemoveFile(
            id=f"remove-{kind}-{number}",
            action="restore" if kept else "remove",
            target=path,
            detail=f"{path}{paths.KEPT} comes back" if kept else "",
            file_kind="link" if kind == "link" else "file",
            path=path,
        )


def _trees(record: HostRecord) -> Iterator[Step]:
    entries: Sequence[Entry] = (*record.of("release"), *record.of("emulator"))
    trees = [(entry.kind, entry.names[0]) for entry in entries] + [
        ("folder", path) for path in _NOT_IN_THE_RECORD
    ]
    for number, (kind, path) in enumerate(trees):
        yield RemoveTree(id=f"remove-tree-{number}", action="remove", target=path, path=path, entry=kind)


def _purge(record: HostRecord) -> Iterator[Step]:
    names: dict[str, list[str]] = {}
    for entry in record.of("package"):
        names.setdefault(entry.names[0], []).append(entry.names[1])
    for manager, packages in names.items():
        yield RemovePackages(
            id="remove-packages",
            action="remove",
            target=" ".join(packages),
            detail=f"installed by this tool, by {manager}",
            manager=manager,
            packages=tuple(packages),
        )
    for entry in record.of("group"):
        (group,) = entry.names
        yield RemoveGroup(id="remove-group", action="remove", target=f"group {group}", group=group)
    for number, entry in enumerate(record.of("state")):
        (path,) = entry.names
        yield RemoveTree(id=f"remove-state-{number}", action="remove", target=path, path=path, entry="state")


def _folders(record: HostRecord) -> Iterator[Step]:
    folders = sorted((entry.names[0] for entry in record.of("folder")), key=len, reverse=True)
    if folders:
        yield RemoveFolders(
            id="remove-folders",
            action="remove",
            target="empty folders",
            detail="\n".join(f"-{each}" for each in folders),
            folders=tuple(folders),
        )


def _notes(facts: Facts, record: HostRecord, *, purge: bool) -> Iterator[str]:
    if purge:
        for path, size in facts.sizes.items():
            if any(path == each.names[0] for each in (*record.of("state"), *record.of("folder"))):
                yield f"{path} holds {size / 1024:.0f} MiB, which are removed"
    yield from _staying(record, purge=purge)


def _staying(record: HostRecord, *, purge: bool) -> Iterator[str]:
    stays = [_named(entry) for entry in record.entries if entry.kind in _PURGED]
    if stays and not purge:
        yield f"stays, as --purge was not given: {', '.join(stays)}"


def _named(entry: Entry) -> str:
    """What stays, for people. A path says what it is."""
    if entry.kind == "member":
        return f"{entry.names[1]} in group {entry.names[0]}"
    return entry.names[-1] if entry.kind == "state" else f"{entry.kind} {entry.names[-1]}"
