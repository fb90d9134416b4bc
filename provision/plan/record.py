"""What the record on a host lacks: things of this tool that an earlier version made. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from provision import paths
from provision.facts import Facts, File
from provision.facts.host_record import Entry, HostRecord
from provision.facts.managers import seen
from provision.facts.view import MARK
from provision.plan.steps import RecordLines, Step, TidyUp
from provision.services import MANAGERS

_BEGINNING = 100
"""Where the mark stands in a file of this tool: in its first line, or in a script's second."""


def owned(facts: Facts) -> HostRecord:
    """The record, with what it lacks."""
    written = facts.record or HostRecord()
    return HostRecord(version=written.version, entries=(*written.entries, *lacking(facts)))


def plan_record(facts: Facts) -> tuple[Step, ...]:
    """The step that writes what the record lacks; empty if it is complete."""
    lines = tuple(entry.line for entry in lacking(facts))
    if not lines:
        return ()
    return (
        RecordLines(
            id="record",
            action="write" if facts.record else "create",
            target=paths.RECORD,
            detail="\n".join(f"+{line}" for line in lines),
            lines=lines,
        ),
    )


def plan_tidying(facts: Facts) -> tuple[Step, ...]:
    """The step that removes what a run that was killed has left; empty if there is nothing."""
    names = {entry.name for entry in facts.entries}
    handlers = tuple(
        name
        for name in sorted(names)
        if name.startswith("qemu-")
        and (
            name.endswith(".trial") or (name.endswith(".standby") and name.removesuffix(".standby") in names)
        )
    )
    leftovers = (*facts.leftovers, *_outlived(facts))
    if not leftovers and not handlers:
        return ()
    return (
        TidyUp(
            id="tidy",
            action="remove",
            target="what a run that was killed has left",
            detail="\n".join(f"-{each}" for each in (*leftovers, *handlers)),
            paths=leftovers,
            handlers=handlers,
        ),
    )


def _outlived(facts: Facts) -> tuple[str, ...]:
    """What was saved before what is saved is of use only until the next daemon has proven itself."""
    if facts.older is None or facts.previous is None or facts.daemon is None:
        return ()
    proven = facts.daemon.generation != facts.previous.generation
    return (f"{paths.PREVIOUS}{paths.OLDER}",) if proven else ()


def lacking(facts: Facts) -> tuple[Entry, ...]:
    """Entries for what is there, and is this tool's by its own mark."""
    written = facts.record or HostRecord()
    return tuple(entry for entry in _marked(facts) if not written.find(entry.kind, *entry.names))


def is_ours(file: File, record: HostRecord | None) -> bool:
    """Whether a file is this tool's: it says so, or is as this tool left it (`ours` in templates/host/record.sh)."""
    if MARK in (file.text or "")[:_BEGINNING]:
        return True
    noted = (record or HostRecord()).find("file", file.path)
    return noted is not None and file.text is not None and sha256(file.text) in noted.more.split("\t")


def sha256(text: str) -> str:
    """Of a file's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _marked(facts: Facts) -> Iterator[Entry]:
    for path, file in facts.files.items():
        if file.text is not None and MARK in file.text[:_BEGINNING]:
            yield Entry(kind="file", names=(path,), more=sha256(file.text))
    for path, beginning in ((paths.CURRENT, f"{paths.RELEASES}/"), (paths.BUILDCTL, paths.CLIENT)):
        link = facts.files.get(path)
        if link is not None and (link.target or "").startswith(beginning):
            yield Entry(kind="link", names=(path,))
    for folder in facts.releases:
        yield Entry(kind="release", names=(folder,))
    for entry in facts.entries:
        rule = facts.files.get(f"{paths.RULES}/{entry.name}.conf")
        if rule is not None and (rule.text or "").startswith(MARK):
            yield Entry(kind="handler", names=(entry.name,))
    for manager in MANAGERS:
        own = facts.files.get(manager.path)
        service = manager.read(seen(facts)).service
        if own is not None and is_ours(own, facts.record) and service.enabled:
            yield Entry(kind="enabled", names=(manager.name, manager.service))
