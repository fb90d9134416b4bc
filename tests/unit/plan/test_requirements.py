"""Each preflight check, with the facts that turn it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from provision.facts import Disk, Facts
from provision.plan.requirements import check_all
from provision.result import CheckLine
from provision.spec import Emulation
from tests.unit.recorded import SPEC, facts, settled

BARE = facts("bare")
SETTLED = settled()
KIB_PER_GIB = 1 << 20


def line(seen: Facts, name: str) -> CheckLine:
    return next(each for each in check_all(SPEC, seen) if each.id == name)


def test_a_provisioned_host_passes_every_check() -> None:
    lines = check_all(SPEC, SETTLED)
    assert {each.status for each in lines} == {"ok"}
    assert all(each.seen and each.needed and not each.fix for each in lines)


def test_a_bare_host_passes_with_what_provision_will_mend() -> None:
    lines = {each.id: each.status for each in check_all(SPEC, BARE) if each.status != "ok"}
    assert lines == {"binfmt-misc": "warning", "f-flag": "warning"}


def with_system(**changes: object) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, system=replace(seen.system, **changes))  # type: ignore[arg-type]


def with_binfmt(**changes: object) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, binfmt=replace(seen.binfmt, **changes))  # type: ignore[arg-type]


def with_user(**changes: object) -> Callable[[Facts], Facts]:
    return lambda seen: replace(seen, user=replace(seen.user, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "name", "status", "words"),
    [
        (with_system(kernel="4.7.2"), "kernel", "error", "4.7.2"),
        (with_binfmt(options=frozenset({"ro"})), "binfmt-misc", "error", "read-only"),
        (with_binfmt(enabled=False), "binfmt-misc", "warning", "disabled"),
        (with_binfmt(present=False, mounted="none"), "binfmt-misc", "warning", "not there"),
        (
            with_binfmt(mounted="autofs", problem="Too many levels of symbolic links"),
            "binfmt-misc",
            "error",
            "symbolic links",
        ),
        (with_binfmt(before="autofs"), "binfmt-misc", "ok", "nobody had triggered"),
        (
            with_binfmt(fix_binary=False, trial_error="Invalid argument"),
            "f-flag",
            "error",
            "Invalid argument",
        ),
        (with_binfmt(fix_binary=None), "f-flag", "warning", "not tried"),
        (with_system(systemd=None), "systemd", "error", "does not run"),
        (lambda seen: replace(seen, tools=frozenset()), "packages", "error", "no known package manager"),
        (with_system(machine="armv6l"), "cpu", "error", "armv6l"),
        (with_system(machine="mips64"), "cpu", "error", "mips64"),
        (with_system(page=16), "page-size", "warning", "16 KiB"),
        (with_system(memory=400_000), "memory", "warning", "390 MiB"),
        (lambda seen: replace(seen, temporary={"/tmp": False}), "temporary", "error", "/tmp is noexec"),
        (lambda seen: replace(seen, temporary={"/tmp": False, "/run": True}), "temporary", "ok", "/run"),
        (with_user(name="ci", uid=1000, sudo="none"), "root", "error", "no sudo"),
        (with_user(name="ci", uid=1000, sudo="password"), "root", "warning", "asks for a password"),
        (with_user(name="ci", uid=1000, sudo="free"), "root", "ok", "without a password"),
        (with_user(login="anna"), "root", "ok", "by sudo from anna"),
    ],
)
def test_what_turns_a_check(change: Callable[[Facts], Facts], name: str, status: str, words: str) -> None:
    seen = line(change(SETTLED), name)
    assert (seen.status, words in seen.seen) == (status, True), seen
    assert bool(seen.fix) == (status != "ok")


@pytest.mark.parametrize(("gib", "status"), [(0.5, "error"), (5, "warning"), (50, "ok")])
def test_room_for_builds(gib: float, status: str) -> None:
    disks = {**SETTLED.disks, "/var/lib/buildkit": Disk(size=1 << 30, free=int(gib * KIB_PER_GIB), inodes=9)}
    assert line(replace(SETTLED, disks=disks), "disk").status == status


def test_given_interpreters_need_no_package_manager() -> None:
    spec = replace(SPEC, emulation=Emulation(interpreters="/opt/qemu-{qemu}"))
    seen = replace(SETTLED, tools=frozenset())
    assert next(each for each in check_all(spec, seen) if each.id == "packages").status == "ok"


def test_a_32_bit_userland_is_said() -> None:
    native = SETTLED.system.native
    small = native[:4] + b"\x01" + native[5:]
    seen = line(replace(SETTLED, system=replace(SETTLED.system, machine="aarch64", native=small)), "cpu")
    assert seen.status == "ok"
    assert "32-bit programs" in seen.seen
    assert "arm64 release runs" in seen.seen
