"""A daemon is replaced in each shell: builds are waited for, and one that is worse than the old one is taken back."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from provision import paths
from provision.facts import Daemon, File
from provision.facts.view import MARK
from provision.plan.record import plan_tidying
from provision.plan.rollback import plan_rollback
from provision.plan.steps import RecordLines, SaveGeneration, StartDaemon, Step, WaitForBuilds
from provision.spec import Spec
from tests.lab.patience import until
from tests.shells import steps
from tests.shells.machine import Applied, Machine
from tests.shells.test_apply_lock import begin, states

OLD, NEW = "/opt/buildkit/v1-aaaaaaaaaaaa", "/opt/buildkit/v2-bbbbbbbbbbbb"

BUILDCTL = """#!/bin/sh
# Answers for the daemon whose release the link names.
[ ! -e /lab/silent ] || exit 1
case "$*" in
  *histories*) echo "TYPE REF"; cat /lab/builds 2>/dev/null; true ;;
  *workers*) cat "${0%/bin/buildctl}/platforms" ;;
esac
"""
SERVICE = """#!/bin/sh
# A service that starts if its release may.
echo "$1" >>/lab/told
case $1 in
  restart) [ ! -e /opt/buildkit/current/broken ] || { echo "no space for the cache" >&2; exit 1; } ;;
esac
"""
SAVE = SaveGeneration(
    id="save",
    action="save",
    target="it",
    generation="old",
    version="BuildKit v1",
    folder=OLD,
    files=(paths.CONFIG,),
)
START = StartDaemon(
    id="service-restart",
    action="restart",
    target="it",
    manager="process",
    service="buildkitd",
    generation="new",
    back="old",
    platforms=("linux/amd64", "linux/arm64", "linux/arm"),
)
DRAIN = WaitForBuilds(id="drain", action="wait for", target="builds", seconds=600)
CHANGE: tuple[Step, ...] = (
    SAVE,
    steps.file(paths.CONFIG, f"{MARK} new\n"),
    steps.link(paths.CURRENT, NEW),
)


@pytest.fixture
def host(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A daemon of release 1 runs; release 2 is unpacked."""
    place(machine, OLD)
    place(machine, NEW)
    machine.at(paths.CURRENT).symlink_to(OLD)
    machine.write(paths.CONFIG, f"{MARK} old\n")
    machine.write(paths.SERVICE_SCRIPT, SERVICE, 0o755)
    machine.write(f"{paths.STATE}/cache.db", "new format")
    machine.write(f"{paths.STATE}/runc-overlayfs/metadata_v2.db", "more")
    machine.at(paths.SOCKET_FOLDER).mkdir(parents=True)
    # A socket's path has at most 107 bytes (unix(7)).
    monkeypatch.chdir(machine.at(paths.SOCKET_FOLDER))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("buildkitd.sock")
    assert machine.apply(steps.link(paths.CURRENT, OLD)).states == ["done"]
    return machine


def place(machine: Machine, folder: str) -> None:
    """A release whose daemon is good."""
    machine.write(f"{folder}/bin/buildctl", BUILDCTL, 0o755)
    machine.write(f"{folder}/platforms", "linux/amd64 linux/amd64/v2 linux/arm64 linux/arm/v7 ")


def seen(machine: Machine) -> tuple[str, str]:
    """The release and the settings that the next start takes."""
    return str(machine.at(paths.CURRENT).readlink()), machine.at(paths.CONFIG).read_text().split()[-1]


def change(machine: Machine, start: StartDaemon = START) -> Applied:
    return machine.apply(*CHANGE, start)


def told(machine: Machine) -> list[str]:
    return machine.at("/lab/told").read_text().split()


def test_a_good_daemon_stays_and_the_old_one_is_saved(host: Machine) -> None:
    assert change(host).states == ["done"] * 4
    assert seen(host) == (NEW, "new")
    assert host.at(f"{paths.PREVIOUS}/files{paths.CONFIG}").read_text() == f"{MARK} old\n"
    saved = host.facts().previous
    assert saved is not None
    assert (saved.generation, saved.version, saved.folder) == ("old", "BuildKit v1", OLD)
    assert {path: file.text for path, file in saved.files.items()} == {paths.CONFIG: f"{MARK} old\n"}
    assert sorted(host.listing(paths.OWN)) == ["previous", "record"]


