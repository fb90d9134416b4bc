"""The far end's three descriptors, and how the output of two of them is read.

A mark in the output begins with NUL, which no line of text holds, and the session's nonce: `NUL nonce status verdict
newline` (templates/session.sh). Text before it on its line is a record whose newline is missing.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

_Source = Literal["out", "err"]


class Stream(Protocol):
    """The three descriptors of the far sh. `OSError` from any method means that the far sh is gone."""

    def read(self) -> bytes:
        """Standard output: waits for some; nothing at the end."""

    def read_error(self) -> bytes:
        """Standard error, likewise."""

    def send(self, data: bytes, timeout: float) -> int:
        """Sends some bytes of `data`, and returns how many: 0 if the far end took none for `timeout` seconds."""

    def finish(self) -> None:
        """Ends standard input; output still comes."""

    def status(self) -> int | None:
        """The exit status of the far sh once its output has ended; None if unknown."""

    def close(self) -> None:
        """Closes everything, and wakes threads that read. May be called twice."""


@dataclass(frozen=True, kw_only=True)
class End:
    """A script ended: with this status, by itself or because its time was up."""

    status: int
    overdue: bool


class Frames:
    """Splits standard output of one session into records and ends. No I/O.

    Everything before the ready line is noise of a login shell's own files.
    """

    def __init__(self, nonce: str) -> None:
        self._greeting = f"{nonce} ready\n".encode()
        self._mark = b"\0" + nonce.encode() + b" "
        self._rest = b""
        self.ready = False

    @property
    def rest(self) -> str:
        """Output that is no whole record yet; before the ready line, what a login shell printed instead."""
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
    """Standard error of one session: its last bytes, and whether the script's mark is among them. No I/O."""

    def __init__(self, nonce: str, limit: int = 16 * 1024) -> None:
        self._mark = b"\0" + nonce.encode() + b"\n"
        self._limit = limit
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Keeps the last bytes. A mark is never cut, as it is shorter than what is kept."""
        self._tail = (self._tail + data)[-self._limit :]

    @property
    def ended(self) -> bool:
        """True once the script's own end has been seen here as well."""
        return self._mark in self._tail

    @property
    def text(self) -> str:
        """All that is kept, without the mark."""
        return _text(self._tail.replace(self._mark, b""))

    def take(self) -> str:
        """Remove and return the errors of the script that ended; those behind the mark are the next script's."""
        errors, _, self._tail = self._tail.partition(self._mark)
        return _text(errors)


class Incoming:
    """What a stream brings. For one thread at a time.

    Two threads of its own read standard output and error, so that neither can fill up and block the far end.
    """

    def __init__(self, stream: Stream, nonce: str, name: str) -> None:
        self._nonce = nonce
        self._frames = Frames(nonce)
        self._errors = Errors(nonce)
        self._errors_over = False
        self._events: queue.SimpleQueue[tuple[_Source, bytes]] = queue.SimpleQueue()
        self.over = False
        """Standard output has ended."""
        self._drain("out", stream.read, name)
        self._drain("err", stream.read_error, name)

    def _drain(self, source: _Source, read: Callable[[], bytes], name: str) -> None:
        def work() -> None:
            with suppress(OSError):
                while data := read():
                    self._events.put((source, data))
            self._events.put((source, b""))

        threading.Thread(target=work, daemon=True, name=f"{name} {source}").start()

    def take(self, until: float) -> list[str | End] | None:
        """What the next event brings, often nothing; None if none came until then (`time.monotonic()`)."""
        try:
            source, data = self._events.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            return None
        if source == "err":
            self._errors.feed(data)
            self._errors_over |= not data
        elif data:
            return self._frames.feed(data)
        else:
            self.over = True
        return []

    @property
    def ready(self) -> bool:
        """The far sh is there and root."""
        return self._frames.ready

    @property
    def unread_output(self) -> str:
        """Output that is no record: what a login shell printed, and the end of standard error."""
        return "\n".join(filter(None, (self._frames.rest.strip(), self._errors.text.strip())))

    def forget_errors(self) -> None:
        """Drop sudo's prompt from standard error once sudo has accepted the password."""
        self._errors = Errors(self._nonce)

    def errors_of_the_script(self, seconds: float) -> str:
        """Standard error of the script that has ended. It may come a little later than the end on standard output."""
        self._settle(seconds, lambda: self._errors.ended)
        return self._errors.take()

    def last_output(self, seconds: float) -> str:
        """`unread_output`, once standard error has ended as well."""
        self._settle(seconds, lambda: False)
        return self.unread_output

    def _settle(self, seconds: float, enough: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while not (enough() or self._errors_over) and self.take(until) is not None:
            pass


def _text(data: bytes) -> str:
    # A file name need not be UTF-8. Its bytes must show, and must survive JSON and a terminal.
    return data.decode("utf-8", "backslashreplace")
