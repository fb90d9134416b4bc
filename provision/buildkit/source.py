"""Where releases come from: the release host, or a mirror that is an http(s) URL or a folder.

A location is a URL or an absolute path. Proxies are those of the environment (`https_proxy`, `http_proxy`,
`no_proxy`), and TLS is verified against the system's authorities, or those of `SSL_CERT_FILE`: urllib's own
behaviour. A mirror's URL may hold `user:password@`; that is sent to its host alone, and never shown.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, Protocol

from provision.buildkit import web
from provision.buildkit.errors import CutError, MissingError, explain_local
from provision.errors import ReleaseError

RELEASES: Final = "https://github.com/moby/buildkit/releases/download"
CHUNK: Final = 1 << 18


class _Readable(Protocol):
    def read1(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A file being read. `start` is the offset of its first byte: 0 where the server cannot resume."""

    raw: _Readable
    start: int
    total: int | None
    """The size of the whole file in bytes; None if the server does not say."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes from `start` on, as they come. Raises CutError if they end early."""
        position = self.start
        while data := self._next():
            position += len(data)
            yield data
        if self.total is not None and position < self.total:
            raise CutError("the transfer was cut", cause=f"it ended after {position} of {self.total} bytes")

    def _next(self) -> bytes:
        try:
            # read1 hands out what has arrived; read would lose what came of a chunk before the cut.
            return self.raw.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise CutError("the transfer was cut", cause=str(error) or type(error).__name__) from error


def base_of(mirror: str | None) -> str:
    """The location that holds VERSION/ASSET: the release host, or the mirror of the configuration."""
    return RELEASES if mirror is None else mirror


def is_url(location: str) -> bool:
    """Whether a location is on the web rather than in a folder here."""
    return location.lower().startswith(("http://", "https://"))


def shown(location: str) -> str:
    """A location as people may see it: without the password."""
    return web.without_login(location) if is_url(location) else location


@contextmanager
def open_at(location: str, offset: int = 0) -> Iterator[Stream]:
    """Opens a location `offset` bytes in, or at its start if the server cannot do that.

    Raises MissingError where there is no such file, CutError where trying again may help, else ReleaseError.
    """
    if is_url(location):
        with web.open_at(location, offset) as (raw, start, total):
            yield Stream(raw=raw, start=start, total=total)
        return
    with _open_file(Path(location)) as file:
        yield Stream(raw=file, start=file.seek(offset), total=Path(location).stat().st_size)


def _open_file(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(f"there is no {path}", hint="A mirror folder holds VERSION/ASSET.") from error
    except OSError as error:
        raise explain_local(error, str(path)) from error


def read_small(location: str, limit: int) -> bytes:
    """The whole of a small file. Raises as `open_at`, and ReleaseError above `limit` bytes."""
    with open_at(location) as stream:
        data = b""
        for chunk in stream.chunks():
            data += chunk
            if len(data) > limit:
                raise ReleaseError(
                    f"{shown(location)} is larger than {limit} bytes", cause="it is something else"
                )
    return data
