"""What the facts script says of process 1, of OpenRC's services, of a daemon without systemd, and of containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision import paths
from provision.facts import DaemonMark, Facts, InitScript
from provision.facts.managers import running_manager
from provision.services import openrc, process
from provision.services.manager import Seen
from tests.shells.machine import Machine

KEYWORDS = "#!/sbin/openrc-run\ndepend()\n{\n\tkeyword -docker -lxc -vserver\n}\n"


def boot_with_openrc(machine: Machine, kind: str = "") -> None:
    machine.at("/run/systemd/system").rmdir()
    machine.write("/run/openrc/softlevel", "default")
    machine.fake(
        "openrc", f'case $1 in --version) echo "openrc (OpenRC) 0.45.2" ;; --sys) echo "{kind}" ;; esac'
    )


def service(machine: Machine, name: str, text: str, state: str = "", *levels: str) -> None:
    machine.write(f"{paths.INIT_SCRIPTS}/{name}", text, 0o755)
    folders = [
        *([f"/run/openrc/{state}"] if state else []),
        *(f"{paths.RUNLEVELS}/{each}" for each in levels),
    ]
    for folder in folders:
        machine.at(folder).mkdir(parents=True, exist_ok=True)
        machine.at(f"{folder}/{name}").symlink_to(f"{paths.INIT_SCRIPTS}/{name}")


def test_process_1_and_a_namespace_of_its_own(machine: Machine) -> None:
    facts = machine.facts()
    assert facts.system.init == Path("/proc/1/comm").read_text().rstrip("\n")
    # The host in a folder has a user namespace, and so a table of its own.
    assert facts.system.shared_table is False
    assert (running_manager(facts.system), facts.system.openrc) == ("systemd", None)


@pytest.mark.parametrize(("file", "name"), [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")])
def test_what_names_a_container(machine: Machine, file: str, name: str) -> None:
    machine.write(file, "")
    facts = machine.facts()
    assert (facts.system.container, facts.system.shared_table) == (name, False)


def test_neither(machine: Machine) -> None:
    machine.at("/run/systemd/system").rmdir()
    facts = machine.facts()
    assert running_manager(facts.system) == "process"
    assert (facts.init_scripts, facts.mark) == ({}, DaemonMark())


def test_a_host_of_openrc(machine: Machine) -> None:
    boot_with_openrc(machine)
    service(machine, "buildkit", "#!/sbin/openrc-run\n", "started", "default", "other")
    service(machine, "binfmt", KEYWORDS, "", "boot")
    service(machine, "procfs", KEYWORDS, "failed")
    service(machine, "sshd", "", "started", "default")
    machine.write("/run/openrc/options/buildkit/start_count", "3")
    facts = machine.facts()
    assert (facts.system.openrc, facts.system.systemd) == ("0.45.2", None)
    assert running_manager(facts.system) == "openrc"
    assert facts.init_scripts == {
        "buildkit": InitScript(state="started", runlevels=("default", "other"), restarts=3),
        "binfmt": InitScript(runlevels=("boot",)),
        "procfs": InitScript(state="failed"),
    }


@pytest.mark.parametrize(
    ("kind", "keyword", "refuses"),
    [
        ("LXC", "keyword -docker -lxc -vserver", True),
        ("LXC", "keyword nolxc", True),
        ("LXC", "keyword -containers", True),
        ("LXC", "keyword -lxcfs", False),
        ("SYSTEMD-NSPAWN", "\tkeyword -docker -lxc -openvz -prefix -systemd-nspawn -vserver -wsl", True),
        ("", "keyword -docker -lxc", False),
        ("DOCKER", "# keyword -docker", False),
        ("DOCKER", "need keyword -docker", False),
    ],
)
def test_a_service_that_does_not_start_in_such_a_container(
    machine: Machine, kind: str, keyword: str, refuses: bool
) -> None:
    boot_with_openrc(machine, kind)
    service(machine, "binfmt", f"#!/sbin/openrc-run\ndepend() {{\n{keyword}\n}}\n", "", "boot")
    assert machine.facts().init_scripts["binfmt"].refuses == refuses


def test_openrc_that_did_not_boot_the_machine_counts_for_nothing(machine: Machine) -> None:
    machine.at("/run/systemd/system").rmdir()
    machine.fake("openrc")
    service(machine, "buildkit", "#!/sbin/openrc-run\n")
    facts = machine.facts()
    assert (running_manager(facts.system), facts.init_scripts, machine.calls()) == ("process", {}, [])


@pytest.mark.parametrize(
    ("mark", "state"), [("4294967295 5", "ended"), ("1 5", "ended"), ("", "ended"), (None, "none")]
)
def test_a_daemon_that_has_ended(machine: Machine, mark: str | None, state: str) -> None:
    if mark is not None:
        machine.write(paths.STARTED, f"{mark}\n")
    machine.write(
        paths.LOG,
        "of before\n=== buildkitd starts, v1\nbuildkitd: no | room\nmain.main\n\tmain.go:1\nlast line\n",
    )
    facts = machine.facts()
    assert (facts.mark.state, facts.daemon) == (state, None)
    # Without the stack, and without what an earlier daemon printed.
    assert facts.mark.last_words == ("buildkitd: no | room / last line" if mark is not None else "")
    read = process.read(seen(facts, script=True)).service
    assert read.state == {"ended": "failed", "none": "stopped"}[state]
    assert openrc.read(seen(facts, script=True)).service.state == "missing"


def seen(facts: Facts, *, script: bool) -> Seen:
    return Seen(init_scripts=facts.init_scripts, script=script, mark=facts.mark)
