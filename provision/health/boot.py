"""What the next boot will have, worked out from files: binfmt.d's order and masks, and the units that read it. Pure.

A restart of systemd-binfmt, which first drops every handler, has the same outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from provision import binfmt, elf, paths
from provision.architectures import ARCHITECTURES
from provision.binfmt import Entry
from provision.facts import Facts, Rule
from provision.facts.boot import mounted_at_boot
from provision.facts.interpreters import unfit
from provision.facts.view import ArchitectureOnHost, concerned
from provision.facts.view import view as view_of
from provision.health import emulation
from provision.health.catalogue import finding
from provision.health.emulation import AGAIN, describe
from provision.result import Finding
from provision.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Coming:
    """An entry that the boot will register, and the file it comes from."""

    entry: Entry
    path: str


def effective(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The files that count, by name: of several with one name the highest folder's, though it be a mask."""
    chosen: dict[str, Rule] = {}
    for folder in paths.RULE_FOLDERS:
        for rule in rules:
            if rule.path == f"{folder}/{rule.name}":
                chosen.setdefault(rule.name, rule)
    return tuple(chosen[name] for name in sorted(chosen))


def registrations(facts: Facts) -> tuple[Coming, ...]:
    """What systemd-binfmt will register, newest first: files by name, and a later rule replaces its namesake."""
    found: dict[str, Coming] = {}
    for rule in effective(facts.rules):
        if rule.masked or rule.path.startswith("/run/"):
            continue  # /run is empty after a boot
        for entry in binfmt.parse_rules(rule.text):
            found.pop(entry.name, None)
            found[entry.name] = Coming(entry=entry, path=rule.path)
    return tuple(reversed(found.values()))


def coming(view: ArchitectureOnHost, order: Sequence[Coming] | None = None) -> Coming | None:
    """Who will answer for an architecture after the boot. `order`: the registrations, where they are at hand."""
    order = registrations(view.facts) if order is None else order
    winner = binfmt.winner((each.entry for each in order), view.header)
    return next((each for each in order if each.entry == winner), None)


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """What will be wrong after the next boot and is not wrong now."""
    if not facts.system.systemd:
        return ()
    order = registrations(facts)
    return (*_over_native(spec, facts, order), *_coming_back(spec, facts, order))


def _over_native(spec: Spec, facts: Facts, order: Sequence[Coming]) -> Iterator[Finding]:
    """Files that will take programs from the CPU. For the machine's own kind, none would start any more (ELOOP)."""
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
                    "after the next boot, or a restart of systemd-binfmt, no program of this machine starts"
                    if lethal
                    else "after the next boot they are emulated: many times slower",
                    _without(each.path),
                    seen.platform,
                )


def _without(path: str) -> str:
    """The command after which a file of binfmt.d does not count. A package would bring its own back."""
    folder, _, name = path.rpartition("/")
    return f"rm {path}" if folder == paths.RULES else f"ln -s /dev/null {paths.RULES}/{name}"


def _coming_back(spec: Spec, facts: Facts, order: Sequence[Coming]) -> tuple[Finding, ...]:
    if not facts.binfmt.usable:
        return ()
    views = [view for view in concerned(spec, facts) if view.winner and not view.native]
    if not views:
        return ()
    general = tuple(found for found in (_mount(facts), _loader(facts)) if found)
    held = _held(facts)
    if general:
        return (*general, *held)
    # What is wrong now has its finding, and setting it right rewrites the file.
    sound = [view for view in views if emulation.of(view, spec) is None]
    return (*held, *(found for view in sound if (found := of(view, order))))


def of(view: ArchitectureOnHost, order: Sequence[Coming]) -> Finding | None:
    """What will become of an architecture that works now."""
    if view.winner is None or not view.ran or view.native:
        return None
    then = coming(view, order)
    if then is None:
        return _gone(view)
    if why := _unfit(view, then):
        return finding(
            "boot-broken",
            "warning",
            f"{then.path} brings {describe(then.entry)}, which {why}",
            "works until the next boot, or until systemd-binfmt is restarted",
            AGAIN,
            view.platform,
        )
    if _character(then.entry) != _character(view.winner):
        # Where ours is there and another file comes after it, ours need not be written again.
        ours = view.rule_is_ours and then.path != paths.rule(view.arch.qemu)
        return finding(
            "boot-differs",
            "warning",
            f"now {describe(view.winner)} answers; {then.path} brings {describe(then.entry)}",
            "after the next boot another emulator runs its programs, or in another way",
            _without(then.path) if ours else AGAIN,
            view.platform,
        )
    return None


def _character(entry: Entry) -> tuple[str, str, bool, bool]:
    """What makes a difference to programs: P shifts their arguments, C keeps their privileges."""
    return entry.name, entry.interpreter, "P" in entry.flags, "C" in entry.flags


def _gone(view: ArchitectureOnHost) -> Finding:
    rules = effective(view.facts.rules)
    mask = next((rule for rule in rules if rule.masked and rule.name == f"{view.name}.conf"), None)
    if mask:
        return finding(
            "boot-masked",
            "warning",
            f"{mask.path} is a link to /dev/null, which masks every file of its name",
            "gone after the next boot, or as soon as systemd-binfmt is restarted",
            f"rm {mask.path}, then {AGAIN}",
            view.platform,
        )
    evidence = f"no file in binfmt.d registers a handler for it ({len(rules)} were read)"
    return finding(
        "boot-missing",
        "warning",
        evidence,
        "gone after the next boot, or as soon as systemd-binfmt is restarted",
        AGAIN,
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


def _mount(facts: Facts) -> Finding | None:
    if mounted_at_boot(facts):
        return None
    return finding(
        "boot-no-mount",
        "warning",
        f"neither {paths.BINFMT_AUTOMOUNT} is active nor {paths.BINFMT_MOUNT} enabled",
        "after the next boot no handler is there",
        f"systemctl enable {paths.BINFMT_MOUNT}",
    )


def _loader(facts: Facts) -> Finding | None:
    if facts.binfmt.loader_refuses:
        return finding(
            "boot-no-loader",
            "warning",
            f"{paths.SYSTEMD_BINFMT} starts only where /proc/sys is writable, and here it is read-only",
            "after the next boot no handler is there",
            AGAIN,
        )
    load = facts.unit(paths.SYSTEMD_BINFMT).load
    if load not in ("masked", "not-found"):
        return None
    masked = load == "masked"
    return finding(
        "boot-no-loader",
        "warning",
        f"{paths.SYSTEMD_BINFMT} is {'masked' if masked else 'not there'}: nothing reads binfmt.d",
        "after the next boot no handler is there",
        f"systemctl unmask {paths.SYSTEMD_BINFMT}" if masked else "install systemd's systemd-binfmt.service",
    )


def _held(facts: Facts) -> tuple[Finding, ...]:
    """Since Linux 6.7, and in stable kernels from late 2024 on, the last umount drops every entry."""
    if facts.binfmt.held is not False:
        return ()
    return (
        finding(
            "binfmt-not-held",
            "warning",
            f"{paths.BINFMT} is mounted for this session and not for init",
            "every handler is gone when the last process that sees the mount ends",
            f"systemctl start {paths.BINFMT_MOUNT}, then {AGAIN}",
        ),
    )
