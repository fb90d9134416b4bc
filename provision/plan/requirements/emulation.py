"""What handlers need on a host: the kernel, its table of handlers, and emulators. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from provision import paths
from provision.errors import KernelError
from provision.facts import Binfmt, kernel, packages
from provision.facts.interpreters import locked
from provision.fix import PROVISION, Fix
from provision.plan import handlers
from provision.plan.interpreters import Choice
from provision.plan.requirements.requirement import Verdict, doubtful, met, requirement, unmet
from provision.plan.target import Target

USE_THE_MACHINE: Final = "use the machine that this container runs on"
NOT_NEEDED: Final = "not needed: no platform is to be emulated"


@requirement(
    "kernel",
    needed="Linux 4.8 or newer, for handlers that work inside containers (the F flag of binfmt_misc)",
    error=KernelError,
)
def kernel_version(target: Target) -> Verdict:
    """The F flag came with Linux 4.8."""
    release = target.facts.system.kernel
    if kernel.version(release) >= kernel.MINIMUM:
        return met(f"kernel {release}")
    if not target.emulates:
        return met(f"kernel {release}; {NOT_NEEDED}")
    return unmet(
        f"kernel {release or 'unknown'} is too old", fix=Fix(words="upgrade the kernel to 4.8 or newer")
    )


@requirement("binfmt-misc", needed="binfmt_misc mounted read-write", error=KernelError)
def binfmt_mounted(target: Target) -> Verdict:
    """A step fixes a mount that is missing, disabled or broken; not one that belongs to a machine around this."""
    state = target.facts.binfmt
    if state.usable:
        return _usable(state)
    if not target.choices:
        return met(_theirs(target) if target.provided else NOT_NEEDED)
    if why := locked(target.facts):
        return _locked(target, why)
    if state.mounted == "binfmt_misc":
        return unmet(f"{paths.BINFMT} is read-only", fix=Fix(words=f"mount -o remount,rw {paths.BINFMT}"))
    if not target.facts.system.contained and state.module in ("gone", "none"):
        return _no_module(target.facts.system.kernel, state.module)
    if state.problem and state.mounted == "autofs":
        return doubtful(
            f"the automount is broken: {state.problem}", fix=Fix.by(PROVISION, words="it mounts binfmt_misc")
        )
    seen = "not mounted" if state.present else "not there: the module is not loaded"
    return doubtful(seen, fix=Fix.by(PROVISION, words="it loads and mounts binfmt_misc"))


def _usable(state: Binfmt) -> Verdict:
    if not state.enabled:
        return doubtful("mounted, but disabled", fix=Fix.by(PROVISION, words="it enables binfmt_misc"))
    if state.before == "autofs":
        return met("mounted read-write, by an automount that nothing had triggered before")
    return met("mounted read-write")


def _locked(target: Target, why: str) -> Verdict:
    """What runs by handlers of the machine around is built all the same; what is named besides, is not."""
    fix = Fix(
        words=f"register handlers for {_names(target.choices)} on the machine around, or {USE_THE_MACHINE}"
    )
    if target.provided and target.spec.platforms is None:
        return doubtful(f"{why}; {_theirs(target)}", fix=fix)
    return unmet(f"{why}: {_names(target.choices)}", fix=fix)


def _names(choices: Sequence[Choice]) -> str:
    return ", ".join(choice.arch.platforms[0] for choice in choices)


def _theirs(target: Target) -> str:
    return handlers.provided(target.provided)


def _no_module(release: str, module: str) -> Verdict:
    if module == "none":
        fix = Fix(words="boot the distribution's own kernel")
        return unmet(f"kernel {release} has no binfmt_misc, and no module of that name", fix=fix)
    seen = f"there are no modules of kernel {release}, which runs: it was upgraded"
    return unmet(seen, fix=Fix(words="restart the machine, so that it runs the kernel that is installed"))


@requirement("own-table", needed="a table of handlers of this machine's own")
def own_table(target: Target) -> Verdict:
    """No reason to refuse: a CI job in a privileged container has no other table, and must build."""
    if target.provided and not target.choices:
        return met(f"not needed: {_theirs(target)}")
    if not target.emulates:
        return met(NOT_NEEDED)
    shared = target.facts.system.shared_table
    if shared is False:
        return met("nothing says that another machine's is used")
    if shared is None:
        seen = f"not known: this is a container ({target.facts.system.container})"
        return doubtful(seen, fix=Fix(words=USE_THE_MACHINE))
    return doubtful(handlers.shared_table(target.facts), fix=Fix(words=f"{USE_THE_MACHINE}, or go on"))


@requirement("f-flag", needed="a kernel that takes handlers with the F flag", error=KernelError)
def fix_binary(target: Target) -> Verdict:
    """A kernel's version does not tell: distributions port changes back, and leave options out."""
    binfmt = target.facts.binfmt
    if binfmt.fix_binary:
        return met("a trial registration was taken")
    if not target.emulates or locked(target.facts):
        return met(NOT_NEEDED)
    if binfmt.fix_binary is None:
        why = "needs root" if not target.facts.user.root else "binfmt_misc is not mounted"
        return doubtful(
            f"not tried: {why}", fix=Fix.by(PROVISION, words="it tries that before anything else")
        )
    return unmet(
        f"kernel {target.facts.system.kernel} refused a handler with the F flag ({binfmt.trial_error})",
        fix=Fix(words="boot the distribution's own kernel, 4.8 or newer"),
    )


