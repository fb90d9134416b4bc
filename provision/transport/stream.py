"""The far end's three descriptors, and how the output of two of them is read.

A mark in the output begins with NUL, which no line of text holds, and the session's nonce: `NUL nonce status verdict
newline` (templates/session.sh). Text before it on its line is a record whose newline is missing.

Whatever the far end sends, only so much of it is kept here: `MOST_UNREAD`, `MOST_NOISE`, `MOST_LINE`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Literal, Protocol

MOST_UNREAD: Final = 1024 * 1024
"""Bytes that wait here to be worked off. Then reading stops, and the far end has to wait."""
MOST_NOISE: Final = 1024 * 1024
"""Bytes before the ready line."""
MOST_LINE: Final = 4 * 1024 * 1024
"""Bytes of one record."""

_Source = Literal["out", "err"]


class NonsenseError(ValueError):
    """The output is not that of the far sh. Says why."""


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
        self._error_mark = b"\0" + nonce.encode()
        self._rest = bytearray()
        self._looked = 0
        """Bytes of `_rest` in which what ends them was not found."""
        self.ready = False
        self.merged = False
        """Standard error comes here as well: something between puts both into one (`2>&1` in an audit)."""

    @property
    def rest(self) -> str:
        """Output that is no whole record yet; before the ready line, what a login shell printed instead."""
        return _text(self._rest)

    @property
    def tail(self) -> str:
        """The end of `rest`."""
        return _text(self._rest[-1000:])

    def forget_noise(self) -> None:
        """Drop what came before the ready line, so far."""
        if not self.ready:
            self._rest.clear()
            self._looked = 0

    def feed(self, data: bytes) -> list[str | End]:
        """Records and ends, as soon as they are whole. Raises NonsenseError."""
        self._rest += data
        if not self.ready and not self._found_greeting():
            return []
        end = self._rest.rfind(b"\n", self._looked)
        if end < 0:
            self._looked = len(self._rest)
            if self._looked > MOST_LINE:
                raise NonsenseError(f"a line of more than {MOST_LINE >> 20} MiB")
            return []
        whole = bytes(self._rest[:end])
        del self._rest[: end + 1]
        self._looked = len(self._rest)
        return [item for line in whole.split(b"\n") for item in self._items(line)]

    def _found_greeting(self) -> bool:
        at = self._rest.find(self._greeting, max(self._looked - len(self._greeting), 0))
        self.ready = at >= 0
        if self.ready:
            del self._rest[: at + len(self._greeting)]
            self._looked = 0
        else:
            self._looked = len(self._rest)
        return self.ready

    def _items(self, line: bytes) -> list[str | End]:
        text, mark, end = line.partition(self._mark)
        if not mark and line.endswith(self._error_mark):
            self.merged = True
            text = line.removesuffix(self._error_mark)
            return [_text(text)] if text else []
        if not mark:
            return [_text(line)]
        found = re.fullmatch(rb"(\d{1,3}) (ended|overdue)", end)
        if not found:
            raise NonsenseError(f"a mark with {_text(end[:40])!r} behind it")
        ended = End(status=int(found[1]), overdue=found[2] == b"overdue")
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

    def forget(self) -> None:
        """Drop all that is kept."""
        self._tail = b""


class _Waiting:
    """What has come and is not worked off: at most MOST_UNREAD bytes and one piece more. For any thread."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[_Source, bytes]] = deque()
        # Ctrl-C may end a wait for a piece. Such a wait of threading.Condition can end with "cannot release
        # un-acquired lock" (github.com/python/cpython/issues/118433); that of SimpleQueue ends as it should. It wakes,
        # and holds no piece: what it has handed out is lost if Ctrl-C comes just then.
        self._come: SimpleQueue[None] = SimpleQueue()
        self._size = 0
        self._closed = False
        self._room = threading.Condition()

    def put(self, source: _Source, data: bytes) -> bool:
        """Waits for room. False if nobody wants it any more."""
        with self._room:
            self._room.wait_for(lambda: self._size < MOST_UNREAD or self._closed)
            self._size += len(data)
            self._pieces.append((source, data))
            if self._come.empty():
                self._come.put(None)
            return not self._closed

    def get(self, seconds: float) -> tuple[_Source, bytes] | None:
        """The next piece; None if there is none in that time."""
        until = time.monotonic() + seconds
        while not self._pieces:
            left = until - time.monotonic()
            with suppress(Empty):
                self._come.get(timeout=max(min(left, _look_up()), 0))
                continue
            if left <= 0:
                return None
        with self._room:
            source, data = self._pieces.popleft()
            self._size -= len(data)
            self._room.notify_all()
        return source, data

    def close(self) -> None:
        """Lets the threads that put end."""
        with self._room:
            self._closed = True
            self._room.notify_all()


