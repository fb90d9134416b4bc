"""Emulation now: which programs run in an empty chroot, by which handler, and what is wrong if they do not. Pure.

Only the first fault of each platform is reported, because it explains the others.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final

from provision import binfmt, paths
from provision.binfmt import Entry
from provision.facts import Facts, packages
from provision.facts.interpreters import locked
from provision.facts.managers import service_manager
from provision.facts.view import ArchitectureOnHost, concerned
from provision.fix import PROVISION, Fix, HostCommand, ToolCommand, provision_for, run, shell_line
from provision.health.finding_table import finding
from provision.result import Finding
from provision.spec import PACKAGES, Spec

HandlerCheck = Callable[[ArchitectureOnHost, Spec], Finding | None]
_AGAIN: Final = Fix.by(PROVISION)


def findings(spec: Spec, facts: Facts) -> tuple[Finding, ...]:
    """The faults of emulation on a host, in the order of the table of architectures."""
    views = concerned(spec, facts)
    if table := _table(facts, [view for view in views if not (view.native or view.provided)]):
        return (table,)
    return tuple(found for view in views if (found := first_fault(view, spec)))


def first_fault(view: ArchitectureOnHost, spec: Spec) -> Finding | None:
    """The first thing that is wrong with one architecture now. What another machine runs is right."""
    if view.provided:
        return None
    return next((found for check in CHECKS if (found := check(view, spec))), None)


def _table(facts: Facts, emulated: list[ArchitectureOnHost]) -> Finding | None:
    state = facts.binfmt
    names = ", ".join(view.platform for view in emulated)
    if not emulated:
        return None
    if why := locked(facts):
        fix = Fix(words="register a handler on the machine around this container, or use that machine")
        return finding("handler-around", "error", why, f"no program of {names} runs", fix)
    if not state.usable:
        seen = state.problem or f"mounted there: {state.mounted}"
        evidence = f"{paths.BINFMT}: {seen}" if state.present else f"there is no {paths.BINFMT}"
        return finding("binfmt-not-mounted", "error", evidence, f"no program of {names} runs", _AGAIN)
    if not state.enabled:
        fix = Fix.by(_write("1", "status"))
        evidence = f"{paths.BINFMT}/status says: disabled"
        return finding("binfmt-disabled", "error", evidence, f"no program of {names} runs", fix)
    return None


def _write(text: str, entry: str) -> HostCommand:
    """Write to a file of binfmt_misc: 1 enables an entry, -1 removes it (kernel, binfmt-misc.rst)."""
    # The name of an entry is whatever its registrar chose.
    return shell_line(f"echo {text} > {shlex.quote(f'{paths.BINFMT}/{entry}')}")


def describe(entry: Entry) -> str:
    """An entry in words."""
    return f"{entry.name} (flags {entry.flags or 'none'}, {entry.interpreter})"


def native(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """A handler for what the CPU runs itself makes it slow."""
    if not view.native or view.winner is None:
        return None
    return finding(
        "handler-over-native",
        "warning",
        f"{describe(view.winner)} answers, though the program also runs without a handler",
        "these programs are emulated where the CPU could run them: many times slower",
        Fix.by(
            _write("-1", view.winner.name),
            words=f"then mask its file of binfmt.d by a link of its name in {paths.RULES} to /dev/null: a file that"
            " is deleted comes back with the next upgrade of its package",
        ),
        view.platform,
    )


def missing(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """Nothing answers for its programs."""
    if view.native or view.winner:
        return None
    off = [entry for entry in view.matching if not entry.enabled]
    if off:
        return finding(
            "handler-disabled",
            "error",
            f"{describe(off[0])} is registered and disabled",
            "the kernel ignores it: its programs end with `exec format error`",
            Fix.by(_write("1", off[0].name)),
            view.platform,
        )
    return finding(
        "handler-missing",
        "error",
        f"none of the {len(view.facts.entries)} registered handlers takes its programs",
        "build steps for it end with `exec format error`",
        _AGAIN,
        view.platform,
    )


def without_f(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """F is what makes it work where the emulator's path does not exist: in every container."""
    if view.winner is None or view.native or "F" in view.winner.flags:
        return None
    return finding(
        "handler-without-f",
        "error",
        f"{describe(view.winner)}: {outcome(view)}",
        "build steps for it end with `no such file or directory`, and buildkitd does not list it",
        _AGAIN,
        view.platform,
    )


