"""The plan for each service manager: what is written, enabled, started, and handed over from another."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from provision import paths
from provision.facts import DaemonMark, Facts, InitScript, Unit
from provision.plan.steps import MountBinfmt, RunService, StartDaemon, WriteFile, WriteRule
from provision.services.manager import Name
from provision.spec import Spec
from tests.unit.recorded import SPEC, buildkit, facts, ids, planned, run_by, without_arm64

BARE = facts("bare")
NAMES: tuple[Name, ...] = get_args(Name)
OPENRC = replace(BARE, system=replace(BARE.system, systemd=None, openrc="0.45.2"), units={})
NOTHING = replace(BARE, system=replace(BARE.system, systemd=None, init="tini"), units={})


def told(seen: Facts, spec: Spec = SPEC) -> list[tuple[str, str, str, str]]:
    """What service managers are told by the plan."""
    return [
        (step.id, step.manager, step.verb if isinstance(step, RunService) else "restart", step.service)
        for step in planned(seen, spec).steps
        if isinstance(step, RunService | StartDaemon)
    ]


def written(seen: Facts, spec: Spec = SPEC) -> dict[str, str]:
    steps = [step for step in planned(seen, spec).steps if isinstance(step, WriteFile)]
    return {step.path: step.mode for step in steps if step.path != paths.CONFIG}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_to_be_done_where_all_is_done(name: Name) -> None:
    assert ids(planned(run_by(name))) == []
    assert ids(planned(run_by(name), buildkit(service=name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_managers_differ_in_what_the_daemon_is_started_from(name: Name) -> None:
    """A host whose manager changes gets another daemon, with the same settings."""
    others = {planned(run_by(other)).generation for other in NAMES if other != name}
    assert planned(run_by(name)).generation not in others


def test_a_bare_host_with_systemd() -> None:
    assert written(BARE) == {paths.TMPFILES: "0644", paths.UNIT: "0644"}
    assert told(BARE) == [
        ("binfmt-boot", "systemd", "enable", "proc-sys-fs-binfmt_misc.mount"),
        ("service-start", "systemd", "restart", "buildkit.service"),
        ("service-enable", "systemd", "enable", "buildkit.service"),
    ]


def test_a_bare_host_with_openrc() -> None:
    """Debian's has no service that reads binfmt.d; where the distribution has one, that is enabled."""
    files = {paths.SERVICE_SCRIPT: "0755", paths.OPENRC_SCRIPT: "0755"}
    assert written(OPENRC) == {**files, paths.OPENRC_LOADER: "0755"}
    assert told(OPENRC) == [
        ("binfmt-boot", "openrc", "enable", "provision-binfmt"),
        ("service-start", "openrc", "restart", "buildkit"),
        ("service-enable", "openrc", "enable", "buildkit"),
    ]
    alpine = replace(OPENRC, init_scripts={"procfs": InitScript(), "binfmt": InitScript()})
    assert written(alpine) == files
    assert [words[0:4:3] for words in told(alpine)[:2]] == [
        ("binfmt-boot", "procfs"),
        ("binfmt-boot-1", "binfmt"),
    ]


def test_a_bare_host_without_a_service_manager() -> None:
    assert written(NOTHING) == {paths.SERVICE_SCRIPT: "0755"}
    assert told(NOTHING) == [("service-start", "process", "restart", "buildkitd")]
    # Nothing reads modules-load.d at boot there.
    absent = replace(NOTHING, binfmt=replace(NOTHING.binfmt, present=False))
    assert written(absent) == {paths.SERVICE_SCRIPT: "0755"}
    assert paths.MODULES in written(replace(OPENRC, binfmt=absent.binfmt))


@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_mounted_by_whoever_is_there(name: Name) -> None:
    seen = {"systemd": BARE, "openrc": OPENRC, "process": NOTHING}[name]
    (step,) = (each for each in planned(seen).steps if isinstance(each, MountBinfmt))
    assert step.manager == name


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_says_who_reads_it(name: Name) -> None:
    seen = {"systemd": BARE, "openrc": OPENRC, "process": NOTHING}[name]
    (header,) = {each.header for each in planned(seen).steps if isinstance(each, WriteRule)}
    words = {
        "systemd": "systemd-binfmt loads",
        "openrc": "OpenRC loads",
        "process": "buildkit-service start",
    }
    assert header.startswith("# Written by provision. ")
    assert words[name] in header
    assert header.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_whoever_runs_the_daemon_restarts_it(name: Name) -> None:
    assert told(without_arm64(run_by(name)))[0][:3] == ("service-restart", name, "restart")


