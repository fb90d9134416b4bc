"""From question to proof in each shell: a bare host is provisioned, and the second run has nothing to do."""

from __future__ import annotations

import json
import platform
import re
import shutil
import socket
from dataclasses import fields, replace
from pathlib import Path

import pytest

from provision import elf, paths
from provision.buildkit.asset import asset_for
from provision.commands import change, inspect
from provision.commands.ask import ask_facts
from provision.commands.change import RunSettings
from provision.commands.once import Machines
from provision.errors import KernelError
from provision.facts import Facts
from provision.report.progress import Progress
from provision.result import HostResult
from provision.spec import Buildkit, Emulation, Spec
from tests.lab.mirror import Mirror
from tests.shells.archives import VERSION, plain, sha256
from tests.shells.machine import Machine
from tests.shells.steps import SCRIPT

FOREIGN = "linux/s390x"
EMULATOR = "qemu-s390x-static"
RELEASE = plain()
IDS = [
    *("packages", "binfmt-boot", "handler-s390x", "rule-s390x", "group", "release"),
    *("buildkit-config", "buildkit-tmpfiles", "buildkit-unit", "release-link", "buildctl-link"),
    *("service-start", "service-enable"),
]

pytestmark = [
    pytest.mark.needs("qemu-aarch64-static"),  # the package has them all
    pytest.mark.skipif(
        platform.machine() == "s390x", reason="it needs a foreign platform, and this one is not"
    ),
]


# What these are about is decided here, not there.
ONE_SHELL = pytest.mark.parametrize("machine", ["dash"], indirect=True)


def furnish(machine: Machine) -> Machine:
    """What a distribution brings: systemd, apt, shadow; and BuildKit's answer, for when it runs."""
    found = shutil.which(EMULATOR)
    assert found
    machine.write("/lab/emulator", Path(found).read_bytes(), 0o755)
    machine.base.place("systemctl", Path(__file__).with_name("systemctl.sh").read_text())
    machine.fake("systemd-tmpfiles")
    machine.fake("apt-get", f"cp /lab/emulator /usr/bin/{EMULATOR}")
    machine.base.borrow("cp")
    machine.fake("groupadd", 'echo "$2:x:998:" >>/etc/group')
    platforms = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "s390x"}]
    # The unit's start makes it.
    machine.at(paths.SCRATCH).mkdir(parents=True)
    machine.write("/lab/workers", json.dumps([{"id": "x", "platforms": platforms}]))
    return machine


@pytest.fixture(autouse=True)
def scripts_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the release here are scripts; test_apply_release has those of other machines."""
    monkeypatch.setattr(elf, "pattern", lambda _arch: SCRIPT)


@pytest.fixture
def host(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A Debian of sorts."""
    listen(furnish(machine), monkeypatch)
    return machine


