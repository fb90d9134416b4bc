"""ELF files that ask for a loader and libraries, of any architecture. They run nowhere; what reads them cannot tell."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from provision import elf
from provision.architectures import Architecture, of_platform

BASE = 0x10000


def dynamic(
    platform: str,
    *,
    interpreter: str = "",
    needed: Sequence[str] = (),
    rpath: str = "",
    runpath: str = "",
    type_: int = elf.ET_DYN,
    gap: int = 0,
) -> bytes:
    """Headers, PT_INTERP, then `gap` bytes, then the strings and the dynamic section at the end."""
    arch = of_platform(platform)
    word = "I" if arch.bits == 32 else "Q"
    order = ">" if arch.big_endian else "<"
    count = 2 + bool(interpreter)
    table = (52 if arch.bits == 32 else 64) + count * (32 if arch.bits == 32 else 56)
    loader = f"{interpreter}\0".encode() if interpreter else b""
    strings = b"\0" + b"".join(f"{text}\0".encode() for text in (*needed, rpath, runpath))
    at = table + len(loader) + gap
    tags = [(1, _place(strings, name)) for name in needed]
    tags += [(15, _place(strings, rpath))] if rpath else []
    tags += [(29, _place(strings, runpath))] if runpath else []
    tags += [(5, BASE + at), (0, 0)]
    section = b"".join(struct.pack(f"{order}{word}{word}", *tag) for tag in tags)
    end = at + len(strings) + len(section)
    segments = [
        (1, 0, end),
        *([(3, table, len(loader))] if interpreter else []),
        (2, at + len(strings), len(section)),
    ]
    head = elf.header(arch, type_=type_, segments=count)
    heads = b"".join(_segment(arch, *segment) for segment in segments)
    return head + heads + loader + bytes(gap) + strings + section


def _place(strings: bytes, text: str) -> int:
    return strings.index(f"\0{text}\0".encode()) + 1


def _segment(arch: Architecture, kind: int, offset: int, size: int) -> bytes:
    order = ">" if arch.big_endian else "<"
    if arch.bits == 32:
        return struct.pack(f"{order}8I", kind, offset, BASE + offset, 0, size, size, 4, 1)
    return struct.pack(f"{order}2I6Q", kind, 4, offset, BASE + offset, 0, size, size, 1)