def _look_up() -> float:
    """Seconds after which a wait begins anew: a signal that came just before a wait is only seen at the wait's end.

    Python handles signals in the main thread alone.
    """
    return 0.1 if threading.current_thread() is threading.main_thread() else threading.TIMEOUT_MAX


class Incoming:
    """What a stream brings. For one thread at a time.

    Two threads of its own read standard output and error, so that neither can fill up and block the far end.
    """

    def __init__(self, stream: Stream, nonce: str, name: str) -> None:
        self._frames = Frames(nonce)
        self._errors = Errors(nonce)
        self._errors_over = False
        self._waiting = _Waiting()
        self.taken = 0
        """Bytes of both that were worked off so far."""
        self.over = False
        """Standard output has ended."""
        self._drain("out", stream.read, name)
        self._drain("err", stream.read_error, name)

    def _drain(self, source: _Source, read: Callable[[], bytes], name: str) -> None:
        def work() -> None:
            with suppress(OSError):
                while (data := read()) and self._waiting.put(source, data):
                    pass
            self._waiting.put(source, b"")

        threading.Thread(target=work, daemon=True, name=f"{name} {source}").start()

    def take(self, until: float) -> list[str | End] | None:
        """What the next event brings, often nothing; None if none came until then (`time.monotonic()`).

        Raises NonsenseError.
        """
        event = self._waiting.get(until - time.monotonic())
        if event is None:
            return None
        source, data = event
        self.taken += len(data)
        if source == "err":
            self._errors.feed(data)
            self._errors_over |= not data
        elif data:
            return self._frames.feed(data)
        else:
            self.over = True
        return []

    def skip(self) -> None:
        """Forget what came while nobody asked: it is no answer to the next request. Raises NonsenseError."""
        most = self.taken + 2 * MOST_UNREAD
        while self.taken < most and self.take(0) is not None:
            pass

    def close(self) -> None:
        """Nothing of what still comes is wanted."""
        self._waiting.close()

    @property
    def ready(self) -> bool:
        """The far sh is there and root."""
        return self._frames.ready

    @property
    def unread_output(self) -> str:
        """Output that is no record: what a login shell printed, and the end of standard error."""
        return "\n".join(filter(None, (self._frames.rest.strip(), self._errors.text.strip())))

    def last_words(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Where the end of either output matches a pattern."""
        return pattern.search(self._errors.text[-1000:]) or pattern.search(self._frames.tail)

    def forget(self) -> None:
        """Drop what was said so far: sudo's question, once it has been answered."""
        self._errors.forget()
        self._frames.forget_noise()

    def errors_of_the_script(self, seconds: float) -> str:
        """Standard error of the script that has ended. It may come a little later than the end on standard output."""
        self._settle(seconds, lambda: self._errors.ended or self._frames.merged)
        return self._errors.take()

    def last_output(self, seconds: float) -> str:
        """`unread_output`, once standard error has ended as well."""
        self._settle(seconds, lambda: False)
        return self.unread_output

    def _settle(self, seconds: float, enough: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        with suppress(NonsenseError):
            while not (enough() or self._errors_over) and time.monotonic() < until:
                self.take(until)


def _text(data: bytes | bytearray) -> str:
    # A file name need not be UTF-8. Its bytes must show, and must survive JSON and a terminal.
    return data.decode("utf-8", "backslashreplace")
