"""The probe programs under real emulators: directly, and through the kernel in an empty chroot."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from provision import binfmt, elf
from provision.architectures import ARCHITECTURES, Architecture, of_uname
from tests.kernel.namespace import Namespace, wait_blocked

ALL = pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
NATIVE = of_uname(os.uname().machine, big_endian=sys.byteorder == "big")
# Beside its own programs, a machine may run 32-bit ones of its family.
FOREIGN = [arch for arch in ARCHITECTURES if arch != NATIVE and arch.bits == 64]
ONE = FOREIGN[0]
MARK = b"\x01probe\x02"  # 7 bytes of padding that no other program has


def emulator(arch: Architecture) -> str:
    path = shutil.which(f"qemu-{arch.qemu}-static")
    assert path is not None, f"no qemu-{arch.qemu}-static here"
    return path


def write_probe(folder: Path, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "probe"
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def words(argc: int) -> list[str]:
    return [f"word {number}" for number in range(argc - 1)]


def marked(arch: Architecture, entry: binfmt.Entry) -> tuple[binfmt.Entry, bytes]:
    """Handler and probe under a mark in the padding: so even the machine's own architecture can be tried."""
    magic, mask, program = bytearray(entry.magic), bytearray(entry.mask), bytearray(elf.probe(arch))
    magic[9:16] = program[9:16] = MARK
    mask[9:16] = b"\xff" * len(MARK)
    return replace(entry, magic=bytes(magic), mask=bytes(mask)), bytes(program)


@pytest.mark.parametrize("argc", [1, 5, 37])
@ALL
def test_exit_code_is_argc_under_the_emulator(arch: Architecture, argc: int, tmp_path: Path) -> None:
    path = write_probe(tmp_path, elf.probe(arch))
    command = [emulator(arch), str(path), *words(argc)]
    run = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, timeout=60)
    assert run.returncode == argc


@pytest.mark.parametrize("argc", [1, 5, 37])
@ALL
def test_exit_code_is_argc_through_the_kernel(
    arch: Architecture, argc: int, tmp_path: Path, namespace: Namespace
) -> None:
    entry, program = marked(arch, binfmt.handler(arch, emulator(arch), "PF"))
    write_probe(tmp_path, program)
    namespace.register(entry)
    assert namespace.run("chroot", tmp_path, "/probe", *words(argc)).returncode == argc


@pytest.mark.parametrize("arch", FOREIGN, ids=lambda arch: arch.name)
def test_only_the_handler_makes_it_run(arch: Architecture, tmp_path: Path, namespace: Namespace) -> None:
    path = write_probe(tmp_path, elf.probe(arch))
    assert namespace.execute([path]) == [100 + errno.ENOEXEC]
    namespace.register(binfmt.handler(arch, emulator(arch), "PF"))
    assert namespace.execute([path]) == [1]
    assert namespace.run("chroot", tmp_path, "/probe", *words(41)).returncode == 41


@ALL
def test_a_blocked_probe_shows_its_emulator(
    arch: Architecture, tmp_path: Path, namespace: Namespace
) -> None:
    entry, program = marked(arch, binfmt.handler(arch, emulator(arch), "PF"))
    write_probe(tmp_path, program)
    namespace.register(entry)
    with namespace.start("chroot", tmp_path, "/probe", *words(23)) as process:
        wait_blocked(process, emulator(arch))
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 23


@ALL
def test_it_needs_no_standard_input_at_all(arch: Architecture, tmp_path: Path) -> None:
    path = write_probe(tmp_path, elf.probe(arch))
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", emulator(arch), str(path), *words(9)]
    assert subprocess.run(closed, check=False, timeout=60).returncode == 9


@pytest.mark.skipif(NATIVE is None, reason="this machine is not in the table")
def test_it_runs_natively_too(tmp_path: Path, namespace: Namespace) -> None:
    assert NATIVE is not None
    path = write_probe(tmp_path, elf.probe(NATIVE))
    assert namespace.run(path, *words(7)).returncode == 7
    with namespace.start(path, *words(8)) as process:
        wait_blocked(process, str(path))  # nobody else runs it
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 8


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="only x86-64 kernels run 386 programs")
def test_the_386_probe_runs_natively_on_x86_64(tmp_path: Path, namespace: Namespace) -> None:
    small = next(arch for arch in ARCHITECTURES if arch.name == "386")
    path = write_probe(tmp_path, elf.probe(small))
    status = namespace.run("chroot", tmp_path, "/probe", *words(6)).returncode
    assert status in (6, 127)  # 127: a kernel without CONFIG_IA32_EMULATION, and no shell to try instead
    if status == 6:
        with namespace.start(path, *words(6)) as process:
            wait_blocked(process, str(path))
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 6


def test_without_f_the_emulator_is_not_found_in_the_chroot(tmp_path: Path, namespace: Namespace) -> None:
    path = write_probe(tmp_path, elf.probe(ONE))
    namespace.register(binfmt.handler(ONE, emulator(ONE), "P"))
    assert namespace.run(path, *words(4)).returncode == 4
    assert namespace.run("chroot", tmp_path, "/probe", *words(4)).returncode == 127


def test_a_dynamic_emulator_is_not_found_in_the_chroot(tmp_path: Path, namespace: Namespace) -> None:
    write_probe(tmp_path, elf.probe(ONE))
    header = elf.parse(Path("/usr/bin/env").read_bytes())
    assert header is not None
    assert header.linkage == "dynamic"
    namespace.register(binfmt.handler(ONE, "/usr/bin/env", "PF"))
    assert namespace.run("chroot", tmp_path, "/probe", *words(4)).returncode == 127


@pytest.mark.skipif(not Path("/usr/libexec/qemu-binfmt").is_dir(), reason="QEMU is not Debian's")
def test_a_wrong_p_flag_shifts_the_count(tmp_path: Path, namespace: Namespace) -> None:
    """Debian's QEMU, called by a name that ends in -binfmt-P, wants the P flag: else it drops a word."""
    # F follows the link to the file, but the emulator is told the name.
    by_name = tmp_path / "emulator-binfmt-P"
    by_name.symlink_to(emulator(ONE))
    write_probe(tmp_path, elf.probe(ONE))
    entry = binfmt.handler(ONE, "/usr/bin/true", "F")
    namespace.register(replace(entry, interpreter=str(by_name)))
    assert namespace.run("chroot", tmp_path, "/probe", *words(5)).returncode == 4
    namespace.clear()
    namespace.register(replace(entry, interpreter=str(by_name), flags="PF"))
    assert namespace.run("chroot", tmp_path, "/probe", *words(5)).returncode == 5


def test_a_replaced_emulator_shows_as_deleted(tmp_path: Path, namespace: Namespace) -> None:
    copy = tmp_path / "emulator"
    shutil.copy(emulator(ONE), copy)
    entry = replace(binfmt.handler(ONE, "/usr/bin/true", "PF"), interpreter=str(copy))
    namespace.register(entry)
    write_probe(tmp_path / "root", elf.probe(ONE))
    (tmp_path / "new").write_bytes(copy.read_bytes())
    (tmp_path / "new").rename(copy)
    with namespace.start("chroot", tmp_path / "root", "/probe", *words(3)) as process:
        wait_blocked(process, f"{copy} (deleted)")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 3
