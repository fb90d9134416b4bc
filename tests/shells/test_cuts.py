"""A run is killed in each of its steps: the next converges, the one after it changes nothing, nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from provision import elf, paths
from provision.commands import change, leave
from provision.commands.change import RunSettings
from provision.commands.once import Machines
from provision.report.progress import Progress
from provision.spec import Spec
from tests.lab.namespace import MOUNTED
from tests.shells.machine import Machine
from tests.shells.steps import SCRIPT
from tests.shells.test_change import FOREIGN, IDS, ONE_SHELL, furnish, listen, order

Count = Callable[[str, object], None]


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


def converges(host: Machine, spec: Spec, run: RunSettings, cut: str) -> None:
    """The run after one that was cut, and the one after that. The host is bare again then."""
    host.open()
    again = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
    assert again.error is None, (cut, again)
    third = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
    assert (third.status, third.steps, third.error) == ("ok", (), None), (cut, third)
    assert leftovers(host) == [], cut
    (row,) = [row for row in again.platforms if row.platform == FOREIGN]
    assert (row.mode, row.registered) == ("emulated", True)
    host.write(
        "/usr/bin/groupdel",
        '#!/bin/sh\ngrep -v "^$1:" /etc/group >/lab/g; cat /lab/g >/etc/group\n',
        0o755,
    )
    gone = leave.remove(host.space, spec, replace(run, machines=Machines()), purge=True)
    assert gone.error is None, (cut, gone)
    host.space.run("rm -f /usr/bin/qemu-s390x-static")


@pytest.mark.thorough
@ONE_SHELL
def test_killed_in_each_step(host: Machine, tmp_path: Path, record_property: Count) -> None:
    spec, run = order(tmp_path)
    cut = 0
    for step in IDS:
        killer = Killer(host, step)
        change.provision(host.space, spec, replace(run, progress=killer, machines=Machines()), local=True)
        assert killer.killed, step
        converges(host, spec, run, step)
        cut += 1
    record_property("killed in steps", f"{cut} of {len(IDS)}")
    assert cut == len(IDS)


KILL: Final = f"""
kill_all() {{
  : >/lab/killed
  while IFS="$(printf '\\t')" read -r _ _ _ leader _; do kill -s KILL -- "-$leader"; done <{paths.RUN_LOCK}
}}
"""
REAL: Final = "/host/usr/bin"
MIDDLES: Final = {
    "half of the release is unpacked": (
        "tar",
        f'[ "$1" != -xzf ] || {{ head -c 30000 "$2" | {REAL}/tar -xzf - -C "$4"; kill_all; }}',
    ),
    "it is unpacked, and not on the disk": ("sync", '[ "$1" != -f ] || kill_all'),
    "it has its name": ("mv", f'case $1 in *.incoming.*) {REAL}/mv "$@"; kill_all ;; esac'),
    "a file has no name yet": ("mv", f'case "$*" in *{paths.UNIT}) kill_all ;; esac'),
    "the record is written": ("mv", f'case "$*" in *{paths.RECORD}) kill_all ;; esac'),
    "a link is made": ("ln", f'[ "$1" != -sfn ] || {{ {REAL}/ln "$@"; kill_all; }}'),
}
"""Where in a step the run is killed: by the program that it calls there."""


@pytest.mark.thorough
@ONE_SHELL
def test_killed_in_the_middle(host: Machine, tmp_path: Path, record_property: Count) -> None:
    spec, run = order(tmp_path)
    for cut, (name, (program, moment)) in enumerate(MIDDLES.items(), 1):
        host.base.place(program, f'#!/bin/sh\n{KILL}{moment}\nexec {REAL}/{program} "$@"\n')
        ended = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
        assert ended.error is not None, name
        assert host.at("/lab/killed").exists(), name
        host.at("/lab/killed").unlink()
        host.base.borrow(program)
        converges(host, spec, run, name)
        record_property("killed in the middle of steps", f"{cut} of {len(MIDDLES)}")


class Cutter(Killer):
    """Kills the script once half of an upload has been sent."""

    def transfer(self, host: str, kind: str, done: int, total: int | None) -> None:
        if total and done * 2 > total:
            self.step(host, self.victim, "begin", kind)


@ONE_SHELL
def test_killed_in_an_upload(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    cutter = Cutter(host, "upload")
    ended = change.provision(
        host.space, spec, replace(run, progress=cutter, machines=Machines()), local=True
    )
    assert cutter.killed
    assert ended.error is not None
    converges(host, spec, run, "upload")


FULL: Final = ("/etc/binfmt.d", "/etc/buildkit", paths.RELEASES, paths.CACHE, paths.OWN, "/usr/local/bin")


@pytest.mark.thorough
@ONE_SHELL
def test_a_disk_that_is_full_is_said_and_the_next_run_converges(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    for folder in FULL:
        host.at(folder).mkdir(parents=True, exist_ok=True)
        # One inode: that of the folder itself.
        host.open(f"{MOUNTED}; mount -t tmpfs -o nr_inodes=1 tmpfs {folder}")
        full = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
        assert full.status == "failed", folder
        assert full.error is not None
        assert "No space left on device" in full.error.cause, (folder, full)
        assert "free some room" in str(full.error.hint)
        converges(host, spec, run, folder)
