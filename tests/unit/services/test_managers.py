"""Each service manager: its files, and what is read out of what a host says of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, get_args

import pytest

from provision import paths
from provision.fix import PROVISION, run
from provision.services import MANAGERS, manager_of, openrc, process, systemd
from provision.services.manager import DaemonMark, InitScript, Name, Seen, Settings, Unit
from provision.spec import Buildkit, ServiceSetting

SETTINGS: Final = Settings(
    buildkit=Buildkit(group="builders", listen=("tcp://127.0.0.1:1234",)),
    version="v0.32.2",
    generation="abc",
)
STARTED: Final = InitScript(state="started", runlevels=("default",))
RUNNING: Final = DaemonMark(state="running", pid=7)


def by(service: InitScript | None = STARTED, **others: InitScript) -> Seen:
    """An OpenRC host with these init scripts; `_` in a name stands for `-`."""
    scripts = {name.replace("_", "-"): each for name, each in others.items()}
    return Seen(
        init_scripts={**scripts, **({"buildkit": service} if service else {})}, script=True, mark=RUNNING
    )


def test_every_setting_is_a_manager_or_auto() -> None:
    assert (
        set(get_args(ServiceSetting))
        == {"auto", *get_args(Name)}
        == {
            "auto",
            *(each.name for each in MANAGERS),
        }
    )
    assert [manager_of(each.name) for each in MANAGERS] == list(MANAGERS)


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda each: each.name)
def test_the_files_start_the_same_daemon(manager: object) -> None:
    assert isinstance(manager, type(MANAGERS[0]))
    files = {each.path: each for each in manager.files(SETTINGS)}
    assert manager.path in files
    assert len({each.id for each in files.values()}) == len(files)
    text = files[manager.path].text
    found = re.search(r"PROVISION_GENERATION=(\w+)", text)
    assert found
    assert found[1] == "abc"
    for words in (
        "/opt/buildkit/current/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR=/var/lib/buildkit/tmp",
        f"--config {paths.CONFIG} --group builders --addr unix://{paths.SOCKET} --addr tcp://127.0.0.1:1234",
        "/etc/buildkit/buildkitd.env",
    ):
        # The script names its folder of programs once.
        assert words in text.replace("$bin", "/opt/buildkit/current/bin").replace('"', ""), words
    # What the daemon is started from has one name, in which the name itself plays no part.
    other = manager.files(replace(SETTINGS, generation="def"))
    assert [each.text.replace("def", "abc") for each in other] == [
        each.text.replace("def", "abc") for each in files.values()
    ]


def test_what_is_run_may_be_run() -> None:
    modes = {each.path: each.mode for manager in MANAGERS for each in manager.files(SETTINGS)}
    assert modes == {
        paths.TMPFILES: 0o644,
        paths.UNIT: 0o644,
        paths.SERVICE_SCRIPT: 0o755,
        paths.OPENRC_SCRIPT: 0o755,
    }


@pytest.mark.parametrize(
    ("unit", "state", "words"),
    [
        (Unit(), "missing", ""),
        (Unit(load="not-found", active="inactive", sub="dead"), "missing", ""),
        (Unit(load="loaded", active="active", sub="running"), "running", "active (running)"),
        (Unit(load="loaded", active="inactive", sub="dead"), "stopped", "inactive (dead)"),
        (Unit(load="loaded", active="failed", sub="failed"), "failed", "failed (failed)"),
        (
            Unit(load="loaded", active="activating", sub="auto-restart"),
            "failed",
            "activating (auto-restart)",
        ),
        (Unit(load="loaded", active="activating", sub="start"), "stopped", "activating (start)"),
        (Unit(load="masked", active="inactive", sub="dead"), "stopped", "inactive (dead)"),
        (Unit(load="loaded"), "stopped", "unknown (unknown)"),
    ],
)
def test_states_of_systemd(unit: Unit, state: str, words: str) -> None:
    service = systemd.read(Seen(units={paths.SERVICE: unit})).service
    assert (service.state, service.words) == (state, words)
    assert service.masked == (unit.load == "masked")


def test_what_systemd_counts() -> None:
    unit = Unit(load="loaded", active="active", file_state="enabled", restarts=3, reload_due=True)
    service = systemd.read(Seen(units={paths.SERVICE: unit})).service
    assert (service.enabled, service.restarts, service.reload_due) == (True, 3, True)
    # Gone with /run.
    lost = replace(unit, file_state="enabled-runtime")
    assert systemd.read(Seen(units={paths.SERVICE: lost})).service.enabled is False


@pytest.mark.parametrize(
    ("script", "mark", "state", "words"),
    [
        (None, "running", "missing", ""),
        (STARTED, "running", "running", "started"),
        (STARTED, "ended", "failed", "started, but its daemon does not run"),
        (STARTED, "none", "failed", "started, but its daemon does not run"),
        (InitScript(), "none", "stopped", "stopped"),
        (InitScript(), "ended", "failed", "stopped"),
        (InitScript(state="failed"), "ended", "failed", "failed"),
        (InitScript(), "running", "stopped", "stopped, though a daemon runs beside it"),
        (InitScript(state="starting"), "none", "stopped", "starting"),
    ],
)
def test_states_of_openrc(script: InitScript | None, mark: str, state: str, words: str) -> None:
    seen = replace(by(script), mark=DaemonMark(state=mark))  # type: ignore[arg-type]
    service = openrc.read(seen).service
    assert (service.state, service.words) == (state, words)


def test_what_openrc_counts() -> None:
    script = InitScript(state="started", runlevels=("default",), restarts=2)
    service = openrc.read(by(script)).service
    assert (service.enabled, service.restarts) == (True, 2)
    assert openrc.read(by(replace(script, runlevels=()))).service.enabled is False


@pytest.mark.parametrize(
    ("mark", "script", "state"),
    [
        ("running", True, "running"),
        ("ended", True, "failed"),
        ("none", True, "stopped"),
        ("running", False, "missing"),
        ("none", False, "missing"),
    ],
)
def test_states_without_a_service_manager(mark: str, script: bool, state: str) -> None:
    reading = process.read(Seen(script=script, mark=DaemonMark(state=mark)))  # type: ignore[arg-type]
    assert (reading.service.state, reading.service.enabled) == (state, None)
    assert not reading.boot.happens


def test_what_openrc_brings_back() -> None:
    enabled, disabled = InitScript(runlevels=("boot",)), InitScript()
    # A distribution with both services.
    boot = openrc.read(by(procfs=enabled, binfmt=enabled)).boot
    assert (boot.lacks, boot.files, boot.enable) == ((), (), ())
    boot = openrc.read(by(procfs=disabled, binfmt=disabled)).boot
    assert (boot.files, boot.enable) == ((), ("procfs", "binfmt"))
    assert [(each.finding, each.fix.commands) for each in boot.lacks] == [
        ("boot-no-mount", (run("rc-update", "add", "procfs", "boot"),)),
        ("boot-no-loader", (run("rc-update", "add", "binfmt", "boot"),)),
    ]
    # One without (Debian), and one whose services do not start in a container.
    for seen in (by(), by(procfs=enabled, binfmt=replace(enabled, refuses=True)), by(procfs=enabled)):
        boot = openrc.read(seen).boot
        assert [each.path for each in boot.files] == [paths.OPENRC_LOADER]
        assert boot.enable == ("provision-binfmt",)
        (lack,) = boot.lacks
        assert (lack.finding, lack.fix.commands) == ("boot-no-loader", (PROVISION,))
    boot = openrc.read(by(provision_binfmt=disabled)).boot
    assert boot.lacks[0].fix.commands == (run("rc-update", "add", "provision-binfmt", "boot"),)
    boot = openrc.read(by(provision_binfmt=enabled)).boot
    assert (boot.lacks, boot.enable) == ((), ())
    # binfmt.sh does not read /usr/local/lib.
    assert boot.folders == ("/etc/binfmt.d", "/run/binfmt.d", "/usr/lib/binfmt.d")


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda each: each.name)
def test_every_command_has_a_program(manager: object) -> None:
    assert isinstance(manager, type(MANAGERS[0]))
    commands = manager.commands
    for verb in ("start", "stop", "restart", "status"):
        command = getattr(commands, verb)
        assert verb in command.arguments
        assert command.line == " ".join(command.arguments)