@requirement("own-programs", needed="proof that the machine runs its own programs without a handler")
def own_programs(target: Target) -> Verdict:
    """A handler for the machine's own programs would take them all over: none would start any more (ELOOP)."""
    taken = [
        choice.arch.platforms[0]
        for choice in target.choices
        if choice.path and handlers.takes_own_programs(choice.arch, choice.path, target.facts)
    ]
    if not taken:
        return met("no handler would match them")
    return unmet(
        f"a handler for {taken[0]} would match this machine's own programs, and its trial program did not run",
        fix=Fix(
            words="leave that platform out of `platforms`, or find out why programs do not run in a chroot there"
        ),
    )


@requirement("packages", needed="a package manager that is ready to install the emulators")
def packages_ready(target: Target) -> Verdict:
    """It is asked without being allowed to change or to fetch anything."""
    manager, said = packages.manager(target.facts), packages.answer(target.facts)
    if manager is None or not any(choice.install for choice in target.choices):
        return met("not needed: nothing is to be installed")
    if why := packages.refusal(said):
        return unmet(
            f"{manager.command} would not install {' '.join(said.packages) if said else ''}: {why}",
            fix=Fix(
                words=packages.MENDS.get(
                    manager.command, f"do what {manager.command} says, then start again"
                )
            ),
        )
    if gone := packages.removed(said):
        return doubtful(
            f"{manager.command} removes {', '.join(gone)} for it, whose handlers end with it",
            fix=Fix.by(PROVISION, words="which goes on"),
        )
    if said is not None and said.status is None:
        return doubtful(
            f"{manager.command} has no lists, or they lack {' and '.join(said.packages)}",
            fix=Fix.by(PROVISION, words="which fetches new ones first"),
        )
    return met(f"{manager.command}{f' installs {chr(32).join(said.packages)}' if said else ''}")


@requirement("emulators", needed="a static QEMU emulator for each platform that is named")
def emulators(target: Target) -> Verdict:
    """Of platforms that nobody named, those without an emulator are skipped."""
    problems = [choice for choice in target.choices if choice.problem]
    if not problems:
        return met(_sources(target) if target.choices else NOT_NEEDED)
    seen = _without_emulator(problems)
    fix = Fix(
        words="install static QEMU emulators on the root filesystem, or point `interpreters` at some;"
        ' `interpreters = "send:…"` sends those of this machine'
    )
    if target.spec.platforms is None:
        return doubtful(f"{seen}; what is not named is skipped", fix=fix)
    return unmet(seen, fix=fix)


def _without_emulator(problems: Sequence[Choice]) -> str:
    reasons = "; ".join(dict.fromkeys(choice.problem for choice in problems))
    return f"no usable interpreter for {_names(problems)}: {reasons}"


def _sources(target: Target) -> str:
    """Where the emulators come from, with how many."""
    sending = sum(choice.send is not None for choice in target.choices)
    installing = sum(bool(choice.install) for choice in target.choices)
    there = len(target.choices) - sending - installing
    manager = packages.manager(target.facts)
    counts = {
        "on the host": there,
        f"to be installed by {manager.command if manager else 'nobody'}": installing,
        "to be sent": sending,
    }
    return ", ".join(f"{count} {where}" for where, count in counts.items() if count)
