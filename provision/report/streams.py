"""Standard output and standard error, on which showing never is a reason to stop work.

A reader that stops early, a full disk, a terminal that is gone, a descriptor that was never open, an encoding
without our characters: each loses output, and changes neither the work on hosts nor the exit code.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, Final, TextIO, cast

_UNREAD: Final = (errno.EPIPE, errno.EBADF, errno.EIO)
"""Nobody wants to read it: the reader has gone, the descriptor was closed, the terminal is no more."""


class Steady:
    """A text stream that never raises. After the first failure it loses all that is written to it."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.lost = ""
        """Why a person who waits for the output gets only a part of it; empty if nobody waits, or all was written."""

    @classmethod
    def of(cls, stream: TextIO | Steady | None) -> Steady:
        """The stream, made steady unless it is so already."""
        return stream if isinstance(stream, cls) else cls(cast("TextIO | None", stream))

    @property
    def gone(self) -> bool:
        """Whether nothing that is written arrives any more."""
        return self._stream is None

    def write(self, text: str) -> int:
        if self._stream is not None:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """For formats that define their own encoding, UTF-8."""
        binary = getattr(self._stream, "buffer", None)
        if binary is None:
            self.write(data.decode())
            return
        self.flush()
        try:
            binary.write(data)
        except (OSError, ValueError) as error:
            self._lose(error)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: OSError | ValueError) -> None:
        """What is still buffered goes nowhere.

        Otherwise Python would complain at its end, when it flushes once more, and end with exit code 120
        (docs.python.org/3/library/signal.html#note-on-sigpipe).
        """
        stream, self._stream = self._stream, None
        if isinstance(error, OSError) and error.errno not in _UNREAD:
            self.lost = error.strerror or type(error).__name__
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, cast("TextIO", stream).fileno())
            os.close(nowhere)


@contextmanager
def steady() -> Iterator[None]:
    """`sys.stdout` and `sys.stderr` are Steady meanwhile; at the end one line says what could not be shown."""
    _open_missing()
    before = sys.stdout, sys.stderr
    for stream in before:
        _take_any_text(stream)
    out, err = Steady.of(sys.stdout), Steady.of(sys.stderr)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield
    finally:
        out.flush()
        if out.lost and cast("object", out) is not before[0]:
            err.write(f"error: standard output could not be written to its end: {out.lost}\n")
        err.flush()
        sys.stdout, sys.stderr = before


def _open_missing() -> None:
    """A descriptor that is not open (`2>&-`) would be given to the next file or connection, with all text for it."""
    for _ in range(3):
        lowest = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if lowest > 2:
            os.close(lowest)
            break
    for number in (1, 2):
        # A program that shares it may have set it so (Node does); half of a report would be lost.
        os.set_blocking(number, True)


def _take_any_text(stream: TextIO | None) -> None:
    """Characters that the encoding lacks become question marks, those of Invoke's own help as well."""
    # A program that calls our tasks may have a stream of its own.
    with suppress(OSError, ValueError):
        if isinstance(stream, TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="replace")
