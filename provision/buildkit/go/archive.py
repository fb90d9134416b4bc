"""Packs programs like a release archive: the same content gives the same bytes, so its digest names it."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_TIME: Final = 1_700_000_000
"""The time that every member carries, in seconds since 1970."""
_LEVEL: Final = 6


def pack(target: Path, members: Mapping[str, Path]) -> None:
    """A gzipped tar of `members` (name in the archive -> file), all executable and root's. Raises OSError.

    Another release of zlib may compress the same content to other bytes.
    """
    with (
        target.open("wb") as raw,
        # No name and no time in the header (RFC 1952).
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, path in sorted(members.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = path.stat().st_size, 0o755, _TIME
            with path.open("rb") as content:
                archive.addfile(member, content)
