"""Findings on recorded hosts: what no lab can make (a Pi's kernel, an old QEMU), and what is not to be said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision import binfmt, health, paths
from provision.architectures import ARCHITECTURES, of_platform
from provision.facts import Facts, Mount, RegistryAnswer, Rule, Unit
from provision.facts.view import view
from provision.fix import run
from provision.health import boot
from provision.result import Finding
from provision.spec import Buildkit, Spec
from tests.unit import recorded
from tests.unit.recorded import SPEC, UNNAMED, settled, with_interpreter, with_probe, with_worker

Change = Callable[[Facts], Facts]


def ids(facts: Facts, spec: Spec = SPEC) -> list[tuple[str, str | None]]:
    return [(found.id, found.platform) for found in health.find(spec, facts)]


def only(facts: Facts, spec: Spec = SPEC) -> Finding:
    (found,) = health.find(spec, facts)
    return found


def unit(name: str, **changes: Any) -> Change:
    def change(facts: Facts) -> Facts:
        return replace(facts, units={**facts.units, name: replace(facts.units[name], **changes)})

    return change


def system(**changes: Any) -> Change:
    return lambda facts: replace(facts, system=replace(facts.system, **changes))


def worker(**changes: Any) -> Change:
    """Another answer of the daemon."""
    return lambda facts: with_worker(facts, **changes)


def label(name: str, value: str) -> Change:
    def change(facts: Facts) -> Facts:
        assert facts.worker
        return with_worker(
            facts, labels={**facts.worker.labels, f"org.mobyproject.buildkit.worker.{name}": value}
        )

    return change


def version(text: str) -> Change:
    return worker(version=text)


def lists(*platforms: str) -> Change:
    return worker(platforms=platforms)


def disk(**changes: int) -> Change:
    def change(facts: Facts) -> Facts:
        room = replace(facts.disks[paths.STATE], **changes)
        return replace(facts, disks={**facts.disks, paths.STATE: room})

    return change


def file(path: str, **changes: Any) -> Change:
    return lambda facts: replace(facts, files={**facts.files, path: replace(facts.files[path], **changes)})


def daemon(**changes: str) -> Change:
    def change(facts: Facts) -> Facts:
        assert facts.daemon
        return replace(facts, daemon=replace(facts.daemon, **changes))

    return change


def qemu(text: str, name: str = "aarch64") -> Change:
    return lambda facts: with_probe(facts, name, version=f"qemu-{name} version {text} (Debian)")


def both(*changes: Change) -> Change:
    def change(facts: Facts) -> Facts:
        for each in changes:
            facts = each(facts)
        return facts

    return change


ARM64, ARM = "linux/arm64", "linux/arm/v7"
NOTHING: Final[list[tuple[str, str | None]]] = []


def registry(
    *, curl: int = 0, status: int = 0, date: str = "", login: str = "", problem: str = ""
) -> Change:
    """A registry of the configuration that answers so."""
    seen = RegistryAnswer(curl=curl, status=status, date=date, login=login, problem=problem)
    return lambda facts: replace(facts, registries={"reg.example:5000": seen})


CASES: Final[dict[str, tuple[Change, list[tuple[str, str | None]]]]] = {
    "healthy": (lambda facts: facts, []),
    "binfmt.d is not read": (
        unit(paths.SYSTEMD_BINFMT, load="masked", file_state="masked"),
        [("boot-no-loader", None)],
    ),
    "binfmt.d is read only where /proc/sys is writable": (
        lambda facts: replace(
            facts, binfmt=replace(facts.binfmt, loader_refuses="ConditionPathIsReadWrite=/proc/sys (/lib/x)")
        ),
        [("boot-no-loader", None)],
    ),
    "nothing mounts the table": (
        unit(paths.BINFMT_MOUNT, file_state="disabled"),
        [("boot-no-mount", None)],
    ),
    "the automount does": (
        both(
            unit(paths.BINFMT_MOUNT, file_state="static"),
            unit(paths.BINFMT_AUTOMOUNT, active="active"),
        ),
        [],
    ),
    "the automount does, for the last time": (
        both(
            unit(paths.BINFMT_MOUNT, file_state="static"),
            unit(paths.BINFMT_AUTOMOUNT, active="active", file_state="masked"),
        ),
        [("boot-no-mount", None)],
    ),
    "mounted for the session": (
        lambda facts: replace(facts, binfmt=replace(facts.binfmt, held=False)),
        [("binfmt-not-held", None)],
    ),
    "no unit": (
        both(
            unit(paths.SERVICE, load="not-found", active="inactive", file_state=""),
            lambda facts: replace(facts, worker=None, daemon=None),
        ),
        [("service-missing", None)],
    ),
    "a crash loop": (
        unit(paths.SERVICE, active="activating", sub="auto-restart", restarts=7),
        [("service-stopped", None)],
    ),
    "restarted": (unit(paths.SERVICE, restarts=1), [("service-restarts", None)]),
    "a unit changed by hand": (unit(paths.SERVICE, reload_due=True), [("service-settings", None)]),
    "settings from before": (daemon(generation="0" * 16), [("service-settings", None)]),
    "no answer": (
        lambda facts: replace(facts, worker=None, worker_error="context deadline exceeded"),
        [("worker-silent", None)],
    ),
    "an answer that is none": (
        lambda _facts: recorded.answered("ok", "["),
        [("worker-silent", None)],
    ),
    "no socket": (lambda facts: replace(facts, worker=None), [("worker-silent", None)]),
    "native snapshotter": (label("snapshotter", "native"), [("worker-snapshotter", None)]),
    "no sandbox": (label("oci.process-mode", "no-sandbox"), [("worker-process-mode", None)]),
    "older": (version("v0.32.0"), [("worker-version", None)]),
    "newer": (version("v0.33.0"), [("worker-version", None)]),
    "insecure": (version("v0.20.0"), [("worker-insecure", None)]),
    "leaky": (version("v0.12.4"), [("worker-insecure", None)]),
    "a build of somebody's own": (version("v0.0.0+unknown"), []),
    "arm is masked by arm64": (lists("linux/amd64", "linux/arm64"), [("worker-masked", ARM)]),
    "nothing foreign is listed": (
        lists("linux/amd64"),
        [("worker-unlisted", ARM64), ("worker-unlisted", ARM)],
    ),
    "listed, and gone": (
        lists("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"),
        [("worker-stale", "linux/s390x")],
    ),
    "few inodes": (disk(inodes=40_000, all_inodes=1_000_000), [("inodes-low", None)]),
    "no inodes to count": (disk(inodes=0, all_inodes=0), []),
    "a disk that is low for its limits": (disk(free=3_000_000), [("disk-low", None)]),
    "a small memory": (system(memory=500_000, swap=100_000), [("memory-low", None)]),
    "a small memory with swap": (system(memory=500_000, swap=1_000_000), []),
    "a Pi's kernel": (system(cgroup_memory=False), [("cgroup-memory", None)]),
    "a registry that is silent": (registry(curl=7, problem="refused"), [("registry-unreachable", None)]),
    "no registry at all": (registry(curl=0, status=404), [("registry-unreachable", None)]),
    "an unknown authority": (registry(curl=60, problem="self-signed"), [("registry-certificate", None)]),
    "a login that is not valid": (registry(status=401, login="refused"), [("registry-login", None)]),
    "a login that is valid": (registry(status=401, login="valid"), []),
    "a registry in another time": (
        both(system(clock=1_767_300_000), registry(status=200, date="Thu, 01 Jan 2026 00:00:00 GMT")),
        [("clock-off", None)],
    ),
    "a registry without a time": (registry(status=200, date="now"), []),
    "a clock that stood still": (lambda facts: replace(facts, skew=-90_000.0), [("clock-off", None)]),
    "a clock that is a minute off": (lambda facts: replace(facts, skew=60.0), []),
    "QEMU 7.0 on a new kernel": (qemu("7.0.0"), [("known-bad-aslr", ARM64)]),
    "QEMU 7.0 on an old kernel": (both(qemu("7.0.0"), system(kernel="5.15.0-91-generic")), []),
    "QEMU 9.2.0": (qemu("9.2.0"), [("known-bad-ldconfig", ARM64)]),
    "QEMU 9.2.1": (qemu("9.2.1"), []),
    "QEMU 6.2": (qemu("6.2.0"), [("known-bad-go", ARM64)]),
    "QEMU of no number": (qemu("git"), []),
}


@pytest.mark.parametrize("case", CASES)
def test_one_thing_wrong_is_one_finding(case: str) -> None:
    change, expected = CASES[case]
    assert ids(change(settled())) == expected


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/boot/firmware/cmdline.txt", "the line in /boot/firmware/cmdline.txt, then reboot"),
        ("/boot/cmdline.txt", "the line in /boot/cmdline.txt, then reboot"),
        ("/etc/default/grub", "GRUB_CMDLINE_LINUX in /etc/default/grub, then run update-grub and reboot"),
        ("", "the kernel's command line, then reboot"),
    ],
)
def test_where_the_command_line_of_the_kernel_is(place: str, words: str) -> None:
    facts = system(cgroup_memory=False)(settled())
    found = only(replace(facts, basis=replace(facts.basis, command_line=place)))
    assert found.fix.words == f"add cgroup_enable=memory to {words}"


def test_a_platform_that_this_buildkit_does_not_look_for() -> None:
    facts = with_probe(
        worker(version="v0.12.5")(settled()),
        "loongarch64",
        status=recorded.COUNT,
        executable="/q",
        natively=False,
    )
    named = replace(SPEC, platforms=("linux/loong64",), buildkit=Buildkit(version="v0.12.5"))
    found = [each for each in health.find(named, facts) if each.id == "worker-unlisted"]
    assert [each.evidence for each in found] == ["BuildKit v0.12.5 does not list it, v0.13.0 does"]
    assert "worker-unlisted" not in [each.id for each in health.find(UNNAMED, facts)]


def test_a_daemon_that_keeps_nothing_free_is_not_said_to() -> None:
    """Before v0.17 there was no such limit."""
    old = recorded.with_worker(disk(free=3_000_000)(settled()), gc=())
    assert "disk-low" not in [name for name, _ in ids(old)]
    found = only(recorded.with_worker(disk(free=500_000)(settled()), gc=()))
    assert (found.id, "garbage" in found.evidence) == ("disk-low", False)


@pytest.mark.parametrize("spec", [SPEC, UNNAMED])
def test_recorded_hosts(spec: Spec) -> None:
    """As they came from the real script: nothing is said of the healthy one but that its files are of that day."""
    assert {*ids(recorded.facts("provisioned"), spec)} <= {("drift", None)}
    assert ids(recorded.facts("bare"), spec) == [("not-provisioned", None)]


def test_the_wish_decides_what_is_looked_at() -> None:
    wish = replace(SPEC, platforms=(*recorded.WANTED, "linux/riscv64"))
    assert ids(settled(), wish) == [("handler-missing", "linux/riscv64")]
    assert ids(settled(), replace(SPEC, platforms=("linux/amd64",))) == []
    # v5 is never listed by BuildKit; v7's handler and list stand for it.
    assert ids(settled(), replace(SPEC, platforms=("linux/arm/v5",))) == []


def test_without_a_wish_a_file_of_ours_is_one() -> None:
    facts = settled()
    gone = replace(facts, entries=tuple(entry for entry in facts.entries if entry.name != "qemu-arm"))
    gone = with_probe(gone, "arm", status=127, executable="")
    assert ("handler-missing", ARM) in ids(gone, UNNAMED)
    forgotten = {path: each for path, each in gone.files.items() if path != paths.rule("arm")}
    # Nobody wants it any more: only the daemon's list still has it.
    assert ids(replace(gone, files=forgotten), UNNAMED) == [("worker-stale", ARM)]


def test_what_was_asked_for_is_not_found() -> None:
    wanted = replace(SPEC, buildkit=Buildkit(version="latest"))
    assert ids(version("v0.33.0")(settled()), wanted) == []
    bridge, one = recorded.buildkit(network="bridge"), recorded.buildkit(max_parallelism=1)
    host = recorded.networked(bridge)
    assert ids(label("network", "host")(host), bridge) == [("worker-network", None)]
    assert ids(label("network", "bridge")(host), bridge) == []
    assert ids(system(memory=500_000)(settled(one)), one) == []


@pytest.mark.parametrize(
    ("message", "meaning", "journal"),
    [
        ("dial unix /run/x.sock: connect: connection refused", ": nothing listens there", False),
        ("context deadline exceeded", ": the daemon did not answer in time", False),
        ("something new", "", True),
    ],
)
def test_a_silent_daemon_is_told_by_what_its_messages_mean(
    message: str, meaning: str, journal: bool
) -> None:
    found = only(replace(settled(), worker=None, worker_error=message))
    assert found.evidence == message
    assert found.consequence.startswith(f"nothing can be built{meaning}")
    assert found.fix.commands[0] == run("systemctl", "restart", paths.SERVICE)
    assert ("journal" in found.fix.words) == journal


@pytest.mark.parametrize(
    ("mode", "group", "severity"),
    [(0o660, "buildkit", None), (0o666, "buildkit", "error"), (0o600, "root", "warning")],
)
def test_the_socket(mode: int, group: str, severity: str | None) -> None:
    found = health.find(SPEC, file(paths.SOCKET, mode=mode, group=group)(settled()))
    assert [each.severity for each in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("command", "toml", "severity"),
    [
        ("--addr unix:///run/buildkit/buildkitd.sock", "", None),
        ("--addr tcp://0.0.0.0:1234", "", "error"),
        ("--addr=tcp://10.0.0.5:1234", "", "error"),
        ("--addr tcp://[::1]:1234", "", "warning"),
        ("--addr tcp://127.0.0.1:1234", "", "info"),
        ("--addr tcp://0.0.0.0:1234 --tlscacert /ca.pem", "", None),
        ("--addr tcp://0.0.0.0:1234 --tlscert /cert.pem", "", "error"),
        ("--addr tcp://0.0.0.0:1234", '[grpc.tls]\nca = "/ca.pem"', None),
        ("", '[grpc]\naddress = ["tcp://0.0.0.0:1234"]', "error"),
        ("--addr unix:///x", '[grpc]\naddress = ["tcp://0.0.0.0:1234"]', None),
        ("'unbalanced --addr tcp://0.0.0.0:1", "= nonsense", "error"),
    ],
)
def test_listeners(command: str, toml: str, severity: str | None) -> None:
    spec = recorded.buildkit(listen=("tcp://127.0.0.1:1234",))
    facts = both(daemon(command=f"/opt/buildkitd {command}"), file(paths.CONFIG, text=toml))(settled())
    found = [each for each in health.find(spec, facts) if each.id == "listener-open"]
    assert [each.severity for each in found] == ([severity] if severity else [])


def test_tmpdir_is_the_daemons_own() -> None:
    here = Mount(point="/scratch", type="tmpfs", options=frozenset({"rw", "noexec"}))
    facts = replace(settled(), mounts=(*settled().mounts, here))
    assert ids(facts) == []
    moved = daemon(tmpdir="/scratch/tmp")(facts)
    assert ids(both(lists("linux/amd64"))(moved)) == [("worker-tmpdir", None)]


def test_a_variant_that_is_not_here_is_no_matter_of_a_restart() -> None:
    wish = Spec(platforms=("linux/amd64", "linux/amd64/v4"))
    (found,) = [each for each in health.find(wish, settled(wish)) if each.platform == "linux/amd64/v4"]
    assert found.id == "worker-unlisted"
    assert not found.fix.commands, "a restart is of no use"


def test_the_wrong_emulator_at_boot() -> None:
    facts = settled()
    text = facts.files[paths.rule("aarch64")].text or ""
    for other, evidence in (
        (text.replace(":PF", ":P"), "no F flag"),
        (text.replace("/usr/bin/qemu-aarch64-static", "/opt/qemu"), "not there"),
    ):
        ours = paths.rule("aarch64")
        rules = tuple(replace(each, text=other) if each.path == ours else each for each in facts.rules)
        found = only(replace(facts, rules=rules))
        assert (found.id, found.platform) == ("boot-broken", ARM64)
        assert evidence in found.evidence


@pytest.mark.parametrize(("flags", "written"), [("F", "F"), ("PCF", "POCF")])
def test_another_way_to_run_at_boot_under_the_same_name(flags: str, written: str) -> None:
    """P shifts arguments, C keeps privileges: the emulator alone does not tell."""
    facts = settled()
    ours = paths.rule("aarch64")
    rules = tuple(
        replace(each, text=each.text.replace(":PF", f":{flags}")) if each.path == ours else each
        for each in facts.rules
    )
    found = only(replace(facts, rules=rules))
    assert (found.id, found.platform) == ("boot-differs", ARM64)
    assert f"flags {written}" in found.evidence


def rule(path: str, text: str = "", target: str = "") -> Rule:
    return Rule(path=path, target=target, text=text)


def line(name: str, interpreter: str = "/i") -> str:
    return binfmt.format_rule(replace(binfmt.handler(of_platform(ARM64), interpreter, "F"), name=name))


def test_the_order_of_binfmt_d() -> None:
    """binfmt.d(5): by file name over all folders, the highest folder's file of a name, /dev/null masks."""
    rules = (
        rule("/usr/lib/binfmt.d/b.conf", line("b", "/usr/b")),
        rule("/usr/lib/binfmt.d/masked.conf", line("masked")),
        rule("/usr/lib/binfmt.d/z.conf", line("b", "/last/b")),
        rule("/run/binfmt.d/c.conf", line("c")),
        rule("/etc/binfmt.d/b.conf", f"# ours\n{line('b', '/etc/b')}\n{line('d')}\nnonsense\n"),
        rule("/etc/binfmt.d/masked.conf", target="/dev/null"),
        rule("/etc/binfmt.d/empty.conf"),
    )
    found = boot.registrations(SPEC, replace(settled(), rules=rules))
    assert [(each.entry.name, each.entry.interpreter) for each in found] == [("b", "/last/b"), ("d", "/i")]


