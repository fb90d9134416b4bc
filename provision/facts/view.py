"""All facts about one architecture on one host. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from provision import binfmt, elf, paths
from provision.architectures import ARCHITECTURES, Architecture
from provision.binfmt import Entry
from provision.facts import LATE, PATIENCE, Facts, Interpreter, Probe
from provision.facts.interpreters import provided, runs_natively, wanted_rows
from provision.result import Owner
from provision.spec import Spec

MARK: Final = "# Written by provision"
"""The first words of each file of this tool."""
NOT_RUN: Final = -2
"""The status of a program that was not run."""
_NOT_STARTED: Final = "the F flag is missing, or it is dynamically linked, or no program for this machine"
_DELETED: Final = " (deleted)"


@dataclass(frozen=True, kw_only=True)
class ArchitectureOnHost:
    """The facts that concern one architecture."""

    arch: Architecture
    platform: str
    """Findings name this one of the architecture's platforms: the first that is wanted."""
    spec: Spec
    facts: Facts

    @property
    def header(self) -> bytes:
        """The first bytes of its programs."""
        return elf.probe(self.arch)

    @property
    def probe(self) -> Probe:
        """How its program ran. A program that was not run counts as failed."""
        return self.facts.probes.get(self.arch.qemu) or Probe(expected=-1, status=NOT_RUN)

    @property
    def ran(self) -> bool:
        return self.probe.ran

    @property
    def native(self) -> bool:
        return runs_natively(self.arch, self.facts)

    @property
    def provided(self) -> bool:
        """Whether a machine around this container runs its programs, which is left to it."""
        return self.arch in provided(self.spec, self.facts)

    @property
    def matching(self) -> tuple[Entry, ...]:
        """Entries for its programs, newest first, also those that are switched off."""
        return tuple(entry for entry in self.facts.entries if entry.matches(self.header))

    @property
    def winner(self) -> Entry | None:
        """The entry that the kernel uses."""
        return binfmt.winner(self.facts.entries, self.header)

    @property
    def name(self) -> str:
        """The name that this tool, QEMU's script and Debian give the entry."""
        return f"qemu-{self.arch.qemu}"

    @property
    def ours(self) -> Entry | None:
        """The entry of that name, if it is there and for these programs."""
        return next((entry for entry in self.matching if entry.name == self.name), None)

    @property
    def rule_is_ours(self) -> bool:
        """Whether the file that brings the entry back is this tool's."""
        file = self.facts.files.get(paths.rule(self.arch.qemu))
        return file is not None and (file.text or "").startswith(MARK)

    @property
    def file(self) -> Interpreter | None:
        """The file at the winner's path now."""
        return self.facts.interpreters.get(self.winner.interpreter) if self.winner else None

    @property
    def qemu(self) -> str | None:
        """The version of the emulator that the kernel runs."""
        return self.probe.qemu if self.probe.emulated else None

    @property
    def static(self) -> bool | None:
        """Whether the winner's emulator needs no other file; None if there is no such file on the host."""
        header = self.file.header if self.file else None
        return header.linkage != "dynamic" if header else None

    @property
    def deleted(self) -> bool:
        """Whether the file that the kernel runs was deleted, and no other has its path."""
        return self.probe.executable.endswith(_DELETED) and self.file is None

    @property
    def contained(self) -> bool:
        """Whether the file that the kernel runs belongs to a container: this host has none at its path."""
        gone = self.winner is not None and self.file is None
        return (
            gone
            and not self.provided
            and self.probe.emulated
            and not self.probe.executable.endswith(_DELETED)
        )

    @property
    def replaced(self) -> bool:
        """Whether the handler's path now names another file than the one the kernel runs."""
        return self.probe.emulated and self.file is not None and self.probe.held != self.file.identity

    @property
    def outcome(self) -> str:
        """How its program ended, or why it did not run, as a clause."""
        if self.probe.status != NOT_RUN and not self.ran and self.winner is None:
            return "no handler is registered for it"
        return meaning(self.probe.status, self.probe.expected)

    def owner(self, entry: Entry) -> Owner:
        """Who registered an entry, as far as files show."""
        if self.provided:
            return "machine"
        if entry.name == self.name and self.rule_is_ours:
            return "provision"
        if self.contained and entry == self.winner:
            return "container"
        rules = [rule for rule in self.facts.rules if not rule.masked]
        named = any(each.name == entry.name for rule in rules for each in binfmt.parse_rules(rule.text))
        return "distribution" if named or entry.name in self.facts.binfmt.support else "unknown"


def meaning(status: int, expected: int) -> str:
    """What the exit status of a probe program that an emulator was to run means, as a clause.

    `expected` is the number of its arguments. chroot ends with 127 if it could not start a program, where GNU's tries a
    shell before it gives up (execvp(3), ENOEXEC), or with 126 (POSIX, env). QEMU ends with 255 if it fails itself.
    """
    if status == NOT_RUN:
        return "its program was not run"
    if status == LATE:
        return f"its program did not end within {PATIENCE} s"
    if status == expected:
        return "its program ran"
    if abs(status - expected) == 1:
        return "its arguments arrive shifted: the P flag does not fit the emulator"
    if status in (126, 127):
        return f"its emulator cannot be started inside a container: {_NOT_STARTED}"
    if status == 255:
        return "its emulator refused the program"
    if status > 128:
        return f"its emulator was ended by signal {status - 128}"
    return f"its program ended with status {status} instead of {expected}"


def provisioned(facts: Facts) -> bool:
    """Whether this tool ever changed the host: its release, its unit or a rule of its own is there."""
    services = (paths.UNIT, paths.SERVICE_SCRIPT)
    own = [file for path, file in facts.files.items() if path in services or path.startswith(paths.RULES)]
    # In a script the mark is the second line.
    return paths.CURRENT in facts.files or any(MARK in (file.text or "")[:100] for file in own)


def concerned(spec: Spec, facts: Facts) -> tuple[ArchitectureOnHost, ...]:
    """The architectures that health reports on: those that are wanted.

    If `platforms` is not set, those with an entry, or with a file of this tool that brings an entry back.
    """
    views = [view(arch, spec, facts) for arch in wanted_rows(spec)]
    if spec.platforms is not None:
        return tuple(views)
    return tuple(each for each in views if each.matching or paths.rule(each.arch.qemu) in facts.files)


def view(arch: Architecture, spec: Spec, facts: Facts) -> ArchitectureOnHost:
    """One architecture, wanted or not."""
    platform = next((p for p in spec.platforms or () if p in _all_platforms(arch)), arch.platforms[0])
    return ArchitectureOnHost(arch=arch, platform=platform, spec=spec, facts=facts)


def all_views(spec: Spec, facts: Facts) -> tuple[ArchitectureOnHost, ...]:
    """Every architecture of the table."""
    return tuple(view(arch, spec, facts) for arch in ARCHITECTURES)


def _all_platforms(arch: Architecture) -> Sequence[str]:
    return (*arch.platforms, *(f"linux/{arch.name}/{variant}" for variant in arch.variants))
