"""One handler: its flags, its entry, the proof that it works, and its file for the next boot. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from provision import binfmt, elf, paths
from provision.architectures import Architecture
from provision.binfmt import Entry
from provision.facts import Facts, kernel
from provision.facts.managers import service_manager
from provision.facts.view import MARK, ArchitectureOnHost, view
from provision.placed.changes import file_change
from provision.plan.steps import RegisterHandler, Variant, WriteRule
from provision.spec import Spec


def flag_choices(path: str, spec: Spec, facts: Facts) -> tuple[str, ...]:
    """Flags to try, best first (QEMU's preserve-argv0 protocol, linux-user/main.c; Debian's `-binfmt-P` names).

    From 5.12 on P is right for QEMU 6.0 and newer, which reads AT_FLAGS; before, only a build that is told by its
    name takes the extra argument. Builds differ, so the other choice is tried when the probe's count is off.
    """
    told_by_name = path.endswith("-binfmt-P")
    p_first = kernel.version(facts.system.kernel) >= kernel.ARGV0 or told_by_name
    choices = ("PF", "F") if p_first else ("F", "PF")
    return tuple(flags + "C" for flags in choices) if spec.emulation.credentials else choices


def as_wanted(entry: Entry, wanted: Entry) -> bool:
    """Whether a registered entry is the wanted one. P is left open: the probe decides it."""
    same = replace(entry, flags="") == replace(wanted, flags="")
    # The kernel sets O with C and prints both.
    return same and set(entry.flags) - {"P", "O"} == set(wanted.flags) - {"P", "O"}


def working_entry(seen: ArchitectureOnHost, wanted: Entry) -> Entry | None:
    """The registered entry, if it is the wanted one, its probe ran, and it runs the file that its path names now."""
    winner = seen.winner
    # A program that is late proves nothing against its handler: the machine may be busy.
    sound = seen.ran or seen.probe.late
    if winner is None or not as_wanted(winner, wanted) or not sound or seen.replaced:
        return None
    # The file was deleted, or belongs to a container: a step brings one to that path.
    return None if seen.probe.emulated and seen.file is None else winner


def takes_own_programs(arch: Architecture, path: str, facts: Facts) -> bool:
    """Whether a handler would take over the machine's own programs: then every exec would fail."""
    entry = binfmt.handler(arch, path, "F")
    return facts.system.architecture == arch or entry.matches(facts.system.native)


def _trial(entry: Entry, nonce: bytes) -> Entry:
    """The same handler under a magic that only our own probe has: it proves interpreter and flags, and matches nothing
    else. QEMU ignores the padding of e_ident; the kernel compares it.
    """
    magic, mask = bytearray(entry.magic), bytearray(entry.mask)
    magic[9:16], mask[9:16] = nonce, b"\xff" * 7
    return replace(entry, name=f"{entry.name}.trial", magic=bytes(magic), mask=bytes(mask))


def register(
    arch: Architecture, places: Sequence[str], spec: Spec, facts: Facts, nonce: bytes, argc: int
) -> RegisterHandler:
    """The step that registers a handler and proves it, by the first emulator of these places that works."""
    entries = [
        binfmt.handler(arch, path, flags) for path in places for flags in flag_choices(path, spec, facts)
    ]
    program = elf.probe(arch)
    marked = elf.marked(program, nonce)
    variants = tuple(
        Variant(
            interpreter=entry.interpreter,
            flags=entry.flags,
            line=binfmt.format_rule(entry),
            standby=binfmt.format_rule(replace(entry, name=f"{entry.name}.standby")),
            trial=binfmt.format_rule(_trial(entry, nonce)),
        )
        for entry in entries
    )
    seen = view(arch, spec, facts)
    registered = [entry for entry in facts.entries if entry.name == entries[0].name]
    return RegisterHandler(
        id=f"handler-{arch.qemu}",
        action="replace" if registered else "register",
        target=f"{entries[0].name} ({', '.join(arch.platforms)})",
        detail=_entry_diff(registered, entries[0], replaced=seen.replaced),
        qemu=arch.qemu,
        name=entries[0].name,
        interpreter=places[0],
        probe=elf.octal(program),
        trial_probe=elf.octal(marked),
        argc=argc,
        variants=variants,
        optional=spec.platforms is None,
        was="" if seen.rule_is_ours or not registered else binfmt.format_rule(registered[0]),
    )


def _entry_diff(registered: Sequence[Entry], wanted: Entry, *, replaced: bool) -> str:
    lines = [f"-{binfmt.format_rule(entry)}" for entry in registered]
    if replaced and registered:
        lines.append(" (the emulator's file was replaced since: the kernel still runs the old one)")
    return "\n".join([*lines, f"+{binfmt.format_rule(wanted)}"])


def rule(arch: Architecture, line: str, spec: Spec, facts: Facts, *, follows: bool) -> WriteRule | None:
    """The step that writes a handler's file for the next boot; None if the file is already so.

    `follows`: the step before it decides the line, which may be another than this. Then it is always needed.
    """
    path = paths.rule(arch.qemu)
    header = f"{MARK}. {service_manager(spec, facts).rule_loader}\n"
    change = file_change(path, f"{header}{line}\n", facts)
    if change is None and not follows:
        return None
    return WriteRule(
        id=f"rule-{arch.qemu}",
        action=change.action if change else "update",
        target=path,
        detail=change.detail if change else "if its handler turns out to be another than the file has",
        qemu=arch.qemu,
        path=path,
        header=header,
        line=line,
        follows=follows,
    )


def shadow_notes(arch: Architecture, name: str, facts: Facts) -> tuple[str, ...]:
    """A sentence for each other entry for the same programs. Such entries are left as they are."""
    header = elf.probe(arch)
    # Leftovers of our own interrupted run are removed, so they are not reported.
    ours = {name, f"{name}.standby", f"{name}.trial"}
    others = [e for e in facts.entries if e.name not in ours and e.enabled and e.matches(header)]
    return tuple(
        f"{other.name} ({other.interpreter}) also handles {arch.platforms[0]}: the kernel tries the newest first, so"
        f" {name} answers; {other.name} is left as it is"
        for other in others
    )


def shared_table(facts: Facts) -> str:
    """What it means that a container has no table of handlers of its own."""
    manager = f" ({facts.system.container})" if facts.system.container else ""
    return (
        f"this container{manager} shares the kernel's table: handlers work for the whole machine around it"
    )


def provided(theirs: Sequence[Architecture]) -> str:
    """That handlers of a machine around this container are used, for which platforms."""
    names = ", ".join(arch.platforms[0] for arch in theirs)
    return f"programs of {names} run by handlers of the machine around this container, which are left as they are"
