"""Many hosts at once, each a real session with a sh of this machine: isolation, Ctrl-C, `--only-failed`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import (
    EXIT_INTERRUPTED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    HostError,
    UnreachableError,
    UsageError,
)
from provision.hosts.fleet import Fleet, Work
from provision.hosts.history import RunHistory
from provision.report.progress import Progress
from provision.result import HostResult, HostStatus, Report
from provision.spec import Host
from provision.transport import StoppedError, Transport
from provision.transport.local import Local
from tests.lab.cli import Outcome, provision
from tests.lab.sshd import free_port

# Ten steps of a tenth of a second; a stop is seen between two of them.
STEPS = 'for n in 1 2 3 4 5 6 7 8 9 10; do [ -z "$PROVISION_STOP" ] || exit 9; sleep 0.1; echo "$n"; done'


class Heard(Progress):
    """What was said of the run as a whole."""

    def __init__(self) -> None:
        self.expected: list[str] = []
        self.finished: dict[str, HostStatus] = {}
        self.said: list[str] = []

    def expect(self, hosts: object) -> None:
        self.expected = list(hosts)  # type: ignore[call-overload]

    def finish(self, host: str, status: HostStatus) -> None:
        self.finished[host] = status

    def say(self, text: str) -> None:
        self.said.append(text)


def hosts(*names: str) -> list[Host]:
    return [Host(name=name) for name in names]


def here(host: Host) -> Transport:
    """A session on this machine, without becoming anybody else."""
    return Local(name=host.name, become=False)


def fleet(work: Work, *, jobs: int = 8, canary: int = 0, progress: Progress | None = None) -> Fleet:
    shown = progress or Progress()
    return Fleet(connect=here, work=work, jobs=jobs, canary=canary, progress=lambda: shown)


def ended(transport: Transport, script: str, timeout: float = 30) -> HostResult:
    """A script as a host's whole work: status 0 is a change, 9 an interruption."""
    answer = transport.ask(script, timeout=timeout)
    if answer.status == 9:
        raise StoppedError(f"after {len(answer.records)} steps")
    status: HostStatus = "changed" if answer.status == 0 else "failed"
    return HostResult(host=transport.name, status=status, notes=answer.records)


def test_a_host_that_fails_in_any_way_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def work(transport: Transport, host: Host) -> HostResult:
        if host.name == "gone":
            raise UnreachableError("no answer")
        if host.name == "bad":
            raise HostError("no room")
        if host.name == "odd":
            raise ZeroDivisionError
        return ended(transport, "echo fine; exit 0")

    heard = Heard()
    names = ("one", "gone", "bad", "odd", "two")
    results = fleet(work, progress=heard).run(hosts(*names))
    assert [(result.host, result.status) for result in results] == [
        ("one", "changed"),
        ("gone", "unreachable"),
        ("bad", "failed"),
        ("odd", "failed"),
        ("two", "changed"),
    ]
    # An unexpected error is a defect of ours, in a log, and no traceback.
    assert results[3].error is not None
    assert results[3].error.code == "crash"
    (log,) = (tmp_path / "provision").glob("crash-*.log")
    assert "ZeroDivisionError" in log.read_text()
    assert heard.expected == list(names)
    assert heard.finished == {result.host: result.status for result in results}


def broken(_transport: Transport, _host: Host) -> HostResult:
    raise ZeroDivisionError


def test_a_defect_that_cannot_be_logged_is_a_result_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "provision").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    (result,) = fleet(broken).run(hosts("one"))
    assert result.error is not None
    assert result.error.code == "crash"
    assert "no log can be written; it was raised in " in result.error.hint


def test_no_host_is_waited_for_that_has_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def explain(_error: BaseException) -> None:
        raise MemoryError

    monkeypatch.setattr("provision.crash.explain", explain)
    first, second = fleet(broken).run(hosts("one", "two"))
    assert first.status == second.status == "failed"
    assert first.error is not None
    assert "MemoryError" in first.error.cause


def test_one_host_needs_no_announcement() -> None:
    heard = Heard()
    fleet(lambda transport, _host: ended(transport, "exit 0"), progress=heard).run(hosts("one"))
    assert (heard.expected, heard.finished) == ([], {})


@pytest.mark.parametrize("jobs", [1, 3])
def test_never_more_hosts_at_once_than_jobs(jobs: int) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(transport: Transport, _host: Host) -> HostResult:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        result = ended(transport, "sleep 0.1")
        with lock:
            now -= 1
        return result

    results = fleet(work, jobs=jobs).run(hosts(*"abcdefg"))
    assert [result.host for result in results] == list("abcdefg")
    assert most == jobs


def test_others_wait_for_the_canaries() -> None:
    order: list[str] = []

    def work(transport: Transport, host: Host) -> HostResult:
        result = ended(transport, "sleep 0.2" if host.name in "ab" else "exit 0")
        order.append(host.name)
        return result

    results = fleet(work, canary=2).run(hosts(*"abcde"))
    assert {result.status for result in results} == {"changed"}
    assert set(order[:2]) == {"a", "b"}