@settings(deadline=None)
@given(st.lists(st.sampled_from([arch.qemu for arch in ARCHITECTURES]), unique=True))
def test_the_forecast_of_todays_files_is_todays_table(names: list[str]) -> None:
    """What this tool writes, a boot registers, in whatever order it was written."""
    entries = [binfmt.handler(arch, f"/q/{arch.qemu}", "PF") for arch in ARCHITECTURES if arch.qemu in names]
    rules = tuple(
        rule(f"/etc/binfmt.d/{each.name}.conf", binfmt.format_rule(each)) for each in reversed(entries)
    )
    found = boot.registrations(SPEC, replace(settled(), rules=rules))
    assert sorted(each.entry.name for each in found) == sorted(each.name for each in entries)


def test_who_owns_an_entry() -> None:
    facts = settled()
    arm64 = view(of_platform(ARM64), SPEC, facts)
    assert arm64.winner
    assert arm64.owner(arm64.winner) == "provision"
    files = {path: each for path, each in facts.files.items() if path != paths.rule("aarch64")}
    assert view(of_platform(ARM64), SPEC, replace(facts, files=files)).owner(arm64.winner) == "distribution"
    alone = replace(facts, files=files, rules=())
    assert view(of_platform(ARM64), SPEC, alone).owner(arm64.winner) == "unknown"
    without = {path: each for path, each in facts.interpreters.items() if path != arm64.winner.interpreter}
    held = replace(alone, interpreters=without)
    assert view(of_platform(ARM64), SPEC, held).owner(arm64.winner) == "container"


