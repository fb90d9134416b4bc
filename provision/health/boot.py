"""Which handlers the next boot registers, from binfmt.d's order and masks and the services that read it. Pure.

A restart of systemd-binfmt, which first drops every handler, has the same outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from provision import binfmt, elf, paths
from provision.architectures import ARCHITECTURES
from provision.binfmt import Entry
from provision.facts import Facts, Rule
from provision.facts.interpreters import unfit
from provision.facts.managers import reading, service_manager
from provision.facts.view import MARK, ArchitectureOnHost, concerned
from provision.facts.view import view as view_of
from provision.fix import PROVISION, Fix, HostCommand, run
from provision.health import emulation
from provision.health.emulation import describe, next_boot
from provision.health.finding_table import finding
from provision.result import Finding
from provision.services.manager import Lack
from provision.spec import Spec

_AGAIN: Final = Fix.by(PROVISION)


@dataclass(frozen=True, kw_only=True)
class Coming:
    """An entry that the boot will register, and the file it comes from."""

    entry: Entry
    path: str


def effective(rules: Iterable[Rule], folders: Iterable[str]) -> tuple[Rule, ...]:
    """The files that count, by name. Of several with one name that is the highest folder's, even if it is a mask.

    `folders` are those that the host's service manager reads, highest first.
    """
    chosen: dict[str, Rule] = {}
    for folder in folders:
        for rule in rules:
            if rule.path == f"{folder}/{rule.name}":
                chosen.setdefault(rule.name, rule)
    return tuple(chosen[name] for name in sorted(chosen))


def registrations(spec: Spec, facts: Facts) -> tuple[Coming, ...]:
    """The entries that the boot will register, newest first. systemd-binfmt and OpenRC's binfmt.sh read files by name;
    a later rule replaces its namesake.
    """
    found: dict[str, Coming] = {}
    boot = reading(spec, facts).boot
    for rule in effective(facts.rules, boot.folders):
        if rule.masked or rule.path.startswith("/run/"):
            continue  # /run is empty after a boot
        if not boot.happens and not rule.text.startswith(MARK):
            continue  # the daemon's start registers this tool's alone
        for entry in binfmt.parse_rules(rule.text):
            found.pop(entry.name, None)
            found[entry.name] = Coming(entry=entry, path=rule.path)
    return tuple(reversed(found.values()))


def coming(view: ArchitectureOnHost, order: Sequence[Coming] | None = None) -> Coming | None:
    """The entry that answers for an architecture after the boot. `order`: the registrations, if known already."""
    order = registrations(view.spec, view.facts) if order is None else order
    winner = binfmt.winner((each.entry for each in order), view.header)
    return next((each for each in order if each.entry == winner), None)


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Faults that the next boot brings and that are not there now; where nobody boots it, the next start by hand."""
    order = registrations(spec, facts)
    if not reading(spec, facts).boot.happens:
        return (_nothing(spec, facts), *_coming_back(spec, facts, order))
    return (*_over_native(spec, facts, order), *_coming_back(spec, facts, order))


def _nothing(spec: Spec, facts: Facts) -> Finding:
    """What somebody chose, or what the machine is: nothing to be fixed, but to be known."""
    start = service_manager(spec, facts).commands.start
    init = f" ({facts.system.init})" if facts.system.init else ""
    return finding(
        "boot-nothing",
        "info",
        f"no service manager runs buildkitd: process 1{init} is none that this tool uses here",
        "after the next boot neither buildkitd nor a handler is there, until somebody starts them",
        Fix(
            words=f"put this line into the script that boots the machine or begins the CI job: {start.line}"
        ),
    )


def _over_native(spec: Spec, facts: Facts, order: Sequence[Coming]) -> Iterator[Finding]:
    """Files whose handlers take programs from the CPU. If they are the machine's own, none starts any more (ELOOP)."""
    dropping = service_manager(spec, facts).drops_handlers
    restart = f", or a restart of {dropping}," if dropping else ""
    for arch in ARCHITECTURES:
        seen = view_of(arch, spec, facts)
        lethal = facts.system.architecture == arch
        if not (lethal or (seen.native and not seen.winner)):
            continue
        headers = elf.native_headers([arch])
        for each in order:
            if binfmt.would_hijack(each.entry, headers):
                yield finding(
                    "boot-over-native",
                    "error" if lethal else "warning",
                    f"{each.path} brings {describe(each.entry)}, which takes programs that the CPU runs itself",
                    f"after the next boot{restart} no program of this machine starts"
                    if lethal
                    else "after the next boot they are emulated: many times slower",
                    Fix.by(_remove(each.path)),
                    seen.platform,
                )