@pytest.mark.parametrize("canary", [1, 2])
def test_a_canary_that_does_not_come_out_well_keeps_the_others_from_being_begun(canary: int) -> None:
    begun: list[str] = []

    def work(transport: Transport, host: Host) -> HostResult:
        begun.append(host.name)
        return ended(transport, "exit 1" if host.name == "a" else "exit 0")

    results = fleet(work, canary=canary).run(hosts(*"abcd"))
    assert sorted(begun) == list("abcd"[:canary])
    assert [result.status for result in results] == ["failed", "changed", "skipped", "skipped"][:canary] + [
        "skipped"
    ] * (4 - canary)
    last = results[-1]
    assert last.error is not None
    assert (last.error.code, last.error.message) == ("not-started", "not started")
    assert "a (failed)" in last.error.cause
    report = Report(command="provision", hosts=results)
    assert report.exit_code == 3
    assert report.status == ("partial" if canary == 2 else "error")


def test_an_unreachable_canary_makes_the_run_unreachable() -> None:
    def work(_transport: Transport, _host: Host) -> HostResult:
        raise UnreachableError("no answer")

    report = Report(command="provision", hosts=fleet(work, canary=1).run(hosts(*"ab")))
    assert [host.status for host in report.hosts] == ["unreachable", "skipped"]
    assert report.exit_code == EXIT_UNREACHABLE


def pressing_ctrl_c(times: int, *, gap: float = 0.0) -> Callable[[str], None]:
    """A listener that presses Ctrl-C at the third step, as a terminal does it: a signal to the process."""
    pressed: list[float] = []

    def listen(record: str) -> None:
        if record == "3" and not pressed:
            pressed.append(time.monotonic())
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(gap)

    return listen


def test_ctrl_c_lets_hosts_finish_their_step_and_begins_no_other() -> None:
    listener = pressing_ctrl_c(1)
    heard = Heard()
    seen: dict[str, int] = {}

    def work(transport: Transport, host: Host) -> HostResult:
        answer = transport.ask(STEPS, timeout=30, on_record=listener)
        seen[host.name] = len(answer.records)
        if answer.status == 9:
            raise StoppedError(f"after {len(answer.records)} steps")
        return HostResult(host=host.name, status="changed")

    before = signal.getsignal(signal.SIGINT)
    results = fleet(work, jobs=2, progress=heard).run(hosts(*"abcd"))
    assert signal.getsignal(signal.SIGINT) is before
    assert {result.status for result in results} == {"interrupted"}
    # Two were at work and ended between two steps; two were never begun, and say so.
    assert set(seen) == {"a", "b"}
    # Ctrl-C came at the third step of the host that got there first; the other one may be behind it.
    assert max(seen.values()) >= 3, seen
    assert all(1 <= steps < 10 for steps in seen.values()), seen
    errors = [result.error for result in results if result.error]
    assert [error.message for error in errors[2:]] == ["not started", "not started"]
    assert all("Run it again" in error.hint for error in errors[2:])
    assert all(error.message.startswith("after ") for error in errors[:2])
    assert Report(command="provision", hosts=results).exit_code == EXIT_INTERRUPTED
    assert len(heard.said) == 1


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    marker = tmp_path / "finished"
    stuck = f'echo 3; sleep 4; echo done >{marker}; [ -z "$PROVISION_STOP" ] || exit 9; sleep 60'
    listener = pressing_ctrl_c(2, gap=0.2)

    def work(transport: Transport, host: Host) -> HostResult:
        transport.ask(stuck, timeout=60, on_record=listener)
        return HostResult(host=host.name, status="changed")

    begun = time.monotonic()
    results = fleet(work, jobs=1).run(hosts(*"ab"))
    assert time.monotonic() - begun < 3
    assert [result.status for result in results] == ["interrupted", "interrupted"]
    assert all(result.error for result in results)
    assert not marker.exists()
    # What runs there is not torn: it ends after its step.
    until = time.monotonic() + 10
    while not marker.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert marker.exists()


def test_ctrl_c_while_a_canary_is_at_work_begins_no_other() -> None:
    listener = pressing_ctrl_c(1)

    def work(transport: Transport, host: Host) -> HostResult:
        transport.ask(STEPS, timeout=30, on_record=listener)
        return HostResult(host=host.name, status="changed")

    results = fleet(work, canary=1).run(hosts(*"ab"))
    assert results[1].status == "interrupted"
    assert results[1].error is not None
    assert results[1].error.code == "interrupted"


# --only-failed


@pytest.fixture
def history(tmp_path: Path) -> RunHistory:
    return RunHistory(
        folder=tmp_path / "runs", command="provision", config=Path("/etc/provision/provision.toml")
    )


def came_out(**statuses: HostStatus) -> tuple[HostResult, ...]:
    return tuple(HostResult(host=name, status=status) for name, status in statuses.items())


def test_only_those_that_did_not_come_out_well_are_repeated(history: RunHistory) -> None:
    history.write(
        "@all",
        came_out(
            a="ok",
            b="changed",
            c="failed",
            d="unreachable",
            e="interrupted",
            f="skipped",
            g="pending",
            h="unhealthy",
        ),
        others=False,
    )
    assert history.failed("@all") == {"c", "d", "e", "f", "h"}


