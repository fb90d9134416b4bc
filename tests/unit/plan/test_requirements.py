"""Each requirement, with the facts that turn it; and that `plan` refuses by the list that `check` shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from provision.buildkit.errors import NoAssetError
from provision.commands import change, inspect
from provision.commands.ask import target_of
from provision.commands.change import RunSettings
from provision.errors import BecomeError, HostError, KernelError, ProvisionError
from provision.facts import Disk, Facts, question
from provision.fix import Fix
from provision.plan import plan
from provision.plan.requirements import REQUIREMENTS, check_all
from provision.plan.target import Target
from provision.report.progress import Progress
from provision.result import CheckLine
from provision.spec import Spec
from tests.unit.commands.test_inspect import Recorded, outcome
from tests.unit.plan import faults
from tests.unit.plan.faults import FAULTS, Fault, binfmt, system, user
from tests.unit.recorded import COUNT, DIGEST, FOLDER, NONCE, buildkit, facts, settled

NAMED: Final = buildkit(sha256={"linux-amd64": DIGEST})
UNNAMED: Final = replace(NAMED, platforms=None)
HOSTS: Final = {"bare": facts("bare"), "provisioned": settled()}
RECORDED: Final = sorted(path.stem for path in FOLDER.glob("*.txt"))
SETTLED: Final = HOSTS["provisioned"]
KIB_PER_GIB: Final = 1 << 20
CACHE: Final = Path("/no/such/cache")


def target(seen: Facts, spec: Spec = NAMED) -> Target:
    return target_of(spec, seen, spec.buildkit.version, CACHE)


def line(seen: Facts, name: str, spec: Spec = NAMED) -> CheckLine:
    return next(each for each in check_all(target(seen, spec)) if each.id == name)


def refusal(order: Target) -> ProvisionError | None:
    try:
        plan(order, nonce=NONCE, argc=7)
    except ProvisionError as error:
        return error
    return None


# -- one list -------------------------------------------------------------------------------------


def test_every_recorded_host_is_here() -> None:
    assert sorted(HOSTS) == RECORDED


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("spec", [NAMED, UNNAMED], ids=["named", "unnamed"])
@pytest.mark.parametrize("host", HOSTS)
def test_plan_refuses_exactly_where_check_has_an_error(host: str, spec: Spec, fault: str) -> None:
    case = FAULTS[fault]
    order = target(case.facts(HOSTS[host]), case.spec(spec))
    lines = check_all(order)
    errors = [each for each in lines if each.status == "error"]
    error = refusal(order)
    assert bool(errors) == (error is not None), (errors, error)
    if error:
        assert errors[0].seen.startswith(error.message)
        assert errors[0].fix == (error.fix or Fix(words=error.hint))
    assert (errors[0].id if errors else "") == expected(case, host, spec)
    doubts = {each.id for each in lines if each.status == "warning"}
    assert {name for name, hosts in case.doubts.items() if host in hosts} <= doubts


def expected(case: Fault, host: str, spec: Spec) -> str:
    matters = host in case.on and not (case.only_named and spec.platforms is None)
    return case.breaks if matters else ""


def test_every_requirement_that_can_refuse_has_a_fault() -> None:
    broken = {fault.breaks for fault in FAULTS.values()} - {""}
    doubtful = {name for fault in FAULTS.values() for name in fault.doubts}
    assert broken | doubtful == {each.id for each in REQUIREMENTS}


@pytest.mark.parametrize(
    ("fault", "kind", "message", "hint"),
    [
        ("no sudo", BecomeError, "ci is not root, and there is no sudo", "install sudo"),
        ("an old kernel", KernelError, "kernel 4.7.10 is too old", "upgrade the kernel to 4.8"),
        ("a read-only table", KernelError, "binfmt_misc is read-only", "mount -o remount,rw"),
        (
            "a table of the machine around, which has some handlers",
            KernelError,
            "that of the machine around this container, which may not change it: linux/arm/v7",
            "register handlers for linux/arm/v7 on the machine around",
        ),
        (
            "a handler of the machine around, and no table here",
            KernelError,
            "would hide the handlers of the machine around it, which it has now: linux/arm64",
            "on the machine around",
        ),
        ("a kernel without its modules", KernelError, "it was upgraded", "restart the machine"),
        ("F is refused", KernelError, "refused a handler with the F flag (Invalid argument)", "own kernel"),
        ("no systemd, which is asked for", HostError, "systemd does not run here", 'service = "auto"'),
        ("no OpenRC, which is asked for", HostError, "OpenRC does not run here", 'service = "auto"'),
        ("a processor without a release", NoAssetError, "BuildKit has no release for mips64", ""),
        ("200 MiB for releases", HostError, "200 MiB are left for /opt/buildkit", "free some room"),
        (
            "an interpreter that does not exist",
            HostError,
            "no usable interpreter for linux/arm64, linux/arm/v7: /opt/qemu/qemu-aarch64 does not exist",
            "interpreters",
        ),
    ],
)
def test_what_a_user_reads(fault: str, kind: type[ProvisionError], message: str, hint: str) -> None:
    case = FAULTS[fault]
    error = refusal(target(case.facts(HOSTS["bare"]), case.spec(NAMED)))
    assert type(error) is kind
    assert message in error.message
    assert hint in (error.fix.words or error.hint)
    assert error.cause


@pytest.mark.parametrize("kernel", ["4.4.0-210-generic", "6.12.1"])
@pytest.mark.parametrize("host", HOSTS)
def test_the_commands_agree_on_a_host_as_it_answers(
    host: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the records of the host to what the user is shown."""
    monkeypatch.setattr(question, "argc", lambda: COUNT)
    answer = (FOLDER / f"{host}.txt").read_text().splitlines()
    records = [f"kernel\t{kernel}\tx86_64" if each.startswith("kernel\t") else each for each in answer]
    run = RunSettings(cache=FOLDER, timeout=1, progress=Progress(), version=NAMED.buildkit.version)
    checked = inspect.check_host(Recorded(records), NAMED, run.version)
    planned = outcome(Recorded(records), lambda transport: change.preview(transport, NAMED, run))
    errors = [each for each in checked.checks if each.status == "error"]
    assert [each.id for each in errors] == (["kernel"] if kernel.startswith("4.4") else [])
    assert (checked.status == "failed") == (planned.status == "failed") == bool(errors)
    assert (planned.error.message if planned.error else None) == (errors[0].seen if errors else None)


