"""The workload of each architecture runs to its end under its emulator, and works on its way there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provision import elf
from provision.architectures import ARCHITECTURES, Architecture


@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
def test_it_counts_its_arguments_after_its_rounds(arch: Architecture, tmp_path: Path) -> None:
    quick = cpu_seconds(arch, elf.probe(arch), tmp_path)
    long = cpu_seconds(arch, elf.work(arch), tmp_path)
    # 2^26 rounds: no emulator does a round in less than a third of a nanosecond, nor one in a microsecond.
    assert 0.02 < long - quick < 60


def cpu_seconds(arch: Architecture, program: bytes, folder: Path) -> float:
    file = folder / "program"
    file.write_bytes(program)
    file.chmod(0o755)
    emulator = f"/usr/bin/qemu-{arch.qemu}-static"
    before = os.times()
    done = subprocess.run([emulator, file, "a", "b", "c"], stdin=subprocess.DEVNULL, check=False)
    after = os.times()
    assert done.returncode == 4
    return after.children_user - before.children_user
