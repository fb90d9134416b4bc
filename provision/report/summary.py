"""How a run on several hosts ended, for a person: worst first, and of many hosts those with the same cause together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from provision.errors import ProvisionError, WrongKeyError
from provision.plain import clean
from provision.report import cells
from provision.result import EXIT_CODES, WORST_FIRST, HostResult, HostStatus, Report

MANY: Final = 20
"""More hosts than these are not listed one by one: they would fill more than a screen."""
_NAMED: Final = 8
"""Hosts of a group that are named."""
# What differs from host to host in messages of one kind: "10.0.0.5 port 22 refused the connection", "1.2 GB are free".
_ITS_OWN: Final = re.compile(r"\S+ port \d+|\d+(?:[.,]\d+)*")
_WORDS: Final[Mapping[str, str]] = {"ok": "unchanged"}
"""Other names for a status in the summary of a command that changes hosts, or shows what would change."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Hosts that ended alike, in the order in which they were named."""

    status: HostStatus
    why: str
    hosts: tuple[HostResult, ...]

    @property
    def names(self) -> str:
        """`a, b, c and 34 more`."""
        shown = ", ".join(clean(host.host) for host in self.hosts[:_NAMED])
        more = len(self.hosts) - _NAMED
        return f"{shown} and {more} more" if more > 0 else shown


def ordered(report: Report) -> tuple[HostResult, ...]:
    """The worst hosts first, a wrong key before all that ended alike; the equally bad as they were named."""
    return tuple(sorted(report.hosts, key=_badness))


def groups(report: Report) -> tuple[Group, ...]:
    """The worst first, as `ordered`; of those that ended alike the largest."""
    found: dict[tuple[str, str], list[HostResult]] = {}
    for host in ordered(report):
        found.setdefault((host.status, _kind(host)), []).append(host)
    made = [
        Group(status=hosts[0].status, why=_common_reason(hosts), hosts=tuple(hosts))
        for hosts in found.values()
    ]
    return tuple(sorted(made, key=lambda group: (_badness(group.hosts[0])[:2], -len(group.hosts))))


def shown(report: Report) -> Iterator[RenderableType]:
    """A line for each host, or for each group of many; then one for all."""
    words = _WORDS if report.command in ("plan", "provision", "rollback", "remove") else {}
    if len(report.hosts) > MANY:
        yield _group_table(groups(report), words)
    else:
        yield _host_table(ordered(report), words)
    counts = Counter(words.get(host.status, host.status) for host in ordered(report))
    numbers = ", ".join(f"{number} {word}" for word, number in counts.items())
    yield Text(f"{cells.count(len(report.hosts), 'host')}: {numbers}")


def errors(report: Report) -> Iterator[RenderableType]:
    """The errors of hosts in their three parts; of many hosts one error for each cause, that of the first host."""
    several = len(report.hosts) > 1
    if len(report.hosts) <= MANY:
        for host in ordered(report):
            if host.error:
                yield from cells.error(host.error, host.place, host.host if several else "")
        return
    for group in groups(report):
        host = group.hosts[0]
        if host.error is None:
            continue
        if len(group.hosts) == 1:
            yield from cells.error(host.error, host.place, host.host)
        else:
            yield from _group_error(group, host, host.error)


def _group_error(group: Group, host: HostResult, error: ProvisionError) -> Iterator[RenderableType]:
    """Cause and advice are the first host's, so that its commands can be pasted."""
    what = f"{cells.count(len(group.hosts), 'host')}: {group.why}"
    shared = ProvisionError(what, cause=error.cause, hint=error.hint, fix=error.fix)
    yield from cells.error(shared, host.place, of=f" ({clean(host.host)})")
    yield Padding(Text(f"hosts: {group.names}"), (0, 0, 0, 2))


def _reason(host: HostResult) -> str:
    """Why the host ended as it did, without its name, which stands beside it."""
    if host.error:
        return host.error.message.removeprefix(f"{host.host}: ").partition("\n")[0]
    done = sum(step.status in ("done", "pending") for step in host.steps)
    return cells.count(done, "change") if done else cells.tally(host.findings)


def _kind(host: HostResult) -> str:
    """The same for hosts that ended alike."""
    if host.error is None:
        return re.sub(r"\d+ changes?", "changes", _reason(host))
    return f"{host.error.code} {_ITS_OWN.sub('…', _reason(host).replace(host.host, '…'))}"


def _common_reason(hosts: Iterable[HostResult]) -> str:
    """The reason of all; without what is the host's own where that differs."""
    reasons = list(dict.fromkeys(_reason(host) for host in hosts))
    if len(reasons) == 1:
        return reasons[0]
    first = next(iter(hosts))
    if first.error is None:
        counts = sorted(int(found[0]) for reason in reasons if (found := re.match(r"\d+", reason)))
        return f"{counts[0]} to {counts[-1]} changes" if counts else reasons[0]
    return _ITS_OWN.sub("…", _reason(first).replace(first.host, "…"))


def _badness(host: HostResult) -> tuple[int, ...]:
    counts = Counter(finding.severity for finding in host.findings)
    status, alarm = WORST_FIRST.index(EXIT_CODES[host.status]), isinstance(host.error, WrongKeyError)
    return status, not alarm, -counts["error"], -counts["warning"], -counts["info"]


def _host_table(results: Iterable[HostResult], words: Mapping[str, str]) -> Table:
    made = cells.table("HOST", "RESULT", "TIME")
    _add_reason(made)
    for host in results:
        made.add_row(
            Text(clean(host.host)),
            cells.status(host.status, words),
            cells.duration(host.seconds),
            Text(clean(_reason(host))),
        )
    return made


def _group_table(found: Iterable[Group], words: Mapping[str, str]) -> Table:
    made = cells.table("HOSTS", "RESULT", "TIME")
    made.columns[0].justify = "right"
    _add_reason(made)
    for group in found:
        longest = max(host.seconds for host in group.hosts)
        # Of those that are as they should be, nobody looks for names.
        named = EXIT_CODES[group.status] != 0
        why = f"{group.why}: {group.names}" if named and group.why else group.names if named else group.why
        made.add_row(
            str(len(group.hosts)),
            cells.status(group.status, words),
            f"≤ {cells.duration(longest)}" if len(group.hosts) > 1 else cells.duration(longest),
            Text(clean(why)),
        )
    return made


def _add_reason(made: Table) -> None:
    """Only the reason is shortened on a narrow terminal."""
    made.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    made.expand = True
