"""Streams that are read once, forwards: measured, unpacked, and looked into without being kept."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

CHUNK: Final = 1 << 18
WINDOW: Final = 8 << 20
"""Bytes of one file that are kept while it is looked into. Names of libraries are near the start of a file."""


class Source(Protocol):
    """Anything that gives up to `size` bytes, and none at its end."""

    def read(self, size: int, /) -> bytes: ...


class Measured:
    """Counts and digests what passes."""

    def __init__(self, source: Source, algorithm: str) -> None:
        self._source = source
        self._total = hashlib.new(algorithm)
        self._algorithm = algorithm
        self.size = 0

    def read(self, size: int) -> bytes:
        """From the source."""
        data = self._source.read(size)
        self._total.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        """Of all bytes so far."""
        return f"{self._algorithm}:{self._total.hexdigest()}"


def drain(source: Source) -> int:
    """Reads to the end; how much there was."""
    left = 0
    while data := source.read(CHUNK):
        left += len(data)
    return left


class Content:
    """The bytes of one file within a stream. What nobody reads is skipped by `skip`."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self.left = size

    def read(self, size: int) -> bytes:
        """From the file; fewer at its end, or where the stream is cut."""
        wanted = min(size, self.left)
        parts = []
        while wanted and (data := self._source.read(wanted)):
            parts.append(data)
            wanted -= len(data)
            self.left -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self) -> None:
        """To the end of the file; what is then `left` is missing from the stream."""
        while self.left and self.read(min(self.left, CHUNK)):
            pass


class Window:
    """Reads a file by offset as far as a stream allows: its first `WINDOW` bytes are kept, others pass once."""

    def __init__(self, content: Content, start: bytes) -> None:
        self._content = content
        self._kept = bytearray(start)
        self._at = len(start)

    def read(self, offset: int, size: int) -> bytes:
        """See `linking.Read`: what has passed and was not kept is out of reach."""
        self._keep(min(offset + size, WINDOW))
        if offset + size <= len(self._kept) or offset < len(self._kept) == self._at:
            return bytes(self._kept[offset : offset + size])
        if offset < self._at:
            return b""
        while self._at < offset:
            skipped = len(self._content.read(min(offset - self._at, CHUNK)))
            if not skipped:
                return b""
            self._at += skipped
        data = self._content.read(size)
        self._at += len(data)
        return data

    def _keep(self, end: int) -> None:
        if self._at != len(self._kept):
            return  # beyond the window already
        while len(self._kept) < end and (data := self._content.read(min(end - len(self._kept), CHUNK))):
            self._kept += data
            self._at += len(data)
