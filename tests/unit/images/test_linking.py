"""What an ELF file asks the loader for, read from any file and from hostile ones."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision import elf
from provision.architectures import ARCHITECTURES, Architecture, of_platform
from provision.images.linking import STATIC, Linking, linking
from tests.lab.elves import dynamic


def of(data: bytes) -> Linking:
    head = elf.parse(data)
    assert head is not None
    return linking(head, lambda offset, size: data[offset : offset + size])


@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
def test_all_that_a_file_asks_for(arch: Architecture) -> None:
    data = dynamic(
        arch.platforms[0],
        interpreter="/lib/ld.so.1",
        needed=("libc.so.6", "libm.so.6"),
        rpath="/old",
        runpath="$ORIGIN/../lib:/opt",
        gap=100_000,
    )
    assert of(data) == Linking(
        interpreter="/lib/ld.so.1",
        needed=("libc.so.6", "libm.so.6"),
        rpath="/old",
        runpath="$ORIGIN/../lib:/opt",
    )


@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
def test_a_static_program_asks_for_nothing(arch: Architecture) -> None:
    assert of(elf.probe(arch)) == STATIC


def test_a_real_program_as_readelf_sees_it() -> None:
    program = Path("/bin/sh").resolve()
    found = of(program.read_bytes())
    assert found.interpreter.startswith("/lib")
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    assert found.needed
    assert all(name in listed for name in found.needed)


@given(data=st.data())
def test_no_file_makes_it_fail_or_read_much(data: st.DataObject) -> None:
    good = bytearray(dynamic("linux/arm64", interpreter="/lib/ld.so.1", needed=("libc.so.6",), gap=64))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(20, len(good) - 1))] = data.draw(st.integers(0, 255))
    asked = []

    def read(offset: int, size: int) -> bytes:
        asked.append(size)
        return bytes(good[offset : offset + size])

    head = elf.parse(bytes(good))
    assert head is not None
    linking(head, read)
    assert max(asked, default=0) <= 1 << 16
    assert len(asked) < 5000


def test_strings_out_of_reach_are_not_there() -> None:
    data = dynamic("linux/amd64", interpreter="/lib/ld.so.1", needed=("libc.so.6",), gap=5000)
    head = elf.parse(data)
    assert head is not None
    found = linking(head, lambda offset, size: data[offset : offset + size] if offset < 5000 else b"")
    assert found == Linking(interpreter="/lib/ld.so.1")


def test_program_headers_of_another_size_are_not_read() -> None:
    data = bytearray(dynamic("linux/amd64", interpreter="/lib/ld.so.1"))
    struct.pack_into("<H", data, 54, 57)
    assert of(bytes(data)) == STATIC
    assert of_platform("linux/amd64").bits == 64
