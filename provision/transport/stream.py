"""The far end's three descriptors, and what comes from two of them.

A thread each drains standard output and error, so that neither can fill up and stop the far end.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol

from provision.transport.frames import End, Errors, Frames

_Source = Literal["out", "err"]


class Stream(Protocol):
    """The far sh's three descriptors. `OSError` from any method means that it is gone."""

    def read(self) -> bytes:
        """Standard output: waits for some; nothing at the end."""

    def read_error(self) -> bytes:
        """Standard error, likewise."""

    def send(self, data: bytes, timeout: float) -> int:
        """Takes some bytes of `data` and says how many: 0 if the far end took none for `timeout` seconds."""

    def finish(self) -> None:
        """Ends standard input; output still comes."""

    def status(self) -> int | None:
        """The exit status of the far sh once its output has ended; None if unknown."""

    def close(self) -> None:
        """Lets go, and wakes whoever reads. May be called twice."""


class Incoming:
    """What a stream brings. For one thread at a time."""

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
        """What the next event brings, often nothing; None if there was none until then (`time.monotonic()`)."""
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
    def said(self) -> str:
        """All that was said so far besides records: what a login shell printed, and the end of standard error."""
        return "\n".join(filter(None, (self._frames.rest.strip(), self._errors.text.strip())))

    def forget_errors(self) -> None:
        """What sudo asked, once it is content, is nobody's error."""
        self._errors = Errors(self._nonce)

    def errors_of_the_script(self, seconds: float) -> str:
        """Standard error of the script that has ended. It may come a little later than its end on standard output."""
        self._settle(seconds, lambda: self._errors.ended)
        return self._errors.take()

    def last_words(self, seconds: float) -> str:
        """`said`, once standard error has ended as well."""
        self._settle(seconds, lambda: False)
        return self.said

    def _settle(self, seconds: float, enough: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while not (enough() or self._errors_over) and self.take(until) is not None:
            pass
