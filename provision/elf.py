"""ELF headers: read them, derive a handler's magic and mask from one, and build the probe programs.

Layout and names: elf(5). What the kernel compares: Documentation/admin-guide/binfmt-misc.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from provision.architectures import Architecture, of_identity

MAGIC: Final = b"\x7fELF"
HEAD: Final = 1024
"""Bytes of a file that are enough for the program headers of any linker's output."""
ET_EXEC: Final = 2
ET_DYN: Final = 3
OS_ABI_GNU: Final = 3  # programs with IFUNC or STB_GNU_UNIQUE symbols

_CLASS: Final = {32: 1, 64: 2}
_BITS: Final = {1: 32, 2: 64}
_BIG: Final = {1: False, 2: True}
_EV_CURRENT: Final = 1
_IDENT_SIZE: Final = 16
_PADDING: Final = 9
MARK: Final = b"\x01native"
"""Seven bytes of padding that no other program has."""
PT_LOAD: Final = 1
PT_INTERP: Final = 3
_READ_EXECUTE: Final = 5
_HEADER_SIZE: Final = {32: 52, 64: 64}
_SEGMENT_SIZE: Final = {32: 32, 64: 56}
# After e_ident: type machine version entry phoff shoff flags ehsize phentsize phnum shentsize shnum shstrndx
_HEADER: Final = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
_PROBE_BASE: Final = 0x10000000
_PROBE_ALIGN: Final = 0x10000  # pages of 64 KiB exist (arm64, ppc64le, loong64)