def _remove(path: str) -> HostCommand:
    """The command after which a file of binfmt.d does not count. One of a package is masked: it would come back."""
    folder, _, name = path.rpartition("/")
    return (
        run("rm", path) if folder == paths.RULES else run("ln", "-s", "/dev/null", f"{paths.RULES}/{name}")
    )


def _coming_back(spec: Spec, facts: Facts, order: Sequence[Coming]) -> tuple[Finding, ...]:
    if not facts.binfmt.usable:
        return ()
    views = [view for view in concerned(spec, facts) if view.winner and not view.native]
    if not views:
        return ()
    general = tuple(_lack(each) for each in reading(spec, facts).boot.lacks)
    # A table that lasts as long as a job is all that a job needs.
    held = _held(spec, facts) if reading(spec, facts).boot.happens else ()
    if general:
        return (*general, *held)
    # Architectures that are broken now are skipped: their fix rewrites the boot file anyway.
    sound = [view for view in views if emulation.first_fault(view, spec) is None]
    return (*held, *(found for view in sound if (found := fault_at_boot(view, order))))


def fault_at_boot(view: ArchitectureOnHost, order: Sequence[Coming]) -> Finding | None:
    """The fault that the next boot brings to an architecture that works now."""
    if view.winner is None or not view.ran or view.native:
        return None
    then = coming(view, order)
    if then is None:
        return None if _supported(view) else _gone(view)
    if why := _unfit(view, then):
        return finding(
            "boot-broken",
            "warning",
            f"{then.path} brings {describe(then.entry)}, which {why}",
            f"broken after {next_boot(view)}",
            _AGAIN,
            view.platform,
        )
    if _character(then.entry) != _character(view.winner):
        # This tool's own file is there, and another one comes after it: only removing that one helps.
        ours = view.rule_is_ours and then.path != paths.rule(view.arch.qemu)
        return finding(
            "boot-differs",
            "warning",
            f"now {describe(view.winner)} answers; {then.path} brings {describe(then.entry)}",
            "after the next boot another emulator runs its programs, or in another way",
            Fix.by(_remove(then.path)) if ours else _AGAIN,
            view.platform,
        )
    return None


def _supported(view: ArchitectureOnHost) -> bool:
    """Whether binfmt-support brings the handler back. Debian 11 and Ubuntu 22.04 register QEMU's by it alone."""
    enabled = view.facts.unit(paths.BINFMT_SUPPORT).file_state == "enabled"
    return enabled and view.winner is not None and view.winner.name in view.facts.binfmt.support


def _character(entry: Entry) -> tuple[str, str, bool, bool]:
    """What programs notice of an entry: P shifts their arguments, C keeps their privileges."""
    return entry.name, entry.interpreter, "P" in entry.flags, "C" in entry.flags


def _gone(view: ArchitectureOnHost) -> Finding:
    rules = effective(view.facts.rules, reading(view.spec, view.facts).boot.folders)
    mask = next((rule for rule in rules if rule.masked and rule.name == f"{view.name}.conf"), None)
    if mask:
        return finding(
            "boot-masked",
            "warning",
            f"{mask.path} is a link to /dev/null, which masks every file of its name",
            f"gone after {next_boot(view)}",
            Fix.by(run("rm", mask.path), PROVISION),
            view.platform,
        )
    evidence = f"no file in binfmt.d registers a handler for it ({len(rules)} were read)"
    return finding(
        "boot-missing",
        "warning",
        evidence,
        f"gone after {next_boot(view)}",
        _AGAIN,
        view.platform,
    )


def _unfit(view: ArchitectureOnHost, then: Coming) -> str:
    """Why the entry that comes will not work; empty if it will."""
    if "F" not in then.entry.flags:
        return "has no F flag: it does not work inside containers"
    file = view.facts.interpreters.get(then.entry.interpreter)
    if file is None:
        return "names a file that is not there: it will not be registered"
    return unfit(file, view.facts)


def _lack(lack: Lack) -> Finding:
    consequence = "after the next boot no handler is there"
    return finding(lack.finding, "warning", lack.evidence, consequence, lack.fix)


def _held(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """Since Linux 6.7, and in stable kernels from late 2024 on, the last umount drops every entry."""
    if facts.binfmt.held is not False:
        return ()
    return (
        finding(
            "binfmt-not-held",
            "warning",
            f"{paths.BINFMT} is mounted for this session and not for init",
            "every handler is gone when the last process that sees the mount ends",
            Fix.by(service_manager(spec, facts).commands.hold_table, PROVISION),
        ),
    )
