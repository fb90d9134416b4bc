"""Which file can be the emulator of an architecture on a host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provision.architectures import Architecture
from provision.facts import Facts, packages
from provision.facts.interpreters import candidates, unfit
from provision.facts.local_emulators import LocalEmulator
from provision.spec import PACKAGES, SEND, Spec


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An emulator for one architecture: on the host, to be installed or sent; or none, and why."""

    arch: Architecture
    path: str = ""
    """Where it is, or where it is looked for first once it was installed."""
    install: tuple[str, ...] = ()
    """Where it may be once it was installed, best first; empty if it is not to be installed."""
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
    manager = packages.manager(facts)
    if manager is None:
        return Choice(arch=arch, problem="; ".join(problems) or "no emulator and no package manager found")
    places = tuple(path.format(qemu=arch.qemu) for path in packages.CANDIDATES)
    # Installing what is installed changes nothing, nor does it change a file of the name that a package would bring.
    name = manager.packages_for((arch.qemu,))[0]
    if there := set(packages.installed(facts)) & {name, *manager.names}:
        lacks = f"the distribution's {', '.join(sorted(there))} has no emulator for it"
        return Choice(arch=arch, problem="; ".join(problems) or lacks)
    if places[0] in facts.interpreters:
        return Choice(arch=arch, problem="; ".join(problems))
    if packages.absent(packages.answer(facts)):
        return Choice(arch=arch, problem=f"no repository of this system has {name}")
    return Choice(arch=arch, path=places[0], install=places)