Linkage = Literal["static", "dynamic", "unknown"]
_UNKNOWN: Final[tuple[Linkage, None]] = ("unknown", None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One program header."""

    type: int
    offset: int
    address: int
    size: int  # in the file


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What an ELF file says about itself."""

    ident: bytes  # the first 16 bytes
    bits: int
    big_endian: bool
    os_abi: int
    abi_version: int
    type: int
    machine: int
    flags: int
    entry: int
    linkage: Linkage  # unknown: the program headers lie beyond the bytes given
    interpreter: str | None  # PT_INTERP's path; None: there is none, or it lies beyond the bytes given
    segments: range  # where in the file each program header is

    @property
    def architecture(self) -> Architecture | None:
        """The row of the table this file belongs to, or None."""
        return of_identity(self.bits, self.big_endian, self.machine)


def parse(data: bytes) -> Header | None:
    """Read the header from the first kilobytes of a file; None if they are not those of an ELF file."""
    if len(data) < _IDENT_SIZE or data[:4] != MAGIC or data[4] not in _BITS or data[5] not in _BIG:
        return None
    bits, big = _BITS[data[4]], _BIG[data[5]]
    if len(data) < _HEADER_SIZE[bits]:
        return None
    fields = struct.unpack_from(byte_order(big) + _HEADER[bits], data, _IDENT_SIZE)
    type_, machine, _version, entry, table, _sections, flags, _size, entry_size, count = fields[:10]
    segments = range(table, table + count * _SEGMENT_SIZE[bits], _SEGMENT_SIZE[bits])
    # With another entry size the kernel would not run it.
    sane = entry_size == _SEGMENT_SIZE[bits] or not count
    linkage, interpreter = _interpreter(data, bits, big, segments) if sane else _UNKNOWN
    if not sane:
        segments = range(0)
    return Header(
        ident=data[:_IDENT_SIZE],
        bits=bits,
        big_endian=big,
        os_abi=data[7],
        abi_version=data[8],
        type=type_,
        machine=machine,
        flags=flags,
        entry=entry,
        linkage=linkage,
        interpreter=interpreter,
        segments=segments,
    )


def _interpreter(data: bytes, bits: int, big: bool, segments: range) -> tuple[Linkage, str | None]:
    """PT_INTERP among the program headers at these offsets: static means that there is none."""
    for offset in segments:
        if offset + segments.step > len(data):
            return _UNKNOWN
        found = segment(data[offset : offset + segments.step], bits, big)
        if found.type == PT_INTERP:
            path = data[found.offset : found.offset + found.size]
            whole = len(path) == found.size
            return "dynamic", path.rstrip(b"\0").decode("utf-8", "surrogateescape") if whole else None
    return "static", None


def segment(data: bytes, bits: int, big_endian: bool) -> Segment:
    """A program header from its 32 or 56 bytes."""
    row = struct.unpack(byte_order(big_endian) + ("IIIIIIII" if bits == 32 else "IIQQQQQQ"), data)
    # p_flags is the second field of a 64-bit one, and the seventh of a 32-bit one.
    offset, address, size = (row[1], row[2], row[4]) if bits == 32 else (row[2], row[3], row[5])
    return Segment(type=row[0], offset=offset, address=address, size=size)


def byte_order(big_endian: bool) -> str:
    """The byte order, as `struct` writes it."""
    return ">" if big_endian else "<"


def header(
    arch: Architecture,
    *,
    type_: int = ET_EXEC,
    os_abi: int = 0,
    abi_version: int = 0,
    entry: int = 0,
    segments: int = 0,
) -> bytes:
    """The ELF header of a program of this architecture, whole (52 or 64 bytes)."""
    ident = bytes((_CLASS[arch.bits], 1 + arch.big_endian, _EV_CURRENT, os_abi, abi_version))
    size = _HEADER_SIZE[arch.bits]
    table = size if segments else 0
    fields = (type_, arch.machine, _EV_CURRENT, entry, table, 0, arch.elf_flags)
    sizes = (size, _SEGMENT_SIZE[arch.bits], segments, 0, 0, 0)
    rest = struct.pack(byte_order(arch.big_endian) + _HEADER[arch.bits], *fields, *sizes)
    return (MAGIC + ident).ljust(_IDENT_SIZE, b"\0") + rest


def native_headers(archs: Iterable[Architecture]) -> tuple[bytes, ...]:
    """Headers such as a machine's own programs have, to find out what a handler would take away.

    Both fixed and position-independent programs, plain and with GNU symbols (EI_OSABI 3).
    """
    kinds = [(type_, os_abi) for type_ in (ET_EXEC, ET_DYN) for os_abi in (0, OS_ABI_GNU)]
    return tuple(header(arch, type_=type_, os_abi=os_abi) for arch in archs for type_, os_abi in kinds)


def magic_and_mask(arch: Architecture) -> tuple[bytes, bytes]:
    """What a handler compares: the first 20 bytes of the header, up to and with e_machine.

    The mask lets in ET_EXEC and ET_DYN (they differ in the last bit of e_type) and any EI_OSABI, as the
    kernel's own ELF loader does; the row's named exceptions follow QEMU's `scripts/qemu-binfmt-conf.sh`.
    The padding counts: programs that write there (AppImage) are not plain ELF programs.
    """
    size = _IDENT_SIZE + 4
    mask = bytearray(b"\xff" * size)
    mask[7] = 0xFF & ~3 if arch.os_abi_up_to_3 else 0
    if arch.any_abi_version:
        mask[8] = 0
    if arch.lenient_ident:
        mask[5] = mask[6] = 0xFF & ~1
    mask[_IDENT_SIZE + arch.big_endian] = 0xFF & ~1
    return header(arch)[:size], bytes(mask)


def pattern(arch: Architecture) -> str:
    """A pattern of sh for the first 20 bytes of any program of this architecture, in hexadecimal.

    Class, byte order and machine count, as for the kernel (include/linux/elf.h, elf_check_arch).
    """
    start = header(arch)[: _IDENT_SIZE + 4].hex()
    return start[:12] + "?" * 24 + start[-4:]


def probe(arch: Architecture) -> bytes:
    """The smallest program that proves execution: it reads one byte of standard input, then exits with argc.

    At end of file it ends at once with the number of its arguments, name included (use 2 to 100: shells
    and signals use what is above 125). While nothing can be read it blocks, and `/proc/PID/exe` shows who
    runs it. One PT_LOAD over the whole file, no sections: 110 to 152 bytes.
    """
    return _program(arch, arch.probe_code)


def marked(program: bytes, mark: bytes = MARK) -> bytes:
    """The program with a mark in the padding of e_ident, which the kernel's own loader and QEMU ignore.

    Handlers do, as their masks cover it: so it runs where the machine itself runs it, and not by a handler.
    """
    return program[:_PADDING] + mark + program[_IDENT_SIZE:]


def work(arch: Architecture) -> bytes:
    """A program that counts 2^26 rounds, a fraction of a second, and then ends as the probe does."""
    return _program(arch, arch.loop_code + arch.probe_code)


def _program(arch: Architecture, code: bytes) -> bytes:
    size = _HEADER_SIZE[arch.bits] + _SEGMENT_SIZE[arch.bits]
    total = size + len(code)
    head = header(arch, entry=_PROBE_BASE + size, segments=1)
    order = byte_order(arch.big_endian)
    if arch.bits == 32:
        fields = (PT_LOAD, 0, _PROBE_BASE, _PROBE_BASE, total, total, _READ_EXECUTE, _PROBE_ALIGN)
        segment = struct.pack(order + "IIIIIIII", *fields)
    else:
        fields = (PT_LOAD, _READ_EXECUTE, 0, _PROBE_BASE, _PROBE_BASE, total, total, _PROBE_ALIGN)
        segment = struct.pack(order + "IIQQQQQQ", *fields)
    return head + segment + code


def octal(data: bytes) -> str:
    r"""The bytes as the FORMAT of POSIX printf (`\177ELF…`), single quotes around it.

    Always three digits, so a digit that follows is not taken for part of the escape; everything but
    letters is escaped, so there is no `%`, quote or newline. (An argument of `%b` would need `\0ddd`.)
    """
    return "".join(chr(byte) if bytes((byte,)).isalpha() else f"\\{byte:03o}" for byte in data)
