"""Findings for each service manager: true for it, and with its own commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from provision import health, paths
from provision.facts import DaemonMark, Facts, InitScript
from provision.fix import PROVISION, HostCommand, run
from provision.health.explain import explain
from provision.result import Finding
from provision.services import manager_of
from provision.services.manager import Name
from provision.spec import Spec
from tests.unit.health.test_every_finding import all_faults
from tests.unit.recorded import SPEC, buildkit, facts, run_by

NAMES: tuple[Name, ...] = get_args(Name)
OTHER: dict[Name, tuple[str, ...]] = {
    "systemd": ("rc-", "buildkit-service", "OpenRC"),
    "openrc": (
        "systemctl",
        "journalctl",
        "systemd",
        ".service",
        "buildkit-service st",
        "buildkit-service res",
    ),
    "process": ("systemctl", "journalctl", "systemd", ".service", "rc-", "OpenRC"),
}
"""Words that have no place on a host of that manager."""


def found(seen: Facts, spec: Spec = SPEC) -> dict[str, Finding]:
    """By id; under `process` without what is true of every host."""
    every = {each.id: each for each in health.find(spec, seen)}
    if seen.system.systemd is None and seen.system.openrc is None:
        assert every.pop("boot-nothing").severity == "info"
    return every


def script(**changes: object) -> Callable[[Facts], Facts]:
    def change(seen: Facts) -> Facts:
        changed = replace(seen.init_scripts["buildkit"], **changes)  # type: ignore[arg-type]
        return replace(seen, init_scripts={**seen.init_scripts, "buildkit": changed})

    return change


@pytest.mark.parametrize("name", NAMES)
def test_a_healthy_host(name: Name) -> None:
    assert found(run_by(name)) == {}
    assert found(run_by(name), buildkit(service=name)) == {}


def test_nothing_brings_a_process_back_and_that_is_no_fault() -> None:
    (only,) = health.find(SPEC, run_by("process"))
    assert (only.id, only.severity) == ("boot-nothing", "info")
    assert "process 1 (init)" in only.evidence
    assert only.fix.words.endswith(": /usr/local/lib/provision/buildkit-service start")
    assert only.fix.commands == ()
    links, _ = explain(SPEC, run_by("process"), "linux/arm64")
    boot = next(each for each in links if each.id == "boot")
    assert (boot.status, boot.seen) == ("ok", only.evidence)


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_host(name: Name) -> None:
    bare = facts("bare")
    systemd = bare.system.systemd if name == "systemd" else None
    system = replace(bare.system, systemd=systemd, openrc="0.45.2" if name == "openrc" else None)
    (only,) = health.find(SPEC, replace(bare, system=system))
    assert only.id == "not-provisioned"
    assert manager_of(name).path in only.evidence


@pytest.mark.parametrize(
    ("change", "name", "commands"),
    [
        (script(runlevels=()), "service-disabled", (run("rc-update", "add", "buildkit", "default"),)),
        (script(state=""), "service-stopped", (run("rc-service", "buildkit", "start"),)),
        (
            lambda seen: replace(seen, mark=DaemonMark(state="ended")),
            "service-stopped",
            (run("tail", "-n", "30", paths.LOG), PROVISION),
        ),
        (script(restarts=2), "service-restarts", (run("tail", "-n", "30", paths.LOG),)),
        (
            lambda seen: replace(seen, daemon=replace(seen.daemon, generation="0" * 16)),
            "service-settings",
            (run("rc-service", "buildkit", "restart"),),
        ),
        (
            lambda seen: replace(seen, worker=None, worker_error="context deadline exceeded"),
            "worker-silent",
            (run("rc-service", "buildkit", "restart"),),
        ),
        (
            lambda seen: replace(seen, init_scripts={}, mark=DaemonMark(), worker=None, daemon=None),
            "service-missing",
            (PROVISION,),
        ),
    ],
)
def test_faults_under_openrc(
    change: Callable[[Facts], Facts], name: str, commands: tuple[HostCommand, ...]
) -> None:
    seen = found(change(run_by("openrc")))
    assert seen[name].fix.commands == commands
    assert set(seen) - {name, "boot-no-loader", "boot-no-mount"} == set()


@pytest.mark.parametrize(
    ("change", "name", "commands"),
    [
        (
            lambda seen: replace(seen, mark=DaemonMark()),
            "service-stopped",
            (run(paths.SERVICE_SCRIPT, "start"),),
        ),
        (
            lambda seen: replace(seen, mark=DaemonMark(state="ended")),
            "service-stopped",
            (run("tail", "-n", "30", paths.LOG), PROVISION),
        ),
        (
            lambda seen: replace(seen, daemon=replace(seen.daemon, generation="0" * 16)),
            "service-settings",
            (run(paths.SERVICE_SCRIPT, "restart"),),
        ),
        (
            lambda seen: replace(seen, binfmt=replace(seen.binfmt, held=False)),
            "",
            (),
        ),
    ],
)
def test_faults_without_a_service_manager(
    change: Callable[[Facts], Facts], name: str, commands: tuple[HostCommand, ...]
) -> None:
    seen = found(change(run_by("process")))
    assert set(seen) == ({name} if name else set())
    if name:
        assert seen[name].fix.commands == commands


def test_what_openrc_will_not_bring_back() -> None:
    seen = run_by("openrc")
    disabled = {**seen.init_scripts, "binfmt": InitScript()}
    assert found(replace(seen, init_scripts=disabled))["boot-no-loader"].fix.commands == (
        run("rc-update", "add", "binfmt", "boot"),
    )
    # binfmt.sh does not read the folder where this rule is.
    ours = paths.rule("aarch64")
    moved = tuple(
        replace(rule, path=f"/usr/local/lib/binfmt.d/{rule.name}") if rule.path == ours else rule
        for rule in seen.rules
    )
    # That of the package, which ours no longer hides.
    assert "/usr/lib/binfmt.d/" in found(replace(seen, rules=moved))["boot-differs"].evidence
    assert found(replace(run_by("systemd"), rules=moved)) == {}


@pytest.mark.parametrize("name", ["openrc", "process"])
def test_a_daemon_that_ended_is_told_with_its_last_words(name: Name) -> None:
    mark = DaemonMark(state="ended", last_words="could not lock the state")
    stopped = found(replace(run_by(name), mark=mark, worker=None, daemon=None))["service-stopped"]
    assert stopped.evidence.endswith("; it printed last: could not lock the state")


@pytest.mark.parametrize("wanted", ["systemd", "openrc"])
def test_a_manager_that_is_asked_for_and_does_not_run(wanted: str) -> None:
    seen = replace(run_by("process"), worker=None)
    missing = {each.id: each for each in health.find(buildkit(service=wanted), seen)}["service-missing"]
    title = {"systemd": "systemd", "openrc": "OpenRC"}[wanted]
    assert missing.evidence == f"{title} does not run here"
    assert 'service = "auto"' in missing.fix.words


@pytest.mark.parametrize("name", ["openrc", "process"])
def test_no_finding_names_another_managers_commands(name: Name) -> None:
    """All faults that do not depend on the manager, on a host of each."""
    base = run_by(name)
    seen = 0
    for fault, _ in all_faults():
        try:
            changed = fault.change(base)
        except KeyError:  # it changes a unit of systemd, which is not there
            continue
        if changed.system.systemd is not None:
            continue  # it makes a host of its own
        for each in health.find(fault.spec, changed):
            words = [each.evidence, each.consequence, each.fix.words]
            words += [command.line for command in each.fix.commands if isinstance(command, HostCommand)]
            seen += 1
            for word in OTHER[name]:
                assert word not in " ".join(words), each
    assert seen > 40
