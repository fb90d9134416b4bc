"""A run is killed in each of its steps: the next converges, the one after it changes nothing, nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from provision import elf, paths
from provision.commands import change, leave
from provision.report.progress import Progress
from tests.shells.machine import Machine
from tests.shells.steps import SCRIPT
from tests.shells.test_change import FOREIGN, IDS, ONE_SHELL, furnish, listen, order


class Killer(Progress):
    """Kills the script, with all that it started, as soon as a step begins."""

    def __init__(self, machine: Machine, step: str) -> None:
        self.machine = machine
        self.victim = step
        self.killed = False

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        del host, text
        if step_id == self.victim and state == "begin" and not self.killed:
            self.killed = True
            leader = int(self.machine.at(paths.RUN_LOCK).read_text().split("\t")[3])
            with suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)


def leftovers(machine: Machine) -> list[str]:
    found = [
        path
        for pattern in ("**/.provision.*", "**/.incoming.*", "tmp/provision.*", "**/*.new")
        for path in machine.root.glob(pattern)
    ]
    names = [each.name for each in found if "host" not in each.relative_to(machine.root).parts[:1]]
    table = machine.space.run(f"ls {paths.BINFMT}").split()
    return names + [each for each in table if each.endswith((".trial", ".standby"))]


@pytest.fixture
def host(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A Debian of sorts, where the programs of the release are scripts."""
    monkeypatch.setattr(elf, "pattern", lambda _arch: SCRIPT)
    listen(furnish(machine), monkeypatch)
    return machine


pytestmark = pytest.mark.needs("qemu-aarch64-static")


@pytest.mark.thorough
@ONE_SHELL
def test_killed_in_each_step(
    host: Machine, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    spec, run = order(tmp_path)
    cut = 0
    for step in IDS:
        killer = Killer(host, step)
        change.provision(host.space, spec, replace(run, progress=killer), local=True)
        assert killer.killed, step
        host.open()
        again = change.provision(host.space, spec, run, local=True)
        assert again.error is None, (step, again)
        third = change.provision(host.space, spec, run, local=True)
        assert (third.status, third.steps, third.error) == ("ok", (), None), (step, third)
        assert leftovers(host) == [], step
        (row,) = [row for row in again.platforms if row.platform == FOREIGN]
        assert (row.mode, row.registered) == ("emulated", True)
        # Bare again, for the next step.
        host.write(
            "/usr/bin/groupdel",
            '#!/bin/sh\ngrep -v "^$1:" /etc/group >/lab/g; cat /lab/g >/etc/group\n',
            0o755,
        )
        gone = leave.remove(host.space, spec, run, purge=True)
        assert gone.error is None, (step, gone)
        host.space.run("rm -f /usr/bin/qemu-s390x-static")
        cut += 1
    record_property("cuts", f"{cut} of {len(IDS)}")
    assert cut == len(IDS)
