"""ELF headers: what is read from them and what is derived for a handler."""

from __future__ import annotations

import struct
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision import elf
from provision.architectures import ARCHITECTURES, Architecture, of_platform

ALL = pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
AMD64 = of_platform("linux/amd64")


def with_interpreter(arch: Architecture, path: bytes, padding: int = 0) -> bytes:
    """The probe with its only program header made a PT_INTERP that names `path`."""
    program = bytearray(elf.probe(arch)) + bytes(padding)
    order = ">" if arch.big_endian else "<"
    table = 52 if arch.bits == 32 else 64
    struct.pack_into(f"{order}I", program, table, 3)
    place, size, word = (4, 16, "I") if arch.bits == 32 else (8, 32, "Q")
    struct.pack_into(f"{order}{word}", program, table + place, len(program))
    struct.pack_into(f"{order}{word}", program, table + size, len(path))
    return bytes(program) + path


@ALL
def test_a_header_says_what_it_was_made_of(arch: Architecture) -> None:
    data = elf.header(arch, type_=elf.ET_DYN, os_abi=3, abi_version=1, entry=0x1234)
    assert len(data) == {32: 52, 64: 64}[arch.bits]
    found = elf.parse(data)
    assert found is not None
    assert (found.bits, found.big_endian, found.machine) == (arch.bits, arch.big_endian, arch.machine)
    assert (found.type, found.os_abi, found.abi_version, found.entry) == (elf.ET_DYN, 3, 1, 0x1234)
    assert found.flags == arch.elf_flags
    assert found.ident == data[:16]
    assert found.architecture == arch
    assert (found.linkage, found.interpreter) == ("static", None)


@ALL
def test_a_probe_is_a_small_static_program(arch: Architecture) -> None:
    program = elf.probe(arch)
    assert len(program) <= 168
    found = elf.parse(program)
    assert found is not None
    assert found.type == elf.ET_EXEC
    assert found.linkage == "static"
    # The entry point is the code: it lies right after the headers.
    assert program[found.entry & 0xFFFF :] == arch.probe_code


@ALL
def test_an_interpreter_is_seen(arch: Architecture) -> None:
    found = elf.parse(with_interpreter(arch, b"/lib/ld.so.1\0"))
    assert found is not None
    assert (found.linkage, found.interpreter) == ("dynamic", "/lib/ld.so.1")


@ALL
def test_an_interpreter_beyond_the_bytes_given_is_still_one(arch: Architecture) -> None:
    data = with_interpreter(arch, b"/lib/ld.so.1\0", padding=5000)
    found = elf.parse(data[:4096])
    assert found is not None
    assert (found.linkage, found.interpreter) == ("dynamic", None)


@ALL
def test_program_headers_beyond_the_bytes_given_are_unknown(arch: Architecture) -> None:
    found = elf.parse(elf.probe(arch)[: 52 if arch.bits == 32 else 64])
    assert found is not None
    assert found.linkage == "unknown"


def test_an_entry_size_the_kernel_would_refuse_is_unknown() -> None:
    program = bytearray(elf.probe(AMD64))
    struct.pack_into("<H", program, 54, 55)
    found = elf.parse(bytes(program))
    assert found is not None
    assert found.linkage == "unknown"


def test_this_python_is_read_right() -> None:
    found = elf.parse(Path(sys.executable).resolve().read_bytes()[:4096])
    assert found is not None
    assert found.big_endian == (sys.byteorder == "big")
    assert found.type in (elf.ET_EXEC, elf.ET_DYN)
    if found.interpreter is not None:
        assert Path(found.interpreter).exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"\x7fELF\x02\x01\x01" + bytes(56),  # a byte short
        b"\x7fELF\x03\x01\x01" + bytes(60),
        b"\x7fELF\x02\x03\x01" + bytes(60),
        b"\x7fELG\x02\x01\x01" + bytes(60),
    ],
)
def test_other_files_are_none(data: bytes) -> None:
    assert elf.parse(data) is None


@given(
    head=st.sampled_from([b"\x7fELF\x01\x01", b"\x7fELF\x01\x02", b"\x7fELF\x02\x01", b"\x7fELF\x02\x02"]),
    rest=st.binary(max_size=400),
)
def test_no_file_makes_it_fail(head: bytes, rest: bytes) -> None:
    found = elf.parse(head + rest)
    assert (found is None) == (len(head + rest) < (52 if head[4] == 1 else 64))


@ALL
def test_magic_and_mask_lie_over_the_same_bytes(arch: Architecture) -> None:
    magic, mask = elf.magic_and_mask(arch)
    assert len(magic) == len(mask) == 20
    assert magic == elf.probe(arch)[:20]
    assert mask[:5] == b"\xff" * 5


def test_native_headers_are_those_of_ordinary_programs() -> None:
    found = [elf.parse(data) for data in elf.native_headers([AMD64, of_platform("linux/386")])]
    seen = {(h.architecture.name, h.type, h.os_abi) for h in found if h is not None and h.architecture}
    assert seen == {
        (name, type_, os_abi)
        for name in ("amd64", "386")
        for type_ in (elf.ET_EXEC, elf.ET_DYN)
        for os_abi in (0, 3)
    }


def test_octal_begins_as_one_would_write_it() -> None:
    assert elf.octal(b"\x7fELF\x02\x01\x0023%'\\\n") == r"\177ELF\002\001\000\062\063\045\047\134\012"


@pytest.mark.parametrize(
    "shell",
    [
        pytest.param(["dash"], marks=pytest.mark.needs("dash")),
        pytest.param(["bash"], marks=pytest.mark.needs("bash")),
        pytest.param(["busybox", "sh"], marks=pytest.mark.needs("busybox")),
    ],
    ids=lambda shell: shell[0],
)
def test_octal_is_printed_back_by_shells(shell: list[str]) -> None:
    programs = [bytes(range(256)), bytes(reversed(range(256))), *(elf.probe(arch) for arch in ARCHITECTURES)]
    for data in programs:
        run = subprocess.run([*shell, "-c", f"printf '{elf.octal(data)}'"], capture_output=True, check=True)
        assert run.stdout == data


@ALL
def test_a_pattern_fits_the_programs_of_its_own_architecture_alone(arch: Architecture) -> None:
    for other in ARCHITECTURES:
        for program in elf.native_headers([other]):
            fits = fnmatch(program[:20].hex(), elf.pattern(arch))
            same = (other.bits, other.big_endian, other.machine) == (
                arch.bits,
                arch.big_endian,
                arch.machine,
            )
            assert fits == same
