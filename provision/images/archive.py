"""The members of a tar archive, one after the other, from a stream.

Headers are read by Python's tarfile. Its iteration is not used: it keeps every member it has seen, and reads
extended headers whole, of whatever size they claim to be.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from provision.images.faults import FaultError
from provision.images.streams import Content, Source

Kind = Literal["file", "directory", "symlink", "hardlink", "other"]
BLOCK: Final = 512
LONGEST: Final = 4096
"""PATH_MAX: no system can make a file of a longer name."""
_EXTENDED: Final = 1 << 20
"""Bytes of an extended header; real ones have a few hundred."""
_DIGITS: Final = 20
"""Of a number in one: Python makes no number of 4300 digits and more."""

_KINDS: Final[dict[bytes, Kind]] = {
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE), "file"),
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.GNUTYPE_SPARSE: "file",
}
_PAX: Final = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_LONG: Final = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member. Its path is clean: relative to the root, without `.` and `..`."""

    path: str
    kind: Kind
    target: str
    """Of a link; a hard link's is clean, too."""
    mode: int
    sparse: bool
    """Its content is not stored as it is."""


def members(source: Source) -> Iterator[tuple[Member, Content]]:
    """Each member with its content, which must be read before the next is asked for.

    Raises FaultError for what is no archive, is cut short, or would reach outside of the root.
    """
    said: dict[str, str] = {}
    while info := _header(source):
        if info.type in _PAX:
            said |= _pax(_whole(source, info))
        elif info.type == tarfile.XGLTYPE:
            _whole(source, info)  # comments of git; names are never global
        elif info.type in _LONG:
            said[_LONG[info.type]] = _text(_whole(source, info).partition(b"\0")[0])
        else:
            yield from _member(source, info, said)
            said = {}


def _member(source: Source, info: tarfile.TarInfo, said: dict[str, str]) -> Iterator[tuple[Member, Content]]:
    kind = _KINDS.get(info.type, "other")
    sparse = info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in said)
    if info.type == tarfile.GNUTYPE_SPARSE:
        _skip_sparse_map(source, info)
    name = said.get("GNU.sparse.name") or said.get("path") or info.name
    # In old archives a directory is a file whose name ends so (tar(5), "Old-Style Archive Format").
    if kind == "file" and name.endswith("/"):
        kind = "directory"
    size = _size(said.get("size", ""), info.size) if kind in ("file", "other") else 0
    target = said.get("linkpath") or info.linkname
    member = Member(
        path=clean(name),
        kind=kind,
        target=clean(target) if kind == "hardlink" else target[:LONGEST],
        mode=info.mode,
        sparse=sparse,
    )
    content = Content(source, size)
    yield member, content
    content.skip()
    padding = Content(source, -size % BLOCK)
    padding.skip()
    if content.left or padding.left:
        raise FaultError("layer-damaged", f"the archive is cut short within /{member.path}")


def _header(source: Source) -> tarfile.TarInfo | None:
    """The next header; None at the end of the archive, which two empty blocks mark, or nothing at all."""
    block = Content(source, BLOCK).read(BLOCK)
    if not block or not any(block):
        return None
    if len(block) < BLOCK:
        raise FaultError("layer-damaged", "the archive is cut short within a header")
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise FaultError("layer-damaged", f"it is no tar archive: {error}") from error
    if info.type == tarfile.GNUTYPE_SPARSE and block[482]:
        info.pax_headers = {"extended": "yes"}
    if info.size < 0:
        raise FaultError("layer-damaged", "a member has a negative size")
    return info


def _skip_sparse_map(source: Source, info: tarfile.TarInfo) -> None:
    """GNU's old format: the map goes on in blocks of its own; byte 504 says whether another one follows."""
    more = bool(info.pax_headers)
    while more:
        block = Content(source, BLOCK).read(BLOCK)
        more = len(block) == BLOCK and bool(block[504])


def _whole(source: Source, info: tarfile.TarInfo) -> bytes:
    if info.size > _EXTENDED:
        raise FaultError("layer-hostile", f"an extended header claims {info.size} bytes")
    data = Content(source, info.size).read(info.size)
    Content(source, -info.size % BLOCK).skip()
    if len(data) < info.size:
        raise FaultError("layer-damaged", "the archive is cut short within an extended header")
    return data


def _pax(data: bytes) -> dict[str, str]:
    """Records of `LENGTH KEY=VALUE\\n` (POSIX, pax, "pax Extended Header")."""
    found: dict[str, str] = {}
    while data.strip(b"\0"):
        length, space, _ = data[:_DIGITS].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 1 < int(length) <= len(data):
            raise FaultError("layer-damaged", "an extended header cannot be read")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        found[_text(key)] = _text(value)
        data = data[int(length) :]
    return found


def _size(said: str, plain: int) -> int:
    if not said:
        return plain
    if not said.isdecimal() or len(said) > _DIGITS:
        raise FaultError("layer-damaged", "an extended header has a size that is none")
    return int(said)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def clean(name: str) -> str:
    """A name relative to the root. Raises FaultError for one that leads out of it, or that no system has."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise FaultError("layer-hostile", f"a member leads out of the root: {name[:200]}")
    if len(name) > LONGEST:
        raise FaultError("layer-hostile", f"a member's name has {len(name)} characters: {name[:60]}…")
    return "/".join(parts)
