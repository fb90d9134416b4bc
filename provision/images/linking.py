"""What an ELF file asks the loader for: PT_INTERP, DT_NEEDED and the paths to look in (elf(5)).

Pure: bytes are asked for by offset, so that a file may be a stream of which little is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from provision.elf import PT_INTERP, PT_LOAD, Header, Segment, byte_order, segment

Read = Callable[[int, int], bytes]
"""Bytes of a file from an offset on, at most so many; fewer where it ends, or is out of reach."""

_PT_DYNAMIC: Final = 2
_DT_NULL: Final = 0
_DT_NEEDED: Final = 1
_DT_STRTAB: Final = 5
_DT_RPATH: Final = 15
_DT_RUNPATH: Final = 29
# A hostile file must not make us read or keep much. Real ones have 15 segments and 40 tags.
_MOST_SEGMENTS: Final = 512
_MOST_TAGS: Final = 4096
_LONGEST_TEXT: Final = 4096  # PATH_MAX


@dataclass(frozen=True, kw_only=True, slots=True)
class Linking:
    """What a dynamic file needs of others; all empty for a static one."""

    interpreter: str = ""
    """The loader's path."""
    needed: tuple[str, ...] = ()
    """Libraries, by name."""
    rpath: str = ""
    runpath: str = ""


STATIC: Final = Linking()


def linking(head: Header, read: Read) -> Linking:
    """Of the file whose header this is. What cannot be read counts as not there."""
    where: dict[int, Segment] = {}
    loaded: list[Segment] = []
    for found in _segments(head, read):
        where.setdefault(found.type, found)
        if found.type == PT_LOAD:
            loaded.append(found)
    if _PT_DYNAMIC not in where and PT_INTERP not in where:
        return STATIC
    interpreter = _named(where.get(PT_INTERP), read)
    dynamic = where.get(_PT_DYNAMIC)
    tags = _tags(head, read(dynamic.offset, min(dynamic.size, _MOST_TAGS * 16))) if dynamic else []
    start = _strings(tags, loaded)
    texts = [
        (tag, _text(read(start + value, _LONGEST_TEXT))) for tag, value in tags if start and tag in _TEXTS
    ]
    return Linking(
        interpreter=interpreter,
        needed=tuple(text for tag, text in texts if tag == _DT_NEEDED and text),
        rpath=next((text for tag, text in texts if tag == _DT_RPATH), ""),
        runpath=next((text for tag, text in texts if tag == _DT_RUNPATH), ""),
    )


_TEXTS: Final = frozenset({_DT_NEEDED, _DT_RPATH, _DT_RUNPATH})
"""Tags whose value is an offset into the table of strings."""


def _segments(head: Header, read: Read) -> Iterable[Segment]:
    places = head.segments[:_MOST_SEGMENTS]
    if not places:
        return
    size = places.step
    table = read(places.start, len(places) * size)
    for at in range(0, len(table) - size + 1, size):
        yield segment(table[at : at + size], head.bits, head.big_endian)


def _named(found: Segment | None, read: Read) -> str:
    return _text(read(found.offset, min(found.size, _LONGEST_TEXT))) if found else ""


def _tags(head: Header, data: bytes) -> list[tuple[int, int]]:
    """Tags and values up to DT_NULL."""
    layout = byte_order(head.big_endian) + ("II" if head.bits == 32 else "QQ")
    whole = len(data) - len(data) % struct.calcsize(layout)
    found: list[tuple[int, int]] = []
    for tag, value in struct.iter_unpack(layout, data[:whole]):
        if tag == _DT_NULL:
            break
        found.append((tag, value))
    return found


def _strings(tags: Iterable[tuple[int, int]], loaded: Iterable[Segment]) -> int:
    """Where in the file the table of strings is, 0 if nowhere. DT_STRTAB is an address in memory."""
    address = next((value for tag, value in tags if tag == _DT_STRTAB), 0)
    for each in loaded:
        if each.address <= address < each.address + each.size:
            return address - each.address + each.offset
    return 0


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
