"""How a script on a host answers: records, each a line of tab-separated fields.

The lines after a record that start with "|" are its text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record: its kind, its fields, and the lines of text below it. A field that is missing is empty."""

    kind: str
    fields: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    """The reader adds to them as they arrive."""

    def __getitem__(self, index: int) -> str:
        return self.fields[index] if index < len(self.fields) else ""

    @property
    def text(self) -> str:
        """The text so far, each line with its end."""
        return "".join(f"{line}\n" for line in self.lines)


class RecordReader:
    """Reads an answer line by line, while it arrives."""

    def __init__(self) -> None:
        # Text before the first record (a login script's banner) belongs to none.
        self._last = Record(kind="")

    def read(self, line: str) -> Record | None:
        """The record that begins with this line; None for a line of text, which joins the record before it."""
        if line.startswith("|"):
            self._last.lines.append(line[1:])
            return None
        kind, *fields = line.split("\t")
        self._last = Record(kind=kind, fields=tuple(fields))
        return self._last


def records(lines: Iterable[str]) -> tuple[Record, ...]:
    """The records of a whole answer."""
    reader = RecordReader()
    return tuple(record for line in lines if (record := reader.read(line)))


def number(text: str, base: int = 10) -> int:
    """An integer, or 0 for what the host could not say."""
    try:
        return int(text, base)
    except ValueError:
        return 0


def words(text: str, separator: str = ",") -> tuple[str, ...]:
    """The parts of a list that are not empty."""
    return tuple(word for word in text.split(separator) if word)
