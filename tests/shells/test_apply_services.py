"""What the apply script tells each service manager, with which words, and what it makes of their failures."""

from __future__ import annotations

from provision import paths
from tests.shells import steps
from tests.shells.machine import Machine
from tests.shells.test_apply_programs import HOSTILE


def test_openrc_starts_the_daemon_last_and_handlers_early(machine: Machine) -> None:
    for name in ("rc-update", "rc-service"):
        machine.fake(name)
    for level in ("boot", "default"):
        machine.at(f"{paths.RUNLEVELS}/{level}").mkdir(parents=True)
    for level in ("default", "other"):
        machine.at(f"{paths.RUNLEVELS}/{level}").mkdir(parents=True, exist_ok=True)
        machine.at(f"{paths.RUNLEVELS}/{level}/buildkit").symlink_to("/etc/init.d/buildkit")
    machine.answer()
    applied = machine.apply(
        steps.service("enable", "provision-binfmt", manager="openrc"),
        steps.service("enable", "buildkit", manager="openrc"),
        steps.start("buildkit", manager="openrc"),
        steps.service("stop", "buildkit", manager="openrc"),
        steps.service("disable", "buildkit", manager="openrc"),
    )
    assert applied.states == ["done"] * 5
    assert machine.calls() == [
        ["rc-update", "add", "provision-binfmt", "boot"],
        ["rc-update", "add", "buildkit", "default"],
        ["rc-service", "--nocolor", "buildkit", "restart"],
        ["rc-service", "--nocolor", "buildkit", "stop"],
        ["rc-update", "delete", "buildkit", "default"],
        ["rc-update", "delete", "buildkit", "other"],
    ]


def test_without_a_manager_the_script_is_told(machine: Machine) -> None:
    machine.write(paths.SERVICE_SCRIPT, '#!/bin/sh\nprintf "%s\\n" "$@" >>/lab/told\n', 0o755)
    machine.answer()
    applied = machine.apply(
        steps.start("buildkitd", manager="process"), steps.service("stop", "buildkitd", manager="process")
    )
    assert applied.states == ["done"] * 2
    assert machine.at("/lab/told").read_text() == "restart\nstop\n"


def test_the_last_words_of_a_daemon_are_those_of_the_step(machine: Machine) -> None:
    words = "buildkit-service: buildkitd ended at once\nthe disk is full\n"
    machine.write(paths.SERVICE_SCRIPT, f"#!/bin/sh\nprintf '{words}' >&2\nexit 1\n", 0o755)
    machine.fake("rc-service", f"printf '{words}' >&2; exit 1")
    for manager in ("process", "openrc"):
        applied = machine.apply(steps.start("buildkit", manager=manager))
        assert applied.only.status == "failed"
        assert "buildkitd ended at once the disk is full; it is " in applied.only.detail.splitlines()[0]


def test_several_managers_in_one_plan(machine: Machine) -> None:
    """One hands over to the other."""
    for name in ("rc-update", "rc-service", "systemctl", "systemd-tmpfiles"):
        machine.fake(name)
    machine.answer()
    applied = machine.apply(
        steps.service("stop", "buildkit.service"),
        steps.service("disable", "buildkit.service"),
        steps.start("buildkit", manager="openrc"),
    )
    assert applied.states == ["done"] * 3
    assert [call for call in machine.calls() if call[1] != "daemon-reload"] == [
        ["systemctl", "stop", "buildkit.service"],
        ["systemctl", "disable", "buildkit.service"],
        ["rc-service", "--nocolor", "buildkit", "restart"],
    ]


def test_any_name_is_one_word(machine: Machine) -> None:
    machine.fake("rc-update")
    plan = [
        steps.service("enable", value, manager="openrc", step=f"enable-{number}")
        for number, value in enumerate(HOSTILE)
    ]
    assert machine.apply(*plan).states == ["done"] * len(plan)
    assert machine.calls() == [["rc-update", "add", value, "boot"] for value in HOSTILE]


def test_where_nothing_mounts_the_table_it_is_mounted(machine: Machine) -> None:
    for manager in ("openrc", "process"):
        machine.open("true")
        assert machine.apply(steps.mount(manager)).states == ["done"]
        assert machine.space.run(f"ls {paths.BINFMT}").split() == ["register", "status"]