# -- each of them ---------------------------------------------------------------------------------


def test_a_provisioned_host_meets_every_requirement() -> None:
    lines = check_all(target(SETTLED))
    assert {each.status for each in lines} == {"ok"}
    assert all(each.seen and each.needed and not each.fix for each in lines)


def test_a_bare_host_passes_with_what_provision_will_mend() -> None:
    lines = {each.id: each.status for each in check_all(target(HOSTS["bare"])) if each.status != "ok"}
    assert lines == {"binfmt-misc": "warning", "f-flag": "warning"}


def without_manager(seen: Facts) -> Facts:
    return replace(seen, tools=frozenset())


@pytest.mark.parametrize(
    ("change", "name", "status", "words"),
    [
        (system(kernel="4.7.2"), "kernel", "error", "4.7.2"),
        (binfmt(options=frozenset({"ro"})), "binfmt-misc", "error", "read-only"),
        (binfmt(enabled=False), "binfmt-misc", "warning", "disabled"),
        (binfmt(present=False, mounted="none"), "binfmt-misc", "warning", "not there"),
        # The step that mounts it covers it: seen on a real one whose daemon was gone.
        (binfmt(mounted="autofs", problem="Too many levels"), "binfmt-misc", "warning", "Too many levels"),
        (binfmt(before="autofs"), "binfmt-misc", "ok", "nothing had triggered"),
        (binfmt(fix_binary=False, trial_error="Invalid argument"), "f-flag", "error", "Invalid argument"),
        (binfmt(fix_binary=None), "f-flag", "warning", "not tried"),
        (system(), "service", "ok", "systemd 252"),
        (system(systemd=None, openrc="0.45.2"), "service", "ok", "OpenRC 0.45.2"),
        (
            system(systemd=None, init="tini"),
            "service",
            "ok",
            "process 1 is tini, no service manager",
        ),
        (system(systemd=None), "service", "ok", "no service manager"),
        (system(control_groups="2"), "cgroups", "ok", "version 2"),
        (system(control_groups="partial"), "cgroups", "warning", "version 1 without `devices`"),
        (system(control_groups="none"), "cgroups", "warning", "none is mounted"),
        (system(control_groups="none", systemd=None), "cgroups", "ok", "mounts version 2"),
        (system(shared_table=True, container="podman"), "own-table", "warning", "container (podman) shares"),
        (system(shared_table=True), "own-table", "warning", "this container shares the kernel's table"),
        (system(shared_table=None, container="lxc"), "own-table", "warning", "not known"),
        (faults.without_emulators, "emulators", "error", "no package manager"),
        (without_manager, "emulators", "ok", "2 on the host"),
        (system(machine="armv6l"), "release", "error", "armv6l"),
        (system(machine="mips64"), "release", "error", "mips64"),
        (system(page=16), "page-size", "warning", "16 KiB"),
        (system(memory=400_000), "memory", "warning", "390 MiB"),
        (lambda seen: replace(seen, temporary={"/tmp": False}), "temporary", "error", "/tmp is noexec"),
        (lambda seen: replace(seen, temporary={"/tmp": False, "/run": True}), "temporary", "ok", "/run"),
        (user(name="ci", uid=1000, sudo="none"), "root", "error", "no sudo"),
        (user(name="ci", uid=1000, sudo="password"), "root", "warning", "asks for a password"),
        (user(name="ci", uid=1000, sudo="free"), "root", "ok", "without a password"),
        (user(login="anna"), "root", "ok", "by sudo from anna"),
    ],
)
def test_what_turns_a_requirement(
    change: Callable[[Facts], Facts], name: str, status: str, words: str
) -> None:
    seen = line(change(SETTLED), name)
    assert (seen.status, words in seen.seen) == (status, True), seen
    assert bool(seen.fix) == (status != "ok")