def test_an_upgrade_with_a_link_in_between() -> None:
    """The handler names a link: that it names another file now is what counts."""
    facts = with_interpreter(settled(), "/usr/bin/qemu-aarch64-static", identity="1:2")
    assert ids(facts) == [("emulator-replaced", ARM64)]


def test_worst_first_and_the_threshold() -> None:
    facts = both(
        system(cgroup_memory=False), file(paths.SOCKET, mode=0o666), unit(paths.SERVICE, restarts=2)
    )(settled())
    found = health.find(SPEC, facts)
    assert [each.severity for each in found] == ["error", "warning", "warning"]
    assert [health.reaches(each, "error") for each in found] == [True, False, False]
    assert all(health.reaches(each, "info") for each in found)


def test_what_binfmt_support_brings_back_is_not_missing_at_boot() -> None:
    """Debian 11 and Ubuntu 22.04, whose packages have no file in binfmt.d."""
    gone = replace(settled(), rules=tuple(r for r in settled().rules if "aarch64" not in r.name))
    assert ("boot-missing", ARM64) in ids(gone)
    support = replace(gone.binfmt, support=frozenset({"qemu-aarch64"}))
    enabled = {**gone.units, paths.BINFMT_SUPPORT: Unit(load="loaded", file_state="enabled")}
    assert ids(replace(gone, binfmt=support, units=enabled)) == []
    assert ("boot-missing", ARM64) in ids(replace(gone, binfmt=support))
