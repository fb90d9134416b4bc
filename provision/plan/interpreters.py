"""Which file can be the emulator of an architecture on a host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provision.architectures import ARCHITECTURES, Architecture
from provision.facts import Facts, packages
from provision.facts.interpreters import candidates, unfit
from provision.facts.local_emulators import LocalEmulator
from provision.spec import PACKAGES, SEND, Spec


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An emulator for one architecture: on the host, to be installed or sent; or none, and why."""

    arch: Architecture
    path: str = ""
    install: bool = False
    send: LocalEmulator | None = None
    problem: str = ""


def choose(arch: Architecture, spec: Spec, facts: Facts, emulators: Mapping[str, LocalEmulator]) -> Choice:
    """The interpreter to use for an architecture on this host. `emulators` are those of this machine, to be sent."""
    problems = []
    for path in candidates(arch, spec, emulators):
        found = facts.interpreters.get(path)
        if found is None:
            continue
        reason = unfit(found, facts)
        if not reason:
            return Choice(arch=arch, path=path)
        problems.append(f"{path} {reason}")
    if problems and spec.emulation.interpreters != PACKAGES:
        return Choice(arch=arch, problem="; ".join(problems))
    if spec.emulation.interpreters.startswith(SEND):
        return _to_send(arch, spec, facts, emulators)
    if spec.emulation.interpreters != PACKAGES:
        return Choice(arch=arch, problem=f"{candidates(arch, spec, emulators)[0]} does not exist")
    return _to_install(arch, facts, problems)


def _to_send(arch: Architecture, spec: Spec, facts: Facts, emulators: Mapping[str, LocalEmulator]) -> Choice:
    file = emulators.get(arch.qemu)
    if file is None:
        pattern = spec.emulation.interpreters.removeprefix(SEND)
        return Choice(arch=arch, problem=f"{pattern.format(qemu=arch.qemu)} does not exist on this machine")
    reason = unfit(file.interpreter, facts)
    if reason:
        return Choice(arch=arch, problem=f"{file.file} {reason}")
    return Choice(arch=arch, path=file.interpreter.path, send=file)


def _to_install(arch: Architecture, facts: Facts, problems: list[str]) -> Choice:
    manager = packages.manager(facts.tools)
    if manager is None:
        return Choice(arch=arch, problem="; ".join(problems) or "no emulator and no package manager found")
    path = manager.interpreter.format(qemu=arch.qemu)
    if path in facts.interpreters:
        return Choice(arch=arch, problem="; ".join(problems))
    if manager.one_for_all and any(
        manager.interpreter.format(qemu=row.qemu) in facts.interpreters for row in ARCHITECTURES
    ):
        # The package is installed and lacks this emulator: installing it again would change nothing.
        return Choice(arch=arch, problem=f"the distribution's {manager.packages[0]} has no {path}")
    return Choice(arch=arch, path=path, install=True)
