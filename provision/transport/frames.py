"""Splits what a session prints into records and end marks. No I/O.

A mark begins with NUL, which no line of text holds, and the session's nonce: `NUL nonce status verdict
newline` (templates/session.sh). What stands before it on its line is a record whose newline is missing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class End:
    """A script ended: with this status, by itself or because its time was up."""

    status: int
    overdue: bool


class Frames:
    """Standard output of one session. Before the ready line all is noise of a login shell's own files."""

    def __init__(self, nonce: str) -> None:
        self._greeting = f"{nonce} ready\n".encode()
        self._mark = b"\0" + nonce.encode() + b" "
        self._rest = b""
        self.ready = False

    @property
    def rest(self) -> str:
        """What has come and is no record yet; before the ready line, what a login shell said instead."""
        return _text(self._rest)

    def feed(self, data: bytes) -> list[str | End]:
        """Records and ends, as soon as they are whole."""
        self._rest += data
        if not self.ready:
            _, found, after = self._rest.partition(self._greeting)
            if not found:
                return []
            self.ready, self._rest = True, after
        *lines, self._rest = self._rest.split(b"\n")
        return [item for line in lines for item in self._items(line)]

    def _items(self, line: bytes) -> list[str | End]:
        text, mark, end = line.partition(self._mark)
        if not mark:
            return [_text(line)]
        status, verdict = end.split()
        ended = End(status=int(status), overdue=verdict == b"overdue")
        return [_text(text), ended] if text else [ended]


class Errors:
    """Standard error of one session: the tail of what the script said, and whether its mark has come."""

    def __init__(self, nonce: str, limit: int = 16 * 1024) -> None:
        self._mark = b"\0" + nonce.encode() + b"\n"
        self._limit = limit
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Keeps the end of it; a mark is never cut, as it is shorter than what is kept."""
        self._tail = (self._tail + data)[-self._limit :]

    @property
    def ended(self) -> bool:
        """True once the script's own end has been seen here as well."""
        return self._mark in self._tail

    @property
    def text(self) -> str:
        """What was said so far, without the mark."""
        return _text(self._tail.replace(self._mark, b""))

    def take(self) -> str:
        """What the script that ended had said; what comes after belongs to the next one."""
        said, _, self._tail = self._tail.partition(self._mark)
        return _text(said)


def _text(data: bytes) -> str:
    # A file name need not be UTF-8; what it holds must show, and must survive JSON and a terminal.
    return data.decode("utf-8", "backslashreplace")
