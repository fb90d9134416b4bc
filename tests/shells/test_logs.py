"""The script of `logs` in every shell: what it asks for, and how following ends."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision import paths
from provision.facts import Facts
from provision.logs import answer, question
from provision.logs.since import Since
from provision.spec import Buildkit, Spec
from tests.lab.patience import until
from tests.shells.machine import WITHOUT_APPLETS, Machine
from tests.unit.logs.test_builds import record
from tests.unit.recorded import settled

PROCESS = Spec(buildkit=Buildkit(service="process"))
SYSTEMD = Spec(buildkit=Buildkit(service="systemd"))
# Prints a history and, for one ref, a log.
CLIENT = """#!/bin/sh
printf '%s\\n' "$*" >>/lab/asked
case "$*" in
*histories*) cat /lab/history ;;
*'logs --progress plain'*) for ref do :; done; echo "#5 0.1 said by $ref"; echo "#5 error" ;;
esac
"""


def logs(machine: Machine, spec: Spec, seen: Facts | None = None, **more: object) -> answer.Answered:
    facts = seen or settled()
    count = 100
    script = question.script(spec, facts, count=count, since=None, **more)  # type: ignore[arg-type]
    said = machine.space.ask(script, timeout=60)
    assert said.status == 0, said.stderr
    return answer.read(spec, facts, said.records, count=count, since=None)


@pytest.fixture
def built(machine: Machine) -> Iterator[Machine]:
    """A host with a daemon's socket, and a history of three builds; two of them failed."""
    machine.write(f"{paths.RELEASES}/v1/bin/buildctl", CLIENT, 0o755)
    machine.at(paths.CURRENT).symlink_to("v1")
    lines = [record(Ref="fine", error=None), record(), record(Ref="x; touch /lab/owned")]
    machine.write("/lab/history", "\n".join(lines) + "\n")
    machine.at(paths.SOCKET_FOLDER).mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(machine.at(paths.SOCKET_FOLDER))  # its path may be too long for a socket's
        listener.bind(Path(paths.SOCKET).name)
        os.chdir(here)
        yield machine


def test_the_last_lines_of_builds_that_failed(built: Machine) -> None:
    seen = logs(built, PROCESS).logs
    assert [(row.ref, row.status) for row in seen.builds] == [("fine", "completed"), ("jd72k1", "failed")]
    assert [row.output for row in seen.builds] == [(), ("#5 0.1 said by jd72k1", "#5 error")]
    assert not built.at("/lab/owned").exists()
    asked = built.at("/lab/asked").read_text().splitlines()
    assert [line.partition(" debug ")[2] for line in asked] == [
        "histories --format {{json .}}",
        "logs --progress plain jd72k1",
    ]


def test_a_client_that_knows_no_history(built: Machine) -> None:
    built.write(f"{paths.RELEASES}/v1/bin/buildctl", "#!/bin/sh\necho 'No help topic' >&2; exit 3\n", 0o755)
    assert logs(built, PROCESS).notes == ("the history of builds cannot be read: No help topic",)


def test_a_file_and_the_one_before_it(machine: Machine) -> None:
    machine.write(f"{paths.LOG}.1", "old\n")
    machine.write(paths.LOG, "new | \\x\ttab\nlast, without an end")
    machine.write(paths.ENVIRONMENT, "A=1\n")
    seen = logs(machine, PROCESS, settings=True)
    assert seen.logs.lines == ("old", "new | \\x\ttab", "last, without an end")
    assert seen.environment == "A=1\n"
    assert seen.logs.killed is not None


def test_a_host_that_has_nothing(machine: Machine) -> None:
    seen = logs(machine, PROCESS)
    assert seen.logs.builds == ()
    assert [
        line for line in seen.logs.lines if "No such file" not in line and "can't open" not in line
    ] == []


@WITHOUT_APPLETS
def test_the_journal_is_asked_for_the_unit(machine: Machine) -> None:
    machine.fake(
        "journalctl", "case \"$*\" in *dmesg*) echo 'Killed process 1 (x)'; echo no;; *) echo a line;; esac"
    )
    since = Since(ago=600)
    script = question.script(SYSTEMD, settled(), count=7, since=since)
    said = machine.space.ask(script, timeout=60)
    assert machine.calls()[0][1:] == [
        "--no-pager",
        "--quiet",
        "--output=short-iso",
        f"--unit={paths.SERVICE}",
        "--lines=7",
        "--since=-600s",
    ]
    seen = answer.read(SYSTEMD, settled(), said.records, count=7, since=None).logs
    assert (seen.lines, seen.kills) == (("a line",), ("Killed process 1 (x)",))


@WITHOUT_APPLETS
def test_following_the_journal_ends_when_it_is_stopped(machine: Machine) -> None:
    machine.fake("journalctl", f"exec tail -n 100 -F {paths.LOG}")
    follow(machine, SYSTEMD)


def test_following_a_file_ends_when_it_is_stopped(machine: Machine) -> None:
    follow(machine, PROCESS)


def follow(machine: Machine, spec: Spec) -> None:
    machine.write(paths.LOG, "first\n")
    seen: list[str] = []

    def line(text: str) -> None:
        seen.append(text)
        if text == "first":
            with machine.at(paths.LOG).open("a") as log:
                log.write("second\n")
        if text == "second":
            threading.Thread(target=machine.space.stop).start()

    script = question.script(spec, settled(), count=100, since=None, following=True)
    said = machine.space.ask(script, timeout=60, on_record=line)
    assert (said.status, seen) == (0, ["first", "second"])
    # Whatever read the log has ended as well.
    assert until(lambda: not any("tail" in name for name in _programs(machine)))


def _programs(machine: Machine) -> list[str]:
    """What runs on the host, by name."""
    return [name for process in Path("/proc").glob("[0-9]*") if (name := _program(process, machine.root))]


def _program(process: Path, root: Path) -> str:
    try:
        within = (process / "root").readlink() == root
        return (process / "cmdline").read_bytes().decode().partition("\0")[0] if within else ""
    except OSError:
        return ""