@pytest.mark.parametrize(("gib", "status"), [(0.5, "warning"), (5, "warning"), (50, "ok")])
def test_room_for_builds(gib: float, status: str) -> None:
    disks = {**SETTLED.disks, "/var/lib/buildkit": Disk(size=1 << 30, free=int(gib * KIB_PER_GIB), inodes=9)}
    assert line(replace(SETTLED, disks=disks), "disk").status == status


def test_emulators_from_each_source_are_counted() -> None:
    assert line(HOSTS["bare"], "emulators").seen == "2 to be installed by apt-get"
    assert line(SETTLED, "emulators").seen == "2 on the host"


def test_what_no_platform_needs_is_no_reason() -> None:
    """Where every wanted platform runs natively, no handler is needed, and no kernel that can have one."""
    native = replace(NAMED, platforms=("linux/amd64", "linux/386"))
    for fault in ("an old kernel", "a read-only table", "F is refused", "no source of QEMU"):
        order = target(FAULTS[fault].facts(HOSTS["bare"]), native)
        assert refusal(order) is None, fault
        assert "not needed" in " ".join(each.seen for each in check_all(order)), fault


def test_a_32_bit_userland_is_said() -> None:
    native = SETTLED.system.native
    small = native[:4] + b"\x01" + native[5:]
    seen = line(replace(SETTLED, system=replace(SETTLED.system, machine="aarch64", native=small)), "release")
    assert seen.status == "ok"
    assert "32-bit programs" in seen.seen
    assert "arm64 release runs" in seen.seen
