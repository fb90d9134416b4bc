"""What a layer holds: read once from its stream, with its digests. Files are looked into, not kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from provision import elf
from provision.images.archive import Member, members
from provision.images.compression import Unpacked
from provision.images.faults import FaultError
from provision.images.linking import STATIC, Linking, linking
from provision.images.streams import Content, Measured, Source, Window, drain

Kind = Literal["file", "directory", "symlink", "other"]
MOST_ENTRIES: Final = 1_000_000
"""Of a layer, and of an image."""
MOST_NAMES: Final = 128 << 20
"""Bytes that are kept of one layer: names, targets, first lines. A layer of 100000 files has about 10 MB."""
_PROGRAM_BYTES: Final = 500
"""What is kept of an ELF file, about."""
_FIRST_LINE: Final = 256
"""Bytes that the kernel reads of a script (BINPRM_BUF_SIZE, include/uapi/linux/binfmts.h)."""
_HEAD: Final = 4096
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_RESERVED: Final = ".wh..wh."
_PATHS: Final = re.compile(r"(usr/)?etc/(ld\.so\.conf(\.d/[^/]+)?|ld-musl-[^/]+\.path)")
"""Files that say where libraries are."""
_LONGEST_TEXT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Program:
    """An ELF file."""

    bits: int
    big_endian: bool
    machine: int
    type: int
    linking: Linking

    def fits(self, other: Program) -> bool:
        """Whether both are of one architecture."""
        return (self.bits, self.big_endian, self.machine) == (other.bits, other.big_endian, other.machine)


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of an image."""

    kind: Kind
    executable: bool = False
    target: str = ""
    """Of a link."""
    program: Program | None = None
    start: bytes = b""
    """The first bytes of an executable file that is no ELF file."""
    text: str = ""
    """The content of a file that says where libraries are."""


DIRECTORY: Final = Entry("directory", executable=True)
OTHER: Final = Entry("other")
SPARSE: Final = b"\0sparse"
"""The start of a file that is stored in pieces; nobody builds images with such."""
_PLAIN: Final = Entry("file")
"""Shared by all files in which there is nothing to see: most of an image."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What a layer brings, and what of older layers it takes away."""

    entries: dict[str, Entry]
    removed: frozenset[str]
    opaque: frozenset[str]
    """Folders that show nothing of older layers."""
    diff_id: str
    """The digest of the unpacked archive."""


@dataclass(kw_only=True)
class _Reading:
    entries: dict[str, Entry] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    folders: dict[str, str] = field(default_factory=dict)
    """Where a folder really is, if a part of its path is a link of this same layer."""
    names: int = 0


def read(packed: Source) -> Layer:
    """The layer, from the blob's first byte to its last. Raises FaultError, UnpackError.

    Diff IDs are computed as SHA-256: there are no others in use.
    """
    unpacked = Unpacked(packed)
    plain = Measured(unpacked, "sha256")
    reading = _Reading()
    try:
        for member, content in members(plain):
            _take(reading, member, content)
        drain(plain)  # padding behind the archive belongs to the digests
        drain(packed)
    finally:
        unpacked.close()
    return Layer(
        entries=reading.entries,
        removed=frozenset(reading.removed),
        opaque=frozenset(reading.opaque),
        diff_id=plain.digest,
    )


def _take(reading: _Reading, member: Member, content: Content) -> None:
    folder, _, name = member.path.rpartition("/")
    folder = _real(reading, folder)
    path = f"{folder}/{name}" if folder else name
    if name == _OPAQUE:
        reading.opaque.add(folder)
    elif name.startswith(_RESERVED):
        return  # aufs' own: clients skip them
    elif name.startswith(_WHITEOUT):
        hidden = name.removeprefix(_WHITEOUT)
        reading.removed.add(f"{folder}/{hidden}" if folder else hidden)
    elif path:
        entry = _entry(reading, member, content, path)
        if entry.kind == "symlink":
            reading.folders.clear()
        reading.entries[path] = entry
    _count(reading, member)


def _count(reading: _Reading, member: Member) -> None:
    reading.names += len(member.path) + len(member.target)
    if len(reading.entries) + len(reading.removed) > MOST_ENTRIES:
        raise FaultError("layer-hostile", f"it has more than {MOST_ENTRIES} members")
    if reading.names > MOST_NAMES:
        raise FaultError("layer-hostile", f"its names have more than {MOST_NAMES >> 20} MiB")


def _real(reading: _Reading, folder: str) -> str:
    """A folder of this layer, through links of this layer: an unpacking client follows them."""
    if not folder:
        return folder
    if folder not in reading.folders:
        reading.folders[folder] = _followed(reading.entries, folder)
    return reading.folders[folder]


def _followed(entries: dict[str, Entry], folder: str) -> str:
    done: list[str] = []
    left = folder.split("/")[::-1]
    for _ in range(1000):
        if not left:
            return "/".join(done)
        part = left.pop()
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        found = entries.get("/".join(done))
        if found is not None and found.kind == "symlink":
            done = [] if found.target.startswith("/") else done[:-1]
            left += [part for part in found.target.split("/")[::-1] if part not in ("", ".")]
    raise FaultError("layer-hostile", f"links lead round in a circle: /{folder[:200]}")


def _entry(reading: _Reading, member: Member, content: Content, path: str) -> Entry:
    if member.kind == "directory":
        return DIRECTORY
    if member.kind == "symlink":
        return Entry("symlink", target=member.target)
    if member.kind == "hardlink":
        # Of an older layer's file it is a link whose other end is not known yet.
        known = reading.entries.get(_placed(reading, member.target))
        return known or Entry("symlink", target=f"/{member.target}")
    if member.kind == "other":
        return OTHER
    return _file(reading, member, content, path)


def _placed(reading: _Reading, path: str) -> str:
    folder, _, name = path.rpartition("/")
    folder = _real(reading, folder)
    return f"{folder}/{name}" if folder else name


def _file(reading: _Reading, member: Member, content: Content, path: str) -> Entry:
    executable = bool(member.mode & 0o111)
    if _PATHS.fullmatch(path):
        return Entry("file", executable, text=content.read(_LONGEST_TEXT).decode(errors="replace"))
    if member.sparse:
        return Entry("file", executable, start=SPARSE)
    start = content.read(_HEAD)
    head = elf.parse(start)
    if head is not None:
        asked = _linking(head, start, content)
        texts = (asked.interpreter, asked.rpath, asked.runpath, *asked.needed)
        reading.names += _PROGRAM_BYTES + sum(map(len, texts))
        program = Program(head.bits, head.big_endian, head.machine, head.type, asked)
        return Entry("file", executable, program=program)
    if not executable:
        return _PLAIN
    reading.names += _FIRST_LINE
    return Entry("file", executable, start=start[:_FIRST_LINE])


def _linking(head: elf.Header, start: bytes, content: Content) -> Linking:
    """Only programs and libraries have one; object files and kernel modules are many, and do not."""
    if head.type not in (elf.ET_EXEC, elf.ET_DYN):
        return STATIC
    return linking(head, Window(content, start).read)
