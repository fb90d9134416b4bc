"""The record on a host: what this tool made, installed and replaced there. Pure.

A text for people too: a line for each thing, of words with tabs between. templates/host/record.sh writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from provision import paths

VERSION: Final = 1
HEADER: Final = (
    f"# provision record {VERSION}: what this tool made, installed and replaced on this machine."
    " The command remove goes by it."
)
_FIRST: Final = re.compile(r"# provision record (\d+)\b")

Kind = Literal[
    "file", "kept", "folder", "link", "release", "emulator", "package", "group", "member", "enabled", "handler",
    "was", "state",
]  # fmt: skip
"""What a line is about, and the words after it:

file PATH SHA256, as it was written, and after a cut the SHA256 of the one before; kept PATH, of somebody else's file
that is beside it; folder, link, release, emulator PATH; package MANAGER NAME; group NAME; member GROUP USER; enabled
MANAGER SERVICE; handler NAME; was NAME LINE, the handler of that name before; state PATH, that of the daemon, where
there was none before.
"""
_TWO_NAMES: Final = ("package", "member", "enabled")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line. `names` says what it is about, `more` what is known of that."""

    kind: Kind
    names: tuple[str, ...]
    more: str = ""

    @property
    def line(self) -> str:
        """As it stands in the record, without the end of the line."""
        return "\t".join((self.kind, *self.names, *((self.more,) if self.more else ())))


@dataclass(frozen=True, kw_only=True)
class HostRecord:
    """The record of one host. `version` is higher than `VERSION` if a newer version of this tool wrote it."""

    version: int = VERSION
    entries: tuple[Entry, ...] = field(default=())

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        """The entries of a kind, in their order."""
        return tuple(each for each in self.entries if each.kind == kind)

    def find(self, kind: Kind, *names: str) -> Entry | None:
        """The entry for these names."""
        return next((each for each in self.of(kind) if each.names == names), None)


def parse_record(text: str) -> HostRecord:
    """The record of a host. Lines of a kind that is not known are left out."""
    lines = text.splitlines()
    first = _FIRST.match(lines[0]) if lines else None
    return HostRecord(
        version=int(first[1]) if first else VERSION,
        entries=tuple(entry for line in lines if (entry := _entry(line))),
    )


def _entry(line: str) -> Entry | None:
    kind, *words = line.split("\t")
    count = 2 if kind in _TWO_NAMES else 1
    if kind not in get_args(Kind) or len(words) < count:
        return None
    return Entry(kind=kind, names=tuple(words[:count]), more="\t".join(words[count:]))  # type: ignore[arg-type]


def kept(path: str) -> str:
    """Where somebody else's file is kept."""
    return f"{path}{paths.KEPT}"
