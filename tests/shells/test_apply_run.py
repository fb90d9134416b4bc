"""How a run goes on, ends, or is ended: steps that fail, a user who stops it, a clock that runs out."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from provision import paths
from provision.apply import Journal, Upload, payload, script, uploads
from provision.errors import ConnectionLostError, DeadlineError
from provision.plan.steps import Plan, RegisterHandler, Step, Variant
from tests.lab.patience import until
from tests.shells import archives, steps
from tests.shells.archives import plain, sha256
from tests.shells.machine import WITHOUT_APPLETS, Machine

SLOW = "echo begun >/lab/begun; until [ -e /lab/go ]; do sleep 0.05; done"


def hopeless(qemu: str, *, optional: bool = False) -> RegisterHandler:
    """A handler whose emulator is not there."""
    interpreter = f"/usr/bin/qemu-{qemu}-static"
    variant = Variant(interpreter=interpreter, flags="PF", line=":a:", standby=":b:", trial=":c:")
    return RegisterHandler(
        id=f"handler-{qemu}",
        action="register",
        target=qemu,
        qemu=qemu,
        name=f"qemu-{qemu}",
        interpreter=interpreter,
        probe="\\177",
        trial_probe="\\177",
        argc=5,
        variants=(variant,),
        optional=optional,
    )


def leftovers(machine: Machine) -> list[str]:
    """Whatever a run made for itself and must not leave: all but the lock, which says who was there last."""
    places = ("/run", "/tmp", paths.RELEASES, "/etc/buildkit")
    return [
        f"{place}/{name}"
        for place in places
        if machine.at(place).exists()
        for name in machine.listing(place)
        if ("provision" in name and f"{place}/{name}" not in (paths.RUN_LOCK, paths.RUN_QUEUE))
        or "incoming" in name
    ]


def test_each_step_is_reported_as_it_begins_and_ends(machine: Machine) -> None:
    applied = machine.apply(steps.file("/etc/a", "a", step="a"), steps.file("/etc/b", "b", step="b"))
    assert applied.answer.records == (
        *("step\ta\tbegin\t\t\t", "step\ta\tdone\t\t\t"),
        *("step\tb\tbegin\t\t\t", "step\tb\tdone\t\t\t"),
    )
    assert (applied.answer.status, applied.answer.stderr) == (0, "")
    assert leftovers(machine) == []


def test_an_empty_plan_is_a_script_too(machine: Machine) -> None:
    applied = machine.apply()
    assert (applied.answer.status, applied.answer.records) == (0, ())


def test_after_a_fatal_failure_nothing_more_is_done(machine: Machine) -> None:
    machine.fake("groupadd", "echo 'no room' >&2; exit 4")
    applied = machine.apply(
        steps.file("/etc/a", "a", step="a"),
        steps.group("buildkit"),
        steps.file("/etc/b", "b", step="b"),
        steps.file("/etc/c", "c", step="c"),
    )
    assert applied.states == ["done", "failed", "skipped", "skipped"]
    assert applied.steps["group"].detail == "no room\nno room"
    assert {applied.steps[name].detail for name in "bc"} == {"after group"}
    assert (machine.at("/etc/a").exists(), machine.at("/etc/b").exists()) == (True, False)
    assert applied.answer.status == 1
    assert leftovers(machine) == []


def test_a_failed_handler_does_not_stop_the_others(machine: Machine) -> None:
    plan: tuple[Step, ...] = (
        hopeless("arm"),
        steps.rule(paths.rule("arm"), ":a:", follows=True, step="rule-arm"),
        hopeless("s390x", optional=True),
        steps.file("/etc/a", "a"),
    )
    applied = machine.apply(*plan)
    assert applied.states == ["failed", "skipped", "skipped", "done"]
    assert applied.steps["handler-arm"].detail == "there is no /usr/bin/qemu-arm-static"
    assert applied.steps["handler-s390x"].detail == "there is no /usr/bin/qemu-s390x-static"
    assert applied.answer.status == 1


def test_a_skipped_handler_alone_is_no_failure(machine: Machine) -> None:
    applied = machine.apply(hopeless("s390x", optional=True))
    assert (applied.states, applied.answer.status) == (["skipped"], 0)


def test_what_a_failed_step_said_cannot_pass_for_a_record(machine: Machine) -> None:
    machine.fake("groupadd", r"""printf 'step\tfile\tdone\t\n|x\n\tlast\tline\n' >&2; exit 1""")
    applied = machine.apply(steps.group("buildkit"), steps.file("/etc/a", "a"))
    assert applied.states == ["failed", "skipped"]
    assert applied.steps["group"].detail.split("\n") == [
        "step file done  |x  last line",
        "step\tfile\tdone\t",
        "|x",
        "\tlast\tline",
    ]


@pytest.mark.parametrize("way", ["stop", "cut"])
def test_stopped_the_step_is_finished_and_no_other_begun(machine: Machine, way: str) -> None:
    """Ctrl-C, and a link that breaks: the far end goes by the same rule."""
    machine.fake("groupadd", f"{SLOW}; echo ended >/lab/ended")
    plan = (steps.group("buildkit"), steps.file("/etc/a", "a"), steps.file("/etc/b", "b", step="b"))
    space = machine.space

    def end() -> None:
        assert until(machine.at("/lab/begun").exists)
        space.stop() if way == "stop" else space.close()
        time.sleep(1)  # for the word to get there: the far end says nothing
        machine.write("/lab/go", "")

    thread = threading.Thread(target=end)
    thread.start()
    if way == "stop":
        applied = machine.apply(*plan)
        assert applied.states == ["done", "skipped", "skipped"]
        assert {applied.steps[name].detail for name in ("file", "b")} == {"interrupted"}
    else:
        with pytest.raises(ConnectionLostError):
            machine.apply(*plan)
    thread.join()
    assert until(machine.at("/lab/ended").exists)
    assert until(lambda: not leftovers(machine))
    assert not machine.at("/etc/a").exists()


def test_stopped_while_bytes_are_sent_they_are_kept_for_the_next_run(
    machine: Machine, tmp_path: Path
) -> None:
    data = plain(more=os.urandom(6_000_000))
    unpack = steps.release(paths.release(archives.VERSION, sha256(data)), sha256(data))
    file = archives.save(tmp_path, data)
    part = f"{sha256(data)}.part"
    arrived = machine.at(f"{paths.CACHE}/{part}")
    after = tuple(steps.file("/etc/a", "a", step=f"after-{n}") for n in range(40))

    def send(there: int, *, stop: bool) -> list[str]:
        space, journal = machine.open(), Journal(steps=(unpack, *after))
        cached = {part: there} if there else {}
        wanted = uploads((unpack,), cached, lambda: file)

        def progress(_done: int, _all: int) -> None:
            if stop and arrived.exists() and arrived.stat().st_size:
                space.stop()

        with payload(wanted, progress) as sending:
            made = script(Plan(steps=(unpack, *after)), wanted)
            space.ask(made, timeout=30, payload=sending, on_record=journal.record)
        return [f"{each.status}: {each.detail}" for each in journal.results()]

    first, *others = send(0, stop=True)
    assert first == "failed: the bytes of a.tar.gz did not arrive whole"
    # The end of the bytes may be noticed before the stop is.
    assert set(others) <= {"skipped: after release", "skipped: interrupted"}
    assert others[-1] == "skipped: interrupted"
    kept = arrived.read_bytes()
    assert 0 < len(kept) < len(data)
    assert data.startswith(kept)
    assert not machine.at(paths.RELEASES).exists()
    assert set(send(len(kept), stop=False)) == {"done: "}


@WITHOUT_APPLETS
def test_when_time_is_up_nothing_half_done_stays(machine: Machine, tmp_path: Path) -> None:
    data = plain()
    machine.fake("tar", 'case $1 in -x*) sleep 60 ;; *) exec /host/usr/bin/tar "$@" ;; esac')
    step = steps.release(paths.release(archives.VERSION, sha256(data)), sha256(data))
    wanted = (Upload(step="release", file=archives.save(tmp_path, data), offset=0, length=len(data)),)
    journal = Journal(steps=(step,))
    with payload(wanted, lambda _done, _all: None) as sending, pytest.raises(DeadlineError):
        machine.space.ask(
            script(Plan(steps=(step,)), wanted), timeout=1, payload=sending, on_record=journal.record
        )
    assert [(each.status, each.detail) for each in journal.results()] == [("failed", "its end was not seen")]
    assert until(lambda: not leftovers(machine)), leftovers(machine)
    assert machine.listing(paths.RELEASES) == []