def test_one_that_does_not_start_is_taken_back(host: Machine) -> None:
    host.write(f"{NEW}/broken", "")
    applied = change(host)
    assert applied.states == ["done", "done", "done", "failed"]
    words = applied.steps["service-restart"].detail.split("\n")[0]
    assert words == "no space for the cache; taken back: BuildKit v1 runs again"
    assert seen(host) == (OLD, "old")
    assert told(host) == ["restart", "restart"]
    # What runs is no way back.
    assert host.facts().previous is None


def test_after_a_failure_the_way_back_is_the_one_from_before(host: Machine) -> None:
    assert change(host).states == ["done"] * 4
    host.write(f"{NEW}/platforms", "linux/amd64")
    again = replace(SAVE, generation="new", version="BuildKit v2", folder=NEW)
    third = steps.file(paths.CONFIG, f"{MARK} third\n")
    narrow = replace(START, generation="third", back="new", platforms=("linux/s390x",))
    assert host.apply(again, third, narrow).states == ["done", "done", "failed"]
    assert seen(host) == (NEW, "new")
    saved = host.facts().previous
    assert saved is not None
    assert saved.generation == "old"
    assert host.apply(again, third, replace(narrow, platforms=("linux/amd64",))).states == ["done"] * 3
    saved = host.facts().previous
    assert saved is not None
    assert saved.generation == "new"
    assert sorted(host.listing(paths.OWN)) == ["previous", "record"]


@pytest.mark.parametrize(
    ("platforms", "words"),
    [
        ("linux/amd64 linux/arm64", "buildkitd does not list linux/arm"),
        ("linux/amd64 linux/arm64/v8 linux/armv7", "buildkitd does not list linux/arm"),
    ],
)
def test_one_that_lists_less_is_taken_back(host: Machine, platforms: str, words: str) -> None:
    host.write(f"{NEW}/platforms", platforms)
    applied = change(host)
    assert applied.steps["service-restart"].detail == f"{words}; taken back: BuildKit v1 runs again"
    assert seen(host) == (OLD, "old")


def test_where_nothing_can_be_brought_back_it_is_stopped_for_good(host: Machine) -> None:
    host.write(f"{NEW}/broken", "")
    for back in ("", "another generation"):
        applied = change(host, replace(START, back=back))
        detail = applied.steps["service-restart"].detail.split("\n")[0]
        assert detail == "no space for the cache; it is stopped, and no boot starts it"
        assert told(host)[-2:] == ["restart", "stop"]
        assert seen(host) == (NEW, "new")


def test_the_old_one_may_fail_too_and_that_is_said(host: Machine) -> None:
    host.write(f"{OLD}/broken", "")
    host.write(f"{NEW}/broken", "")
    words = change(host).steps["service-restart"].detail.split("\n")[0]
    assert words.startswith("no space for the cache; what ran before does not come up either: no space")
    # Not started again and again.
    assert words.endswith("it is stopped, and no boot starts it")
    assert told(host) == ["restart", "restart", "stop"]


def test_before_an_older_one_has_the_state_its_databases_are_copied(host: Machine) -> None:
    applied = change(host, replace(START, copy_for="v2"))
    assert applied.states == ["done"] * 4
    assert told(host) == ["stop", "restart"]
    copy = f"{paths.OWN}/state-of-v2"
    assert host.at(f"{copy}/cache.db").read_text() == "new format"
    assert host.at(f"{copy}/runc-overlayfs/metadata_v2.db").read_text() == "more"