def listen(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    # A socket's path has at most 107 bytes (unix(7)).
    monkeypatch.chdir(machine.at("/lab"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")


def order(tmp_path: Path, interpreters: str = "packages") -> tuple[Spec, RunSettings]:
    asset = asset_for(VERSION, platform.machine())
    mirror = tmp_path / "mirror"
    (mirror / VERSION).mkdir(parents=True, exist_ok=True)
    (mirror / VERSION / asset.name).write_bytes(RELEASE)
    spec = Spec(
        platforms=(FOREIGN,),
        emulation=Emulation(interpreters=interpreters),
        buildkit=Buildkit(mirror=str(mirror), sha256={asset.key: sha256(RELEASE)}),
    )
    return spec, RunSettings(cache=tmp_path / "cache", timeout=60, progress=Progress(), version=VERSION)


def provision(host: Machine, spec: Spec, run: RunSettings) -> HostResult:
    """A run of its own: in one run a machine is done once."""
    return change.provision(host.space, spec, replace(run, machines=Machines()), local=True)


def seen(result: HostResult) -> tuple[str, list[str], object]:
    return result.status, [step.id for step in result.steps], result.error


def test_from_bare_to_provisioned_and_nothing_the_second_time(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    planned = change.preview(host.space, spec, replace(run, machines=Machines()))
    assert seen(planned) == ("pending", IDS, None)
    assert host.listing("/opt") == []

    first = provision(host, spec, run)
    assert seen(first) == ("changed", IDS, None)
    assert {step.status for step in first.steps} == {"done"}
    (row,) = [row for row in first.platforms if row.platform == FOREIGN]
    assert (row.mode, row.registered, row.listed) == ("emulated", True, True)

    for _ in range(2):
        assert seen(provision(host, spec, run)) == ("ok", [], None)
    assert seen(change.preview(host.space, spec, replace(run, machines=Machines()))) == ("ok", [], None)


@ONE_SHELL
def test_a_run_ends_with_a_build_for_each_platform(host: Machine, tmp_path: Path) -> None:
    """Once for what is there: a run that changes nothing builds nothing."""
    spec, run = order(tmp_path)
    builds = host.at("/lab/builds")
    result = provision(host, spec, replace(run, proof=False))
    assert [row.builds for row in result.platforms if row.platform == FOREIGN] == [None]
    assert not builds.exists()

    # Nobody has proven what is there.
    result = provision(host, spec, run)
    assert (result.status, result.steps) == ("ok", ())
    assert [row.builds for row in result.platforms if row.platform == FOREIGN] == [True]
    (line,) = builds.read_text().splitlines()
    assert f"--opt platform={FOREIGN}" in line

    result = provision(host, spec, run)
    assert (result.status, len(builds.read_text().splitlines())) == ("ok", 1)
    assert [row.builds for row in result.platforms if row.platform == FOREIGN] == [None]
    host.space.run(f"rm {paths.BUILDCTL}")
    assert provision(host, spec, run).status == "changed"
    assert len(builds.read_text().splitlines()) == 2


@ONE_SHELL
def test_a_platform_that_does_not_build_is_a_failure_until_it_does(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    host.write("/lab/broken", "#5 0.1 exec /program: exec format error\nerror: failed to solve: x\n")
    for status in ("done", ""):
        result = provision(host, spec, run)
        assert (result.status, {step.status for step in result.steps}) == ("failed", {status} - {""})
        assert result.error
        assert result.error.message == f"the proof failed: no build for {FOREIGN}"
        assert "exec format error; error: failed to solve: x" in result.error.cause
        assert "no handler is registered for it" in result.error.cause
        assert [row.builds for row in result.platforms if row.platform == FOREIGN] == [False]
    host.at("/lab/broken").unlink()
    assert provision(host, spec, run).status == "ok"


class Thief(Progress):
    """Takes away what was saved, once the new daemon runs."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        del host, text
        if (step_id, state) == ("service-restart", "done"):
            shutil.rmtree(self.machine.at(paths.PREVIOUS))


@ONE_SHELL
def test_a_daemon_that_builds_less_gives_way_to_the_one_before(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    provision(host, spec, run)
    host.write("/lab/broken", "error: failed to solve: x\n")
    other = replace(spec, buildkit=replace(spec.buildkit, max_parallelism=2))
    result = provision(host, other, run)
    assert result.error
    assert result.error.message == f"the proof failed: no build for {FOREIGN}"
    assert result.error.cause.endswith("; taken back: the daemon of before runs again")
    names = [step.id for step in result.steps]
    assert names.count("service-restart") == 2
    assert names[-1] == "previous"
    host.at("/lab/broken").unlink()
    assert seen(provision(host, spec, run)) == ("ok", [], None)
    # Where what was saved is gone by then, both is said.
    host.write("/lab/broken", "error: failed to solve: x\n")
    lost = provision(host, other, replace(run, progress=Thief(host)))
    assert lost.error
    assert lost.error.cause.endswith("; it was not taken back: there is nothing to go back to")
    assert [step.id for step in lost.steps].count("service-restart") == 1


@pytest.mark.thorough
@ONE_SHELL
def test_only_what_was_spoiled_is_mended(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    provision(host, spec, run)
    spoil = {
        "rule-s390x": f"rm {paths.rule('s390x')}",
        "handler-s390x": f"echo -1 >{paths.BINFMT}/qemu-s390x",
        "buildkit-config": f"chmod 600 {paths.CONFIG}",
        "buildctl-link": f"rm {paths.BUILDCTL}",
        "group": "grep -v buildkit /etc/group >/etc/new; mv /etc/new /etc/group",
        "release": "rm /opt/buildkit/v*/.digest",
    }
    for step, script in spoil.items():
        host.space.run(script)
        result = provision(host, spec, run)
        ids = [each.id for each in result.steps]
        expected = [step, "rule-s390x"] if step == "handler-s390x" else [step]
        assert (result.status, ids) == ("changed", expected), (step, result)


def test_an_emulator_is_sent_with_the_release_behind_it(host: Machine, tmp_path: Path) -> None:
    found = shutil.which(EMULATOR)
    assert found
    shutil.copy(found, tmp_path / "emulator-s390x")
    spec, run = order(tmp_path, f"send:{tmp_path}/emulator-{{qemu}}")
    first = provision(host, spec, run)
    assert seen(first) == ("changed", ["binfmt-boot", "interpreter-s390x", *IDS[2:]], None)
    assert ["apt-get"] not in [call[:1] for call in host.calls()]
    assert seen(provision(host, spec, run)) == ("ok", [], None)


@ONE_SHELL
def test_a_failed_step_is_the_hosts_error_and_the_next_run_goes_on(host: Machine, tmp_path: Path) -> None:
    host.fake("groupadd", "echo 'groupadd: cannot lock /etc/group' >&2; exit 10")
    spec, run = order(tmp_path)
    result = provision(host, spec, run)
    assert result.status == "failed"
    assert result.error
    assert result.error.message == "create group buildkit failed"
    assert result.error.cause == "groupadd: cannot lock /etc/group"
    states = [step.status for step in result.steps]
    assert states == [*["done"] * 4, "failed", *["skipped"] * 8]
    host.fake("groupadd", 'echo "$2:x:998:" >>/etc/group')
    assert seen(provision(host, spec, run)) == ("changed", IDS[4:], None)


def test_an_old_kernel_is_refused_before_anything_changes(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    host.open(before=("setarch", "--uname-2.6")).run("systemctl --version")
    before = tree(host.root)
    (line,) = [line for line in inspect.check_host(host.space, spec, VERSION).checks if line.id == "kernel"]
    assert re.fullmatch(r"kernel 2\.6\.\S+ is too old", line.seen)
    assert line.status == "error"
    for refused in (change.provision, change.preview):
        with pytest.raises(KernelError) as caught:
            refused(host.space, spec, run, local=True)
        assert caught.value.message == line.seen
        assert caught.value.host_status == "failed"
    assert tree(host.root) == before
    assert host.space.run(f"ls {paths.BINFMT}").split() == ["register", "status"]
    assert host.calls() == []


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Every file below, with mode and size. What is mounted over a folder is not seen from outside."""
    return {str(path): (path.lstat().st_mode, path.lstat().st_size) for path in root.rglob("*")}


def comparable(facts: Facts) -> Facts:
    """Without what differs from moment to moment, and from userland to userland."""
    system = replace(facts.system, available=0, clock=0, native=b"", identity="")
    return replace(
        facts,
        system=system,
        tools=facts.tools & {"systemctl", "apt-get", "tar", "stat", "od", "groupadd"},
        daemon=facts.daemon and replace(facts.daemon, executable=""),
        last_run=facts.last_run and replace(facts.last_run, token=""),
        files={path: replace(each, modified=0) for path, each in facts.files.items()},
        # The lab's has no first line: a shell runs such a file as a script, or does not.
        basis=replace(facts.basis, runtime=None),
        disks={name: replace(disk, free=0, inodes=0) for name, disk in facts.disks.items()},
        interpreters={path: replace(each, identity="") for path, each in facts.interpreters.items()},
        probes={
            name: replace(
                each,
                expected=0,
                status=each.status - each.expected if each.ran or each.shifted else each.status,
                executable=each.executable.rpartition("/")[2],
                held="",
                milliseconds=None,
            )
            for name, each in facts.probes.items()
        },
    )


@pytest.mark.thorough
def test_the_three_shells_see_the_same(
    each_machine: tuple[Machine, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, run = order(tmp_path)
    found = []
    for machine in each_machine:
        listen(furnish(machine), monkeypatch)
        machine.write("/usr/lib/binfmt.d/a b.conf", ":x:E::x::/opt/none:\n|no end")
        bare = ask_facts(machine.space, spec)
        assert change.provision(machine.space, spec, run, local=True).status == "changed"
        found.append((comparable(bare), comparable(ask_facts(machine.space, spec))))
    for dash, *others in zip(*found, strict=True):
        for field in fields(dash):
            for other in others:
                assert getattr(other, field.name) == getattr(dash, field.name)


@ONE_SHELL
def test_a_host_with_curl_and_no_network_gets_the_release_from_here(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    host.fake("curl", "echo 'curl: (6) Could not resolve host: mirror' >&2; exit 6")
    with Mirror(tmp_path / "mirror") as mirror:
        spec = replace(spec, buildkit=replace(spec.buildkit, mirror=mirror.url))
        result = change.provision(host.space, spec, run)
        assert seen(result) == ("changed", IDS, None)
        assert any("curl: (6)" in note and "from here" in note for note in result.notes)
        assert [call[0] for call in host.calls()].count("curl") == 2
