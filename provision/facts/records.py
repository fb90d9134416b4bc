"""How a script on a host answers: records, each a line of tab-separated fields.

The lines after it that start with "|" are its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of the probe: its kind, its fields, and the text below it."""

    kind: str
    fields: tuple[str, ...]
    text: str = ""

    def __getitem__(self, index: int) -> str:
        return self.fields[index] if index < len(self.fields) else ""


def records(lines: Iterable[str]) -> Iterator[Record]:
    """Group lines into records."""
    head: list[str] | None = None
    text: list[str] = []
    for line in lines:
        if line.startswith("|"):
            text.append(line[1:])
            continue
        if head is not None:
            yield Record(kind=head[0], fields=tuple(head[1:]), text="".join(f"{each}\n" for each in text))
        head, text = line.split("\t"), []
    if head is not None:
        yield Record(kind=head[0], fields=tuple(head[1:]), text="".join(f"{each}\n" for each in text))


def number(text: str, base: int = 10) -> int:
    """An integer, or 0 for what the host could not say."""
    try:
        return int(text, base)
    except ValueError:
        return 0


def words(text: str, separator: str = ",") -> tuple[str, ...]:
    """The parts of a list that are not empty."""
    return tuple(word for word in text.split(separator) if word)