def test_a_daemon_that_was_killed_is_started() -> None:
    seen = run_by("process")
    killed = replace(seen, mark=DaemonMark(state="ended", pid=671), daemon=None, worker=None)
    assert told(killed) == [("service-start", "process", "restart", "buildkitd")]
    words = "could not lock / giving up"
    (step,) = planned(replace(killed, mark=DaemonMark(state="ended", last_words=words))).steps
    assert step.detail == f"ended by itself; it printed last: {words}"
    stopped = replace(killed, mark=DaemonMark())
    assert told(stopped) == told(killed)


def test_a_script_that_was_changed_is_written_anew_and_the_daemon_started_from_it() -> None:
    seen = run_by("process")
    spec = buildkit(listen=("tcp://127.0.0.1:1234",))
    made = planned(seen, spec)
    assert ids(made) == ["drain", "save", "buildkit-script", "service-restart"]
    mode = replace(seen.files[paths.SERVICE_SCRIPT], mode=0o644)
    (step,) = planned(replace(seen, files={**seen.files, paths.SERVICE_SCRIPT: mode})).steps
    assert (step.id, "+mode 0755 root:root" in step.detail) == ("buildkit-script", True)


def test_the_daemon_of_another_manager_is_stopped_first() -> None:
    """Two cannot share the state."""
    systemd = run_by("systemd")
    assert told(systemd, buildkit(service="process")) == [
        ("systemd-disable", "systemd", "disable", "buildkit.service"),
        ("systemd-stop", "systemd", "stop", "buildkit.service"),
        ("service-start", "process", "restart", "buildkitd"),
    ]
    failing = replace(systemd.units[paths.SERVICE], active="activating", sub="auto-restart")
    looping = replace(systemd, units={**systemd.units, paths.SERVICE: failing})
    assert "systemd-stop" in ids(planned(looping, buildkit(service="process")))
    assert [words[0] for words in told(run_by("openrc"), buildkit(service="process"))] == [
        "openrc-disable",
        "openrc-stop",
        "service-start",
    ]
    # One that a script started, on a machine that has booted with systemd since.
    left = replace(run_by("process"), system=systemd.system, units=BARE.units)
    assert [words[0] for words in told(left) if words[0] != "binfmt-boot"] == [
        "process-stop",
        "service-start",
        "service-enable",
    ]


def test_openrc_and_its_script_are_not_two() -> None:
    seen = run_by("openrc")
    assert "process-stop" not in ids(planned(seen))
    stopped = InitScript(runlevels=("default",))
    beside = replace(seen, init_scripts={**seen.init_scripts, "buildkit": stopped})
    assert ids(planned(beside)) == ["service-start"]


def test_a_container_that_shares_the_table_is_told_so_once() -> None:
    def notes(seen: Facts) -> list[str]:
        return [note for note in planned(seen).notes if "shares the kernel's table" in note]

    shared = replace(NOTHING, system=replace(NOTHING.system, shared_table=True, container="docker"))
    assert notes(shared) == [
        "this container (docker) shares the kernel's table: handlers work for the whole machine around it"
    ]
    assert notes(NOTHING) == []
    # Nothing is registered by this run.
    settled = run_by("process")
    assert notes(replace(settled, system=replace(settled.system, shared_table=True))) == []


def test_a_masked_unit_is_systemds_affair_alone() -> None:
    seen = replace(run_by("process"), units={paths.SERVICE: Unit(load="masked", file_state="masked")})
    assert told(seen) == []


@pytest.mark.parametrize(("state", "planned_"), [("enabled", True), ("disabled", False)])
def test_binfmt_support_comes_after_what_drops_its_handlers(state: str, planned_: bool) -> None:
    """Ubuntu 22.04: our rules make systemd-binfmt run at boot, and handlers of jar, mono and python would be lost."""
    bare = facts("bare")
    units = {**bare.units, paths.BINFMT_SUPPORT: Unit(load="loaded", file_state=state)}
    made = planned(replace(bare, binfmt=replace(bare.binfmt, support_early=True), units=units))
    assert ("binfmt-order" in ids(made)) is planned_
