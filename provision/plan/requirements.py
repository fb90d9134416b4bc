"""Spec × Facts → what `check` says: each line what was seen, what is needed, and the fix. Pure.

A new check is one function and one fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from provision import paths
from provision.buildkit.asset import asset_for
from provision.errors import ReleaseError
from provision.facts import Facts, kernel, packages
from provision.result import CheckLine
from provision.spec import PACKAGES, Spec

MIB: Final = 1024
GIB: Final = 1024 * 1024
"""In KiB, the unit of facts."""

BUILD_MEMORY: Final = 1 * GIB
BUILD_DISK: Final = 10 * GIB

Check = Callable[[Spec, Facts], CheckLine]


def check_all(spec: Spec, facts: Facts) -> tuple[CheckLine, ...]:
    """Every preflight check of one host, in the order a person reads them."""
    return tuple(check(spec, facts) for check in CHECKS)


def _line(
    name: str,
    good: bool,
    seen: str,
    needed: str,
    fix: str,
    *,
    severity: Literal["error", "warning"] = "error",
) -> CheckLine:
    return CheckLine(
        id=name, status="ok" if good else severity, seen=seen, needed=needed, fix="" if good else fix
    )


def kernel_version(spec: Spec, facts: Facts) -> CheckLine:
    release = facts.system.kernel
    return _line(
        "kernel",
        kernel.version(release) >= kernel.MINIMUM,
        release or "unknown",
        "Linux 4.8 or newer, for handlers that work inside containers (F flag)",
        "upgrade the kernel to 4.8 or newer",
    )


def binfmt_mounted(spec: Spec, facts: Facts) -> CheckLine:
    state = facts.binfmt
    needed = "binfmt_misc mounted read-write"
    if state.mounted == "binfmt_misc" and not state.usable:
        return _line(
            "binfmt-misc", False, "mounted read-only", needed, "this is a container: use the machine itself"
        )
    if state.usable and not state.enabled:
        return _line(
            "binfmt-misc",
            False,
            "mounted, but disabled",
            needed,
            "`provision` enables it",
            severity="warning",
        )
    if state.usable and state.before == "autofs":
        seen = "was an automount nobody had triggered; looking mounted it"
        return _line("binfmt-misc", True, seen, needed, "")
    if state.usable:
        return _line("binfmt-misc", True, "mounted read-write", needed, "")
    if state.problem and state.mounted == "autofs":
        fix = f"systemctl restart {paths.BINFMT_AUTOMOUNT}"
        return _line("binfmt-misc", False, f"the automount is broken: {state.problem}", needed, fix)
    seen = "not mounted" if state.present else "not there: the module is not loaded, or the kernel lacks it"
    return _line("binfmt-misc", False, seen, needed, "`provision` loads and mounts it", severity="warning")


def fix_binary(spec: Spec, facts: Facts) -> CheckLine:
    accepted = facts.binfmt.fix_binary
    needed = "the kernel takes a handler with the F flag"
    if accepted is None:
        why = "not tried: needs root" if not facts.user.root else "not tried: binfmt_misc is not mounted"
        return _line("f-flag", False, why, needed, "`provision` tries it first of all", severity="warning")
    seen = (
        "a trial registration was taken"
        if accepted
        else f"a trial registration was refused: {facts.binfmt.trial_error}"
    )
    return _line("f-flag", accepted, seen, needed, "boot a kernel of 4.8 or newer")


def systemd(spec: Spec, facts: Facts) -> CheckLine:
    version = facts.system.systemd
    seen = f"systemd {version}" if version is not None else "systemd does not run"
    return _line("systemd", bool(version), seen, "systemd, for the service", "boot the machine with systemd")


def package_manager(spec: Spec, facts: Facts) -> CheckLine:
    found = packages.manager(facts.tools)
    if spec.emulation.interpreters != PACKAGES:
        return _line("packages", True, "not needed: interpreters are given", "a source of QEMU", "")
    return _line(
        "packages",
        found is not None,
        found.command if found else "no known package manager",
        "apt-get, dnf, apk, pacman or zypper, for QEMU",
        "point `interpreters` at static QEMU emulators",
    )


def cpu(spec: Spec, facts: Facts) -> CheckLine:
    machine, bits = facts.system.machine, facts.system.userland_bits
    needed = "a machine BuildKit is released for"
    try:
        asset = asset_for(spec.buildkit.version, machine, bits)
    except ReleaseError as error:
        return _line("cpu", False, f"{machine}, {bits}-bit programs", needed, error.hint or error.cause)
    notes = f" ({asset.notes[0].rstrip('.')})" if asset.notes else ""
    return _line("cpu", True, f"{machine}, {bits}-bit programs{notes}", needed, "")


def page_size(spec: Spec, facts: Facts) -> CheckLine:
    size = facts.system.page
    return _line(
        "page-size",
        size in (0, 4),
        f"{size} KiB" if size else "unknown",
        "4 KiB pages, which every program is linked for",
        "boot the 4 KiB kernel (on a Raspberry Pi 5: kernel=kernel8.img in config.txt)",
        severity="warning",
    )


def memory(spec: Spec, facts: Facts) -> CheckLine:
    total, swap = facts.system.memory, facts.system.swap
    return _line(
        "memory",
        total + swap >= BUILD_MEMORY,
        f"{total // MIB} MiB, {swap // MIB} MiB swap",
        f"{BUILD_MEMORY // MIB} MiB with swap, for emulated builds",
        "add swap, or set max_parallelism = 1",
        severity="warning",
    )


def disk(spec: Spec, facts: Facts) -> CheckLine:
    room = facts.disks.get(paths.STATE)
    free = room.free if room else 0
    return _line(
        "disk",
        free >= BUILD_DISK,
        f"{free / GIB:.1f} GiB free for {paths.STATE}",
        f"{BUILD_DISK // GIB} GiB, for BuildKit and its cache",
        f"free some room, or mount a larger disk at {paths.STATE}",
        severity="error" if free < GIB else "warning",
    )


def temporary(spec: Spec, facts: Facts) -> CheckLine:
    good = [place for place, runs in facts.temporary.items() if runs]
    bad = [place for place, runs in facts.temporary.items() if not runs]
    seen = ", ".join([*good, *(f"{place} is noexec" for place in bad)]) or "none is writable"
    return _line(
        "temporary",
        bool(good),
        seen,
        "a temporary directory where programs may run",
        "mount /var/tmp without noexec",
    )


def root(spec: Spec, facts: Facts) -> CheckLine:
    user = facts.user
    needed = "root, directly or by sudo"
    if user.root:
        seen = f"root, by sudo from {user.login}" if user.login else "root"
        return _line("root", True, seen, needed, "")
    if user.sudo == "free":
        return _line("root", True, f"{user.name}, who may use sudo without a password", needed, "")
    if user.sudo == "password":
        fix = "run `provision` on a terminal, or let this user use sudo without a password"
        return _line(
            "root", False, f"{user.name}, whom sudo asks for a password", needed, fix, severity="warning"
        )
    return _line("root", False, f"{user.name}, and there is no sudo", needed, "run as root, or install sudo")


CHECKS: Final[tuple[Check, ...]] = (
    kernel_version,
    binfmt_mounted,
    fix_binary,
    systemd,
    package_manager,
    cpu,
    page_size,
    memory,
    disk,
    temporary,
    root,
)