def test_builds_are_waited_for_with_words(host: Machine) -> None:
    host.write("/lab/builds", "STARTED a\nSTARTED b\nCOMPLETE c\n")
    heard: list[str] = []
    thread, journal = begin(host, DRAIN, steps.file("/etc/a", "a"))
    journal.listener = lambda step, state, words: heard.append(f"{step} {state} {words}")
    assert until(lambda: "drain begin waits for running builds: 2 (at most 10 min more)" in heard)
    host.write("/lab/builds", "STARTED b\n")
    assert until(lambda: any("builds: 1 (" in each for each in heard))
    assert not host.at("/etc/a").exists()
    host.write("/lab/builds", "COMPLETE c\n")
    thread.join()
    assert states(journal) == ["done", "done"]


def test_when_time_is_up_the_daemon_is_left_as_it_is(host: Machine) -> None:
    host.write("/lab/builds", "STARTED a\n")
    before = steps.file("/etc/before", "a", step="before")
    applied = host.apply(before, replace(DRAIN, seconds=1), *CHANGE, START)
    assert applied.states == ["done", "failed", *["skipped"] * 4]
    detail = applied.steps["drain"].detail
    assert detail == "time is up, and builds still run: 1. The daemon was left as it is"
    assert seen(host) == (OLD, "old")
    assert not host.at("/lab/told").exists()


def test_of_a_daemon_that_is_too_busy_to_answer_each_step_that_runs_counts(host: Machine) -> None:
    host.write("/lab/silent", "")
    host.write("/lab/buildkit-runc", "#!/bin/sh\nread -r _ </lab/gate\n", 0o755)
    host.space.run("mkfifo /lab/gate; setsid /lab/buildkit-runc </dev/null >/dev/null 2>&1 &")
    try:
        applied = host.apply(replace(DRAIN, seconds=1), START)
        assert applied.states == ["failed", "skipped"]
        assert applied.steps["drain"].detail.startswith("time is up, and builds still run: ")
    finally:
        host.space.run("echo >/lab/gate")


def test_a_build_that_began_meanwhile_is_waited_for_before_the_restart(host: Machine) -> None:
    busy = steps.link("/lab/builds", "/lab/one", step="busy")
    host.write("/lab/one", "STARTED a\n")
    applied = host.apply(replace(DRAIN, seconds=2), busy, START)
    assert applied.states == ["done", "done", "failed"]
    assert "builds still run: 1" in applied.steps["service-restart"].detail


def test_a_stop_ends_the_wait(host: Machine) -> None:
    host.write("/lab/builds", "STARTED a\n")
    heard: list[str] = []
    thread, journal = begin(host, DRAIN, steps.file("/etc/a", "a"))
    journal.listener = lambda _step, _state, words: heard.append(words)
    assert until(lambda: any("waits" in each for each in heard))
    host.space.stop()
    thread.join()
    assert states(journal) == ["failed", "skipped"]
    assert not host.at("/etc/a").exists()


@pytest.mark.parametrize("works", [True, False])
def test_a_restart_for_handlers_depends_on_them(host: Machine, *, works: bool) -> None:
    host.fake("groupadd", "" if works else "exit 1")
    made = replace(steps.group("buildkit"))
    object.__setattr__(made, "id", "handler-x")
    after = ("handler-y", "handler-x")
    host.write("/lab/builds", "")
    failing = steps.rule("/etc/binfmt.d/x.conf", ":x:", follows=True, step="handler-y")
    plan = (failing, made) if works else (failing,)
    applied = host.apply(*plan, replace(DRAIN, only_after=after), replace(START, only_after=after))
    expected = ["done", "done"] if works else ["skipped", "skipped"]
    assert applied.states[-2:] == expected
    assert host.at("/lab/told").exists() == works


def test_the_files_of_the_listener_go_back_with_it_and_no_copy_stays(host: Machine) -> None:
    host.write(paths.TLS_CERT, "old certificate", 0o600)
    saving = replace(SAVE, files=(paths.CONFIG, paths.TLS_CERT))
    plan = (
        saving,
        steps.file(paths.TLS_CERT, "new certificate", step="certificate"),
        steps.link(paths.CURRENT, NEW),
    )
    host.write(f"{NEW}/broken", "")
    assert host.apply(*plan, START).states[-1] == "failed"
    certificate = host.at(paths.TLS_CERT)
    assert (certificate.read_text(), certificate.stat().st_mode & 0o777) == ("old certificate", 0o600)
    place(host, NEW)
    assert host.apply(*plan, START).states[-1] == "done"
    assert certificate.read_text() == "new certificate"
    copies = [
        each
        for each in host.at(paths.OWN).rglob("*")
        if each.is_file() and "old certificate" in each.read_text()
    ]
    assert copies == []