def credentials(view: ArchitectureOnHost, spec: Spec) -> Finding | None:
    """C takes user and rights from the program instead of the emulator (binfmt-misc.rst): a way to root."""
    if view.winner is None or "C" not in view.winner.flags or spec.emulation.credentials:
        return None
    return finding(
        "handler-credentials",
        "warning",
        f"{describe(view.winner)} keeps the privileges of foreign setuid programs",
        "a setuid program in any image can become root on this machine",
        _AGAIN,
        view.platform,
    )


def shadowed(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """The newest entry wins, and is final even if it does not work."""
    ours = view.ours
    if ours is None or view.winner is None or view.native or ours == view.winner:
        return None
    if not ours.enabled or view.winner not in binfmt.shadowed_by(view.facts.entries, ours):
        return None
    return finding(
        "handler-shadowed",
        "warning" if view.ran else "error",
        f"{describe(view.winner)} was registered after {ours.name} and answers for it; {outcome(view)}",
        "another emulator than the one that was set up runs its programs",
        Fix.by(PROVISION, words=f"after it {ours.name} answers again"),
        view.platform,
    )


def shifted(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """The P flag must fit the emulator's build (kernel, binfmt-misc.rst)."""
    if view.winner is None or view.ran or not view.probe.shifted:
        return None
    return finding(
        "handler-argv",
        "error",
        f"{describe(view.winner)}: of {view.probe.expected} arguments its program counted {view.probe.status}",
        "programs are started with a wrong name or miss an argument (`applet not found`)",
        Fix.by(PROVISION, words="it tries the other setting of the P flag"),
        view.platform,
    )


def dynamic(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """F pins the emulator's file, not its libraries."""
    header = view.file.header if view.file else None
    if view.winner is None or view.ran or header is None or header.linkage != "dynamic":
        return None
    return finding(
        "handler-dynamic",
        "error",
        f"{view.winner.interpreter} is dynamically linked (it asks for {header.interpreter or 'a loader'})",
        "it starts on the host and fails inside every container",
        _with_packages(view),
        view.platform,
    )


def late(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """A machine that is busy is as likely as an emulator that hangs: no reason to register it anew."""
    if view.winner is None or not view.probe.late or view.native:
        return None
    return finding(
        "handler-late",
        "warning",
        f"{describe(view.winner)}: {outcome(view)}",
        "build steps for it are very slow, or hang",
        Fix.by(ToolCommand(task="health"), words="again, when the machine is less busy"),
        view.platform,
    )


def broken(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """A handler answers, and the program does not run."""
    if view.winner is None or view.ran or view.native:
        return None
    return finding(
        "handler-broken",
        "error",
        f"{describe(view.winner)}: {outcome(view)}",
        "build steps for it fail",
        _AGAIN,
        view.platform,
    )


def next_boot(view: ArchitectureOnHost) -> str:
    """The next boot, and what else has its outcome on that host."""
    service = service_manager(view.spec, view.facts).drops_handlers
    return f"the next boot, or as soon as {service} is restarted" if service else "the next boot"


def container(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """The way of `docker run --privileged tonistiigi/binfmt`: works until the next boot."""
    if view.winner is None or not view.ran or not view.contained:
        return None
    return finding(
        "handler-container",
        "warning",
        f"works now ({_speed(view)}), by {describe(view.winner)}, a file that is not on this host:"
        " a container brought it",
        f"gone after {next_boot(view)}",
        Fix.by(provision_for(view.platform)),
        view.platform,
    )


def deleted(view: ArchitectureOnHost, spec: Spec) -> Finding | None:
    """The kernel holds a file without a name."""
    if view.winner is None or not view.ran or not view.deleted:
        return None
    if spec.emulation.interpreters == PACKAGES:
        fix = _reinstalled(view)
    else:
        fix = Fix.by(PROVISION, words=f"first put {view.winner.interpreter} back")
    return finding(
        "emulator-deleted",
        "error",
        f"{view.winner.interpreter} was deleted; the kernel still runs it ({_speed(view)})",
        "works until the next boot; then it cannot be registered again",
        fix,
        view.platform,
    )


def replaced(view: ArchitectureOnHost, _spec: Spec) -> Finding | None:
    """F holds the file that was there when it was registered; a package's upgrade renames another over it."""
    if view.winner is None or view.file is None or not view.ran or not view.replaced:
        return None
    probe = view.probe
    same = bool(probe.held_sha256) and probe.held_sha256 == probe.current_sha256
    sums = f", sha256 {probe.held_sha256[:12]} and {probe.current_sha256[:12]}" if probe.held_sha256 else ""
    return finding(
        "emulator-replaced",
        "info" if same else "warning",
        f"{view.winner.interpreter} is another file now: the kernel runs {probe.held} (QEMU {view.qemu or 'unknown'}),"
        f" the path is {view.file.identity}{sums}",
        "both files are the same, only the old one's room is not free"
        if same
        else "an upgrade of the emulator, security fixes too, does not take effect",
        _AGAIN,
        view.platform,
    )


def outcome(view: ArchitectureOnHost) -> str:
    """How its program ended, in words; with its speed where it ran."""
    return f"its program ran ({_speed(view)})" if view.ran else view.outcome


def _speed(view: ArchitectureOnHost) -> str:
    took = view.probe.milliseconds
    time = f" in {took:.1f} ms" if took is not None else ""
    return f"started{time}, QEMU {view.qemu}" if view.qemu else f"started{time}"


_VERBS: Final = {
    "apt-get": {"install": "apt-get install", "reinstall": "apt-get install --reinstall"},
    "dnf": {"install": "dnf install", "reinstall": "dnf reinstall"},
    "apk": {"install": "apk add", "reinstall": "apk fix --reinstall"},
    "pacman": {"install": "pacman -S", "reinstall": "pacman -S"},
    "zypper": {"install": "zypper install", "reinstall": "zypper install --force"},
}


def _with_packages(view: ArchitectureOnHost) -> Fix:
    """QEMU's files installed, and then registered; by the package that the host's manager was asked for, if it was."""
    manager, said = packages.manager(view.facts), packages.answer(view.facts)
    if manager is None:
        return Fix.by(PROVISION, words="first install QEMU's static emulators")
    names = said.packages if said else manager.packages_for((view.arch.qemu,))
    return Fix.by(run(*_VERBS[manager.command]["install"].split(), *names), PROVISION)


def _reinstalled(view: ArchitectureOnHost) -> Fix:
    """The package whose file is gone, installed again. Where another file or package is to take its place, as after an
    upgrade to Ubuntu 26.04, `provision` does that.
    """
    manager, names = packages.manager(view.facts), packages.installed(view.facts)
    if manager is None:
        return Fix.by(PROVISION, words="first reinstall QEMU's static emulators")
    if not names:
        return _AGAIN
    return Fix.by(run(*_VERBS[manager.command]["reinstall"].split(), *names), PROVISION)


CHECKS: Final[tuple[HandlerCheck, ...]] = (
    native,
    missing,
    shadowed,
    without_f,
    shifted,
    dynamic,
    late,
    broken,
    container,
    deleted,
    replaced,
    credentials,
)
