"""Containers in a machine: namespaces in a namespace whose table of handlers is the machine's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from provision import binfmt
from provision.architectures import of_platform
from provision.errors import KernelError, ReleaseError
from provision.facts import Facts
from provision.health import emulation
from provision.health.platforms import rows
from provision.plan.requirements import EMULATION
from provision.plan.target import Target
from provision.spec import Emulation, Spec
from tests.kernel.host import TableHost
from tests.kernel.namespace import TABLE, Namespace
from tests.lab import requirements

ARM64: Final = of_platform("linux/arm64")
WANTED: Final = Spec(
    platforms=("linux/amd64", "linux/arm64"), emulation=Emulation(interpreters="/usr/bin/qemu-{qemu}-static")
)
MORE: Final = replace(WANTED, platforms=("linux/arm64", "linux/s390x"))
OWN_USERS: Final = ("--user", "--map-root-user")
PROC: Final = "mount -t proc proc /proc"
"""After it the machine's table is not mounted."""
BOUND: Final = f"mount --bind {TABLE} /mnt && {PROC} && mount --bind /mnt {TABLE}"
INNER: Final = ("--mount", "--pid", "--fork", "--kill-child", "sh", "-c")
HOLD: Final = "echo ready && read end"
FIRST: Final = "user:[4026531837]"
"""Where a machine's own users are (PROC_USER_INIT_INO)."""


@contextmanager
def container(machine: Namespace, *users: str, setup: str = PROC) -> Iterator[TableHost]:
    """One with mount and pid namespaces of its own, in that machine."""
    with held(machine.command("unshare", *users, *INNER, f"{setup} && {HOLD}")) as pid:
        host = TableHost(Inside(pid=child(pid)))
        with host:
            yield host


@contextmanager
def held(command: list[str]) -> Iterator[int]:
    """The process of a command that has said that it is ready, until the block ends."""
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "ready\n"
        yield holder.pid
        holder.stdin.close()