def test_the_release_of_a_daemon_that_was_taken_back_is_gone_at_once(host: Machine) -> None:
    host.write(f"{NEW}/broken", "")
    remembered = RecordLines(
        id="r", action="write", target="it", lines=(f"release\t{OLD}", f"release\t{NEW}")
    )
    assert host.apply(remembered, *CHANGE, START).states[-1] == "failed"
    assert not host.at(NEW).exists()
    record = host.facts().record
    assert record is not None
    assert [entry.names for entry in record.of("release")] == [(OLD,)]


def test_a_release_that_is_the_way_back_stays(host: Machine) -> None:
    """A rollback to a daemon that does not start any more is taken back; it is what was saved before."""
    assert change(host).states == ["done"] * 4
    host.write(f"{OLD}/broken", "")
    back = replace(SAVE, generation="new", version="BuildKit v2", folder=NEW)
    assert (
        host.apply(back, steps.link(paths.CURRENT, OLD), replace(START, back="new")).states[-1] == "failed"
    )
    assert (seen(host)[0], host.at(OLD).exists()) == (NEW, True)
    saved = host.facts().previous
    assert saved is not None
    assert saved.folder == OLD


@pytest.mark.parametrize("starts", ["new", "old"])
def test_what_runs_is_no_way_back_whichever_it_is(host: Machine, starts: str) -> None:
    """After a rollback that was cut: what it had saved may be started again, or what it went back to."""
    assert change(host).states == ["done"] * 4
    assert host.apply(replace(SAVE, generation="new", version="BuildKit v2", folder=NEW)).states == ["done"]
    assert host.apply(replace(START, generation=starts, back="")).states == ["done"]
    facts = host.facts()
    assert (facts.previous and facts.previous.generation) == {"new": "old", "old": "new"}[starts]
    assert facts.older is None


def test_a_run_that_was_cut_between_the_two_names_has_its_way_back(host: Machine) -> None:
    assert change(host).states == ["done"] * 4
    host.at(paths.PREVIOUS).rename(host.at(f"{paths.PREVIOUS}{paths.OLDER}"))
    assert host.apply(replace(SAVE, generation="new", version="BuildKit v2", folder=NEW)).states == ["done"]
    facts = host.facts()
    assert (facts.previous and facts.previous.generation) == "new"
    assert (facts.older and facts.older.generation) == "old"


def test_what_was_saved_before_is_the_way_back_of_a_run_that_was_cut(host: Machine) -> None:
    assert change(host).states == ["done"] * 4
    # As a rollback that was cut before the restart.
    assert host.apply(replace(SAVE, generation="new", version="BuildKit v2", folder=NEW)).states == ["done"]
    facts = host.facts()
    assert (facts.previous and facts.previous.generation, facts.older and facts.older.generation) == (
        "new",
        "old",
    )
    cut = replace(facts, daemon=Daemon(executable="", generation="new"), releases={OLD: "a", NEW: "b"})
    assert facts.older is not None
    unit = File(path=paths.UNIT, mode=0o644, text="unit")
    cut = replace(cut, older=replace(facts.older, files={**facts.older.files, paths.UNIT: unit}))
    spec = Spec(platforms=("linux/arm64",))
    assert plan_rollback(spec, cut).generation == "old"
    assert plan_tidying(cut) == ()
    # Once the other one runs, it is of no use.
    (tidy,) = plan_tidying(replace(cut, daemon=Daemon(executable="", generation="old")))
    assert host.apply(tidy).states == ["done"]
    assert host.facts().older is None
    assert sorted(host.listing(paths.OWN)) == ["previous", "record"]