def test_a_repetition_keeps_what_is_known_of_the_others(history: RunHistory) -> None:
    history.write("a b c", came_out(a="ok", b="failed", c="failed"), others=False)
    history.write("a,b,c", came_out(b="changed"), others=True)
    assert history.failed("a, b c") == {"c"}
    history.write("a b c", came_out(c="ok"), others=True)
    with pytest.raises(UsageError, match="all 3 succeeded"):
        history.failed("a b c")


def test_a_whole_run_forgets_hosts_that_are_no_more(history: RunHistory) -> None:
    history.write("@runners", came_out(a="ok", retired="failed"), others=False)
    history.write("@runners", came_out(a="failed"), others=False)
    assert history.failed("@runners") == {"a"}


def test_records_are_kept_apart(history: RunHistory) -> None:
    history.write("a", came_out(a="failed"), others=False)
    others = (
        RunHistory(folder=history.folder, command="plan", config=history.config),
        RunHistory(folder=history.folder, command="provision", config=None),
    )
    for other in others:
        with pytest.raises(UsageError, match="no earlier"):
            other.failed("a")
        with pytest.raises(UsageError, match="no earlier"):
            other.last()
    with pytest.raises(UsageError, match="no earlier"):
        history.failed("b")


def test_without_hosts_the_last_run_counts(history: RunHistory) -> None:
    history.write("a", came_out(a="failed"), others=False)
    os.utime(next(history.folder.iterdir()), (1, 1))
    history.write("b", came_out(b="failed"), others=False)
    assert history.last() == "b"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"well": []}', '{"well": {"a": "x"', "\0"])
def test_a_record_that_is_not_ours_is_no_record(history: RunHistory, content: str) -> None:
    history.write("a", came_out(a="failed"), others=False)
    (file,) = history.folder.iterdir()
    file.write_text(content)
    with pytest.raises(UsageError, match="no earlier"):
        history.failed("a")
    with pytest.raises(UsageError, match="no earlier"):
        history.last()


def test_a_state_folder_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    history = RunHistory(folder=tmp_path / "runs", command="provision", config=None)
    history.write("a", came_out(a="failed"), others=False)
    with pytest.raises(UsageError):
        history.failed("a")


# The command line, with hosts that are surely dead: closed ports of loopback.


@pytest.fixture
def dead(tmp_path: Path) -> list[str]:
    (tmp_path / "provision.toml").write_text('[ssh]\nconfig = "/dev/null"\n')
    return [f"127.0.0.1:{free_port()}" for _ in range(3)]


def names(outcome: Outcome) -> list[str]:
    return [host["host"] for host in outcome.envelope["hosts"]]


@pytest.mark.needs("ssh")
def test_only_failed_on_the_command_line(tmp_path: Path, dead: list[str]) -> None:
    def run(*words: str) -> Outcome:
        return provision(
            "platforms", "--format", "json", *words, cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path)}
        )

    early = run("--only-failed")
    assert early.code == EXIT_USAGE
    assert "no earlier `platforms`" in early.envelope["errors"][0]["message"]
    first = run("--hosts", ",".join(dead))
    assert (first.code, names(first)) == (EXIT_UNREACHABLE, dead)
    assert {host["error"]["code"] for host in first.envelope["hosts"]} == {"unreachable"}
    assert names(run("--only-failed", "--hosts", ",".join(dead))) == dead
    assert names(run("--only-failed")) == dead
    # One of them succeeded in the meantime, as far as the record knows.
    history = RunHistory(
        folder=tmp_path / "provision/runs", command="platforms", config=tmp_path / "provision.toml"
    )
    history.write(",".join(dead), (HostResult(host=dead[1], status="ok"),), others=True)
    assert names(run("--only-failed")) == [dead[0], dead[2]]


@pytest.mark.needs("ssh")
def test_canary_on_the_command_line(tmp_path: Path, dead: list[str]) -> None:
    outcome = provision(
        "provision", "--format", "json", "--canary", "1", "--hosts", ",".join(dead), cwd=tmp_path
    )
    assert outcome.code == EXIT_UNREACHABLE
    assert [host["status"] for host in outcome.envelope["hosts"]] == ["unreachable", "skipped", "skipped"]
    assert {host["error"]["code"] for host in outcome.envelope["hosts"][1:]} == {"not-started"}
    for wrong in ("one", "-1", "1.5"):
        refused = provision("provision", f"--canary={wrong}", "--hosts", dead[0], cwd=tmp_path)
        assert refused.code == EXIT_USAGE
        assert "--canary must be a whole number from 0 to 9999, not" in refused.err


@pytest.mark.needs("ssh")
def test_progress_names_every_host_in_a_log(tmp_path: Path, dead: list[str]) -> None:
    outcome = provision("platforms", "--hosts", ",".join(dead), cwd=tmp_path)
    assert outcome.code == EXIT_UNREACHABLE
    assert all(f"{host}: unreachable" in outcome.err for host in dead)
    assert "3 hosts: 3 unreachable" in outcome.out