def child(pid: int) -> int:
    """The only child of a process: the first process of a container, as this machine numbers it."""
    (only,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(only)


@dataclass(frozen=True, kw_only=True)
class Inside(Namespace):
    """A container, or a machine of many users: its namespaces are entered as its root."""

    namespaces: tuple[str, ...] = ("--user", "--mount", "--pid", "--preserve-credentials")

    def command(self, *argv: str | Path) -> list[str]:
        return ["nsenter", *self.namespaces, f"--target={self.pid}", "--", *(str(word) for word in argv)]


@pytest.fixture
def machine(namespace: Namespace) -> Namespace:
    """Whose handler for arm64 works."""
    namespace.register(binfmt.handler(ARM64, "/usr/bin/qemu-aarch64-static", "PF"))
    return namespace


def target(spec: Spec, facts: Facts) -> Target:
    return Target(spec=spec, facts=facts, release=ReleaseError("none is needed here"))


def verdicts(spec: Spec, facts: Facts) -> dict[str, str]:
    lines = [each.line(target(spec, facts)) for each in EMULATION]
    return {line.id: line.status for line in lines if line.status != "ok"}


@pytest.mark.parametrize(
    "setup", [PROC, f"{BOUND} && mount -o remount,bind,ro {TABLE}"], ids=["not mounted", "read-only"]
)
def test_an_unprivileged_one_leaves_the_handlers_of_the_machine_alone(
    machine: Namespace, setup: str
) -> None:
    """Its own table would hide the handlers that work."""
    with container(machine, *OWN_USERS, setup=setup) as host:
        check_that_it_is_left_alone(host)
    assert machine.names() == ["qemu-aarch64"]


def test_one_whose_root_is_nobody_to_the_machine_leaves_its_table_alone() -> None:
    """Incus, LXC, Proxmox: the machine's table is mounted, read-write, and not to be written to."""
    requirements.require("root")
    root = ("--user", "--mount", "--setuid=0", "--setgid=0")
    with held(["unshare", "--user", "--mount", "sh", "-c", HOLD]) as outer:
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{outer}/{kind}").write_text("0 0 65536\n")
        machine = Inside(pid=outer, namespaces=root)
        assert machine.run("mount", "-t", "binfmt_misc", "binfmt_misc", TABLE).returncode == 0
        machine.register(binfmt.handler(ARM64, "/usr/bin/qemu-aarch64-static", "PF"))
        with held(machine.command("unshare", "--user", *INNER, HOLD)) as inner:
            made = Inside(pid=child(inner), namespaces=(*root, "--pid"))
            # Its root is the machine's user 1000.
            mapped = machine.run(
                "sh",
                "-c",
                f"for kind in uid gid; do echo 0 1000 1 >/proc/{made.pid}/${{kind}}_map || exit; done",
            )
            bound = made.run("sh", "-c", BOUND)
            assert (mapped.returncode, bound.returncode) == (0, 0), (mapped, bound)
            host = TableHost(made)
            with host:
                check_that_it_is_left_alone(host)
        assert machine.names() == ["qemu-aarch64"]


def check_that_it_is_left_alone(host: TableHost) -> None:
    facts = host.facts(WANTED)
    assert facts.system.contained
    assert not facts.binfmt.usable
    assert facts.probes["aarch64"].ran
    planned = host.planned(WANTED, facts)
    assert planned.steps == ()
    assert "run by handlers of the machine around this container" in planned.notes[0]
    assert verdicts(WANTED, facts) == {}
    assert emulation.findings(WANTED, facts) == ()
    row = next(each for each in rows(WANTED, facts) if each.platform == "linux/arm64")
    assert (row.mode, row.registered, row.owner) == ("emulated", True, "machine")

    more = host.facts(MORE)
    with pytest.raises(KernelError, match="linux/s390x"):
        host.planned(MORE, more)
    (found,) = emulation.findings(MORE, more)
    assert (found.id, found.severity) == ("handler-around", "error")
    assert "linux/s390x" in found.consequence
    assert host.facts(WANTED).probes["aarch64"].ran


def test_an_unprivileged_one_without_any_handler_gets_a_table_of_its_own(namespace: Namespace) -> None:
    with container(namespace, *OWN_USERS) as host:
        results = {each.id: each.status for each in host.emulate(WANTED)}
        assert results["binfmt-mount"] == results["handler-aarch64"] == "done"
        facts = host.facts(WANTED)
        assert facts.binfmt.usable
        assert facts.probes["aarch64"].ran
    assert namespace.names() == []


def test_a_privileged_one_says_so_and_goes_on(namespace: Namespace, tmp_path: Path) -> None:
    """A CI job with the machine's users and table. Only the number of its user namespace is another here."""
    told = tmp_path / "readlink"
    told.write_text(
        f'#!/bin/sh\n[ "$*" != /proc/self/ns/user ] || exec echo "{FIRST}"\nexec {tmp_path}/real "$@"\n'
    )
    told.chmod(0o755)
    setup = f"{PROC} && cp /usr/bin/readlink {tmp_path}/real && mount --bind {told} /usr/bin/readlink"
    with container(namespace, setup=setup) as host:
        facts = host.facts(WANTED)
        assert (facts.system.contained, facts.system.shared_table) == (True, True)
        assert verdicts(WANTED, facts) == {
            "binfmt-misc": "warning",
            "own-table": "warning",
            "f-flag": "warning",
        }
        planned = host.planned(WANTED, facts)
        (note,) = [each for each in planned.notes if "kernel's table" in each]
        assert "for the whole machine around it" in note
        assert {each.status for each in host.emulate(WANTED)} == {"done"}
        assert host.planned(WANTED, host.facts(WANTED)).steps == ()
    # The machine has it from now on.
    assert namespace.names() == ["qemu-aarch64"]
