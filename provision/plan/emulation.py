"""All steps that emulation needs on a host, in order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from provision import binfmt, paths
from provision.facts import Facts, packages
from provision.facts.managers import reading, service_manager
from provision.facts.view import view
from provision.plan import handlers
from provision.plan.interpreters import Choice
from provision.plan.steps import (
    EnableBinfmt,
    InstallPackages,
    MountBinfmt,
    RegisterHandler,
    RunService,
    SendInterpreter,
    Step,
    write_file,
)
from provision.plan.target import Target
from provision.spec import Spec

_CREDENTIALS: Final = (
    "credentials = true (flag C): a foreign setuid program gets its owner's rights under the emulator, so any such"
    " file that a user can reach or bring can make that user root"
)


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """The steps for emulation on a host."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    registered: tuple[RegisterHandler, ...]
    """Handlers that are registered or replaced, which a running buildkitd may not notice."""


def plan_emulation(target: Target, nonce: bytes, argc: int) -> Emulation:
    """All steps for emulation on a host that meets the requirements.

    `nonce` (7 bytes) marks trial entries; `argc` is how many arguments the probes must count.
    """
    spec, facts = target.spec, target.facts
    usable = [choice for choice in target.choices if choice.path]
    steps: list[Step] = []
    notes = [_CREDENTIALS] if spec.emulation.credentials and usable else []
    notes += [f"{c.arch.platforms[0]}: skipped, {c.problem}" for c in target.choices if c.problem]
    notes += [handlers.provided(target.provided)] if target.provided else []
    for choice in usable:
        steps += _handler_steps(choice, spec, facts, nonce, argc)
        notes += handlers.shadow_notes(choice.arch, f"qemu-{choice.arch.qemu}", facts)
    registered = tuple(step for step in steps if isinstance(step, RegisterHandler))
    installing = _package_steps(usable, facts)
    notes += [
        f"{each.manager} removes {', '.join(each.removes)}, whose handlers end with it"
        for each in installing
        if each.removes
    ]
    if registered and facts.system.shared_table:
        notes.append(handlers.shared_table(facts))
    return Emulation(
        # Packages come first: that they are there is the least certain.
        steps=(
            *installing,
            *(_mount_steps(spec, facts) if usable else ()),
            *_send_steps(usable),
            *steps,
        ),
        notes=tuple(notes),
        registered=registered,
    )


def _handler_steps(choice: Choice, spec: Spec, facts: Facts, nonce: bytes, argc: int) -> list[Step]:
    arch = choice.arch
    wanted = binfmt.handler(arch, choice.path, handlers.flag_choices(choice.path, spec, facts)[0])
    good = handlers.working_entry(view(arch, spec, facts), wanted)
    if good is None:
        places = choice.install or (choice.path,)
        register = handlers.register(arch, places, spec, facts, nonce, argc)
        rule = handlers.rule(arch, register.variants[0].line, spec, facts, follows=True)
        return [register, rule] if rule else [register]
    # The kernel adds O to C by itself.
    flags = "".join(flag for flag in "PFC" if flag in good.flags)
    line = binfmt.format_rule(binfmt.handler(arch, choice.path, flags))
    rule = handlers.rule(arch, line, spec, facts, follows=False)
    return [rule] if rule else []


def _package_steps(choices: Iterable[Choice], facts: Facts) -> tuple[InstallPackages, ...]:
    missing = [choice.arch.qemu for choice in choices if choice.install]
    manager, said = packages.manager(facts), packages.answer(facts)
    if not missing or manager is None:
        return ()
    known = said is not None and said.status is not None and manager.one_for_all
    names = said.packages if said and known else manager.packages_for(missing)
    instead = "" if known else "".join(manager.names[1:])
    removes = packages.removed(said)
    return (
        InstallPackages(
            id="packages",
            action="install",
            target=" ".join(names) + (f" or {instead}" if instead else ""),
            detail="\n".join([f"by {manager.command}", *(f"-{name} (it is removed)" for name in removes)]),
            manager=manager.command,
            packages=names,
            instead=instead,
            removes=removes,
        ),
    )


def _send_steps(choices: Iterable[Choice]) -> tuple[Step, ...]:
    return tuple(
        SendInterpreter(
            id=f"interpreter-{choice.arch.qemu}",
            action="send",
            target=choice.path,
            detail=f"{choice.send.file}\nsha256 {choice.send.sha256}",
            file=choice.send.file,
            path=choice.path,
            sha256=choice.send.sha256,
            size=choice.send.interpreter.size,
        )
        for choice in choices
        if choice.send
    )


def _mount_steps(spec: Spec, facts: Facts) -> tuple[Step, ...]:
    state, manager = facts.binfmt, service_manager(spec, facts)
    steps: list[Step] = []
    if not state.usable:
        steps.append(
            MountBinfmt(id="binfmt-mount", action="mount", target=paths.BINFMT, manager=manager.name)
        )
    elif not state.enabled:
        steps.append(EnableBinfmt(id="binfmt-enable", action="enable", target=paths.BINFMT))
    if not state.present and manager.loads_modules:
        # The folder appears when the module is loaded; systemd's automount unit needs it there at boot.
        steps += write_file("module", paths.MODULES, "binfmt_misc\n", facts)
    boot = reading(spec, facts).boot
    for each in boot.files:
        steps += write_file(each.id, each.path, each.text, facts, each.mode)
    steps += [
        RunService(
            id=f"binfmt-boot-{number}" if number else "binfmt-boot",
            action="enable",
            target=name,
            manager=manager.name,
            verb="enable",
            service=name,
        )
        for number, name in enumerate(boot.enable)
    ]
    return tuple(steps)
