"""One run at a time changes a host: with flock and without, after a crash, and many at once."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision import paths
from provision.apply import Journal, lock, script
from provision.apply.lock import Claim, LockedError
from provision.facts import LastRun
from provision.plan.steps import Plan, Step
from provision.result import StepResult
from provision.transport import StoppedError
from tests.lab.namespace import Namespace
from tests.lab.patience import until
from tests.shells import steps
from tests.shells.machine import Machine

SLOW = "echo $$ >/lab/begun; until [ -e /lab/go ]; do sleep 0.05; done"
ROUNDS = 25


@pytest.fixture(params=["flock", "numbers"])
def host(request: pytest.FixtureRequest, machine: Machine) -> Machine:
    """With flock, and without it."""
    if request.param == "flock":
        # Debian's busybox has no such applet.
        machine.base.place("flock", f'#!/bin/sh\nexec /host{shutil.which("flock")} "$@"\n')
    return machine


def begin(machine: Machine, *plan: Step, claim: Claim | None = None) -> tuple[threading.Thread, Journal]:
    """A run of its own session, in a thread."""
    space, journal = machine.open(), Journal(steps=plan)
    made = script(Plan(steps=plan), (), claim)
    thread = threading.Thread(target=lambda: space.ask(made, timeout=60, on_record=journal.record))
    thread.start()
    return thread, journal


def states(journal: Journal) -> list[str]:
    return [each.status for each in journal.results()]


def test_the_second_run_waits_for_the_first(host: Machine) -> None:
    host.fake("groupadd", SLOW)
    first, one = begin(host, steps.group("buildkit"))
    assert until(host.at("/lab/begun").exists)
    heard: list[tuple[str, str]] = []
    space, two = host.open(), Journal(steps=(steps.file("/etc/a", "a"),))
    two.listener = lambda step, state, words: heard.append((f"{step} {state}", words))
    made = script(Plan(steps=tuple(two.steps)))
    second = threading.Thread(target=lambda: space.ask(made, timeout=60, on_record=two.record))
    second.start()
    assert until(lambda: bool(heard))
    assert heard[0][0] == "lock begin"
    assert heard[0][1].startswith(f"waits for that of {lock._caller()}, since 2")
    assert not host.at("/etc/a").exists()
    host.write("/lab/go", "")
    first.join()
    second.join()
    assert (states(one), states(two)) == (["done"], ["done"])
    two.check_lock()


def test_a_run_that_does_not_end_is_named(host: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SECONDS", 1)
    host.fake("groupadd", SLOW)
    first, _ = begin(host, steps.group("buildkit"), claim=Claim(token="t", who="ops@ci1 of 'x'"))
    assert until(host.at("/lab/begun").exists)
    second, two = begin(host, steps.file("/etc/a", "a"))
    second.join()
    host.write("/lab/go", "")
    first.join()
    assert states(two) == ["skipped"]
    with pytest.raises(LockedError, match=r"that of ops@ci1 of 'x', since 2\d{3}-.* UTC"):
        two.check_lock()
    assert not host.at("/etc/a").exists()


def test_a_stop_ends_the_wait(host: Machine) -> None:
    host.fake("groupadd", SLOW)
    first, _ = begin(host, steps.group("buildkit"))
    assert until(host.at("/lab/begun").exists)
    second, two = begin(host, steps.file("/etc/a", "a"))
    time.sleep(0.5)
    host.opened[-1].stop()
    second.join()
    with pytest.raises(StoppedError):
        two.check_lock()
    host.write("/lab/go", "")
    first.join()


def test_a_killed_run_leaves_no_lock(host: Machine) -> None:
    """As when the machine has no memory left. What it had started has to end first."""
    host.fake("groupadd", SLOW)
    first, one = begin(host, steps.group("buildkit"))
    assert until(host.at("/lab/begun").exists)
    child = int(host.at("/lab/begun").read_text())
    leader = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    for process in (leader, child):
        os.kill(process, signal.SIGKILL)
    first.join()
    assert states(one) == ["failed"]
    seen = host.facts().last_run
    assert seen is not None
    assert seen.state == "killed"
    second, two = begin(host, steps.file("/etc/a", "a"), claim=Claim.after(seen))
    second.join()
    assert states(two) == ["done"]
    assert not queue(host)


def queue(host: Machine) -> list[str]:
    """The numbers that are drawn: none once all runs have ended."""
    return host.listing(paths.RUN_QUEUE) if host.at(paths.RUN_QUEUE).exists() else []


def test_what_a_service_starts_does_not_keep_the_lock(host: Machine) -> None:
    host.write(
        paths.SERVICE_SCRIPT, "#!/bin/sh\nsetsid sleep 30 >/dev/null 2>&1 &\necho $! >/lab/daemon\n", 0o755
    )
    host.answer()
    assert host.apply(steps.start("buildkitd", manager="process")).states == ["done"]
    assert host.apply(steps.file("/etc/a", "a")).states == ["done"]
    host.space.run(f"kill {host.at('/lab/daemon').read_text()}")


def test_facts_from_before_another_run_are_not_gone_by(host: Machine) -> None:
    before = host.facts().last_run
    assert before is None
    assert host.apply(steps.file("/etc/a", "a")).states == ["done"]
    after = host.facts().last_run
    assert after is not None
    assert after.state == "done"
    changing = replace(after, state="changing")
    for seen, states_ in ((before, ["skipped"]), (changing, ["skipped"]), (after, ["done"])):
        thread, journal = begin(host, steps.file("/etc/b", "b"), claim=Claim.after(seen))
        thread.join()
        assert (states(journal), journal.overtaken) == (states_, states_ == ["skipped"])
        journal.check_lock()


def test_facts_that_are_asked_while_a_run_is_at_work_say_so(host: Machine) -> None:
    host.fake("groupadd", SLOW)
    first, _ = begin(host, steps.group("buildkit"), claim=Claim(token="t", who="me"))
    assert until(host.at("/lab/begun").exists)
    host.open()
    assert host.facts().last_run == LastRun(token="t", state="changing")
    host.write("/lab/go", "")
    first.join()
    assert host.facts().last_run == LastRun(token="t", state="done")


def test_nobody_else_may_hold_the_lock(host: Machine) -> None:
    host.apply(steps.file("/etc/a", "a"))
    assert host.at(paths.RUN_LOCK).stat().st_mode & 0o777 == 0o600


@pytest.mark.thorough
@pytest.mark.parametrize("runs", [2, 4])
def test_never_two_at_work(host: Machine, runs: int, record_property: Callable[[str, object], None]) -> None:
    """Each run says when its step begins and ends; no other begins in between."""
    host.fake("groupadd", "echo begin >>/lab/order; sleep 0.01; echo end >>/lab/order")
    spaces = [host.open() for _ in range(runs)]
    results: list[StepResult] = []

    def work(space: Namespace) -> None:
        for _ in range(ROUNDS):
            journal = Journal(steps=(steps.group("buildkit"),))
            space.ask(script(Plan(steps=tuple(journal.steps))), timeout=120, on_record=journal.record)
            journal.check_lock()
            results.extend(journal.results())

    threads = [threading.Thread(target=work, args=(space,)) for space in spaces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order = host.at("/lab/order").read_text().split()
    assert order == ["begin", "end"] * (runs * ROUNDS)
    assert [each.status for each in results] == ["done"] * (runs * ROUNDS)
    assert not queue(host)
    record_property(f"{runs} runs at once, rounds", f"{ROUNDS} of {ROUNDS}")
