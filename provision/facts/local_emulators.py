"""Emulators of this machine that are sent to hosts: read once, sent once for each content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from provision import elf, paths
from provision.architectures import ARCHITECTURES
from provision.facts import Interpreter
from provision.spec import SEND, Spec


@dataclass(frozen=True, kw_only=True)
class LocalEmulator:
    """A file of this machine that becomes an interpreter on a host."""

    file: Path
    sha256: str
    interpreter: Interpreter
    """The file as it will be on the host."""


def emulators_to_send(spec: Spec) -> Mapping[str, LocalEmulator]:
    """The emulators to send, by QEMU's name of the architecture; empty unless `interpreters` begins with `send:`."""
    pattern = spec.emulation.interpreters
    if not pattern.startswith(SEND):
        return MappingProxyType({})
    return _read(pattern.removeprefix(SEND))


@cache
def _read(pattern: str) -> Mapping[str, LocalEmulator]:
    found = {}
    for arch in ARCHITECTURES:
        file = Path(pattern.format(qemu=arch.qemu))
        if file.is_file():
            found[arch.qemu] = _emulator(arch.qemu, file)
    return MappingProxyType(found)


def _emulator(qemu: str, file: Path) -> LocalEmulator:
    content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    path = paths.interpreter(qemu, sha256)
    seen = Interpreter(
        path=path, identity="", size=len(content), mode=0o755, header=elf.parse(content[: elf.HEAD])
    )
    return LocalEmulator(file=file, sha256=sha256, interpreter=seen)
