"""The far end of a session, run for real by dash, bash and busybox sh."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.errors import ConnectionLostError, DeadlineError, HostError
from provision.render import render
from provision.transport import Payload, StoppedError, outgoing
from provision.transport.become import opening
from provision.transport.local import Local
from tests.lab.patience import until

Start = Callable[[], Local]
SHELLS = [
    "dash",
    pytest.param("bash", marks=[pytest.mark.needs("bash"), pytest.mark.thorough]),
    pytest.param("busybox", marks=[pytest.mark.needs("busybox"), pytest.mark.thorough]),
    # Whose dd reads ahead, in front of another that does not.
    pytest.param("uutils", marks=[pytest.mark.needs("coreutils"), pytest.mark.thorough]),
]


@pytest.fixture(params=SHELLS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH whose `sh` is the shell. With busybox every program is busybox's; with uutils `dd` is uutils'."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = shutil.which("dash" if request.param == "uutils" else request.param)
    assert program
    if request.param == "uutils":
        (folder / "dd").symlink_to(shutil.which("coreutils") or "")
    if request.param == "busybox":
        subprocess.run([program, "--install", "-s", folder], check=True)
    (folder / "sh").unlink(missing_ok=True)
    (folder / "sh").symlink_to(program)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def start(path: str) -> Iterator[Start]:
    """Makes sessions in that shell; `within` is how Local is put somewhere else."""
    made: list[Local] = []

    def new() -> Local:
        made.append(Local(become=False, within=("env", f"PATH={path}")))
        return made[-1]

    yield new
    for each in made:
        each.close()


@pytest.fixture
def here(start: Start) -> Local:
    return start()


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def payload(folder: Path, data: bytes) -> Payload:
    file = folder / "payload"
    file.write_bytes(data)
    return Payload(path=file, length=len(data))


def test_records_status_and_errors_are_those_of_the_script(here: Local) -> None:
    seen: list[str] = []
    answer = here.ask(
        "echo one; echo oops >&2; printf 'two\\nthree'; exit 7", timeout=5, on_record=seen.append
    )
    assert (answer.status, answer.records, answer.stderr) == (7, ("one", "two", "three"), "oops\n")
    assert seen == ["one", "two", "three"]


def test_each_script_has_a_shell_of_its_own(here: Local) -> None:
    here.ask("cd /tmp; value=left; set -eu; exec >/dev/null; umask 077", timeout=5)
    answer = here.ask("echo ${value:-gone}; pwd; umask; echo $LC_ALL", timeout=5)
    assert answer.records == ("gone", "/", "0022", "C")


def test_a_script_that_is_no_sh_fails_alone(here: Local) -> None:
    assert here.ask("if then (", timeout=5).status not in (0, None)
    assert here.ask("kill -9 $$", timeout=5).status == 137
    assert here.ask("echo well", timeout=5).records == ("well",)


def test_standard_input_without_a_payload_is_empty(here: Local) -> None:
    assert here.ask("cat; read -r line || echo end", timeout=5).records == ("end",)


def test_a_script_may_be_longer_than_an_argument(here: Local) -> None:
    script = f": '{'x' * 300_000}'\necho '$HOME' \"it's\""
    assert here.ask(script, timeout=10).records == ("$HOME it's",)


def test_a_payload_arrives_as_it_is(here: Local, tmp_path: Path) -> None:
    data = os.urandom(300_001) + b"\0\n\0" * 5000
    sent: list[int] = []
    whole = payload(tmp_path, data)
    part = Payload(path=whole.path, offset=65_000, length=70_000, progress=sent.append)
    assert (
        here.ask("sha256sum", timeout=10, payload=whole).records[0].split()[0]
        == hashlib.sha256(data).hexdigest()
    )
    expected = hashlib.sha256(data[65_000:135_000]).hexdigest()
    assert here.ask("sha256sum; cat", timeout=10, payload=part).records == (f"{expected}  -",)
    assert sent[-1] == 70_000
    assert here.ask("cat", timeout=5).records == ()


UNREAD = {
    "text": b"exit\n" * 400_000,
    "requests": b"run 6 9 0\nexit 1\n" * 120_000,
    "nul": b"\0" * 2_000_000,
    "random": os.urandom(2_000_000),
}


@pytest.mark.parametrize("data", UNREAD.values(), ids=UNREAD)
def test_a_script_need_not_read_its_payload(here: Local, tmp_path: Path, data: bytes) -> None:
    assert here.ask("exit 3", timeout=120, payload=payload(tmp_path, data)).status == 3
    assert here.ask("dd bs=1 count=4 2>/dev/null", timeout=120, payload=payload(tmp_path, data)).status == 0
    assert here.ask("echo well", timeout=120).records == ("well",)


@pytest.mark.parametrize("length", [2000, 40_000, 70_000, 200_000])
def test_of_a_payload_that_was_cut_off_nothing_eats_the_next_request(
    here: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    # The script has ended when little has been sent: the far end is in the middle of a block.
    monkeypatch.setattr(outgoing, "_CHUNK", 700)
    (tmp_path / "data").write_bytes(os.urandom(length))

    def wait(sent: int) -> None:
        if sent == 700:
            time.sleep(0.3)

    half = Payload(path=tmp_path / "data", length=length, progress=wait)
    assert here.ask("exit 3", timeout=20, payload=half).status == 3
    assert (
        here.ask("dd bs=1 count=4 2>/dev/null | wc -c", timeout=20, payload=half).records[0].strip() == "4"
    )
    assert here.ask("echo well", timeout=20).records == ("well",)


def test_a_file_that_became_shorter_is_an_error(here: Local, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 10)
    with pytest.raises(HostError, match="became shorter"):
        here.ask("cat", timeout=5, payload=Payload(path=tmp_path / "short", length=100))


def test_both_outputs_are_drained(here: Local) -> None:
    script = """
        i=0; while [ $i -lt 40 ]; do
          head -c 100000 /dev/zero | tr '\\000' x; echo
          head -c 100000 /dev/zero | tr '\\000' y >&2; i=$((i+1))
        done; echo end
    """
    answer = here.ask(script, timeout=60)
    assert [len(line) for line in answer.records] == [100_000] * 40 + [3]
    assert answer.stderr == "y" * len(answer.stderr)
    assert 1000 < len(answer.stderr) <= 16 * 1024


def test_overdue_everything_is_ended_and_the_session_goes_on(here: Local) -> None:
    pids: list[str] = []
    script = """
        sh -c 'trap "" TERM; echo $$; while :; do sleep 60; done' &
        sh -c 'echo $$; sleep 60' | cat &
        sleep 0.3; echo $$; sleep 60
    """
    begun = time.monotonic()
    with pytest.raises(DeadlineError, match="what ran there was ended"):
        here.ask(script, timeout=1, on_record=pids.append)
    assert 0.9 < time.monotonic() - begun < 4
    assert len(pids) == 3
    assert until(lambda: not any(alive(pid) for pid in pids), 2), pids
    assert here.ask("echo well", timeout=5).records == ("well",)


@pytest.mark.thorough
def test_an_overdue_script_that_ignores_it_is_killed(here: Local) -> None:
    pids: list[str] = []
    begun = time.monotonic()
    with pytest.raises(DeadlineError):
        here.ask("trap '' TERM; echo $$; while :; do sleep 1; done", timeout=1, on_record=pids.append)
    assert time.monotonic() - begun < 9
    assert until(lambda: not alive(pids[0]), 2)


def test_an_overdue_script_may_undo_its_step(here: Local) -> None:
    seen: list[str] = []
    script = "trap 'echo undone; exit 1' TERM; echo begun; sleep 60"
    with pytest.raises(DeadlineError):
        here.ask(script, timeout=1, on_record=seen.append)
    assert seen == ["begun", "undone"]


def test_no_clock_is_left_behind(here: Local) -> None:
    # A number that no other run has: the clock's sleep is known again by it.
    seconds = 10_000_000 + random.randrange(10_000_000)
    for _ in range(5):
        here.ask("true", timeout=seconds)
    left = here.ask(
        f"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\000' ' ' | grep -c '[s]leep {seconds}'", timeout=5
    )
    assert left.records == ("0",)


STEPS = """
    for step in 1 2 3 4 5 6 7 8; do
      [ -z "$PROVISION_STOP" ] || { echo stopped; exit 9; }
      echo begin $step; sleep 0.3; echo end $step
    done
"""


def finished(records: tuple[str, ...] | list[str]) -> bool:
    """Every step that was begun has ended, and then came the stop."""
    steps = len(records) // 2
    whole = [f"{word} {step}" for step in range(1, steps + 1) for word in ("begin", "end")]
    return list(records) == [*whole, "stopped"] and steps < 8


def test_stopped_a_script_ends_after_its_step(here: Local) -> None:
    def heard(record: str) -> None:
        if record == "begin 2":
            threading.Thread(target=here.stop).start()

    answer = here.ask(STEPS, timeout=20, on_record=heard)
    assert finished(answer.records), answer
    assert answer.status == 9
    with pytest.raises(StoppedError):
        here.ask("echo next", timeout=5)


def test_stopped_while_a_payload_is_sent_the_script_finds_it_short(here: Local, tmp_path: Path) -> None:
    seen: list[str] = []
    data = payload(tmp_path, b"z" * 8_000_000)
    timer = threading.Timer(0.7, here.stop)
    timer.start()
    answer = here.ask(
        'sleep 1.5; wc -c; sleep 0.3; echo "stop=$PROVISION_STOP"',
        timeout=20,
        payload=data,
        on_record=seen.append,
    )
    assert int(answer.records[0]) < 8_000_000
    assert answer.records[1] == "stop=1"


def test_stopped_before_it_began_nothing_is_run(start: Start) -> None:
    fresh = start()
    fresh.stop()
    with pytest.raises(StoppedError):
        fresh.ask("echo hello", timeout=5)


def test_ctrl_c_waits_for_the_step(here: Local) -> None:
    seen: list[str] = []

    def heard(record: str) -> None:
        seen.append(record)
        if record == "begin 2":
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        here.ask(STEPS, timeout=20, on_record=heard)
    assert finished(seen), seen


@pytest.mark.parametrize("noisy", [True, False])
def test_a_broken_link_lets_the_step_end_and_no_other_begin(
    here: Local, tmp_path: Path, noisy: bool
) -> None:
    log = tmp_path / "log"
    # What it prints goes nowhere after the cut, and must not end it by SIGPIPE.
    print_much = "seq 20000; seq 20000 >&2" if noisy else ":"
    script = STEPS.replace("sleep 0.3", f"sleep 0.3; {print_much}").replace("echo", "record")
    with pytest.raises(ConnectionLostError):
        here.ask(
            f'record() {{ echo "$@" >>{log}; echo "$@"; }}\n{script}',
            timeout=20,
            on_record=lambda record: here.close() if record == "begin 2" else None,
        )
    assert until(lambda: "stopped" in log.read_text(encoding="ascii"), 5), log.read_text(encoding="ascii")
    assert finished(log.read_text(encoding="ascii").splitlines())


def test_nothing_is_left_behind(here: Local) -> None:
    session = here.ask("echo $PPID; ps -o pid= 2>/dev/null | head -1", timeout=5).records[0]
    here.close()
    assert until(lambda: not alive(session), 3)


def test_when_the_listener_fails_the_session_is_closed(here: Local) -> None:
    def heard(record: str) -> None:
        raise ValueError(record)

    with pytest.raises(ValueError, match="begin 1"):
        here.ask(STEPS, timeout=10, on_record=heard)
    with pytest.raises(HostError):
        here.ask("echo next", timeout=5)


def raw(path: str, lines: bytes, until_there: Path) -> None:
    """A session by hand: NONCE in `lines` is its nonce. Waits a little for the file, then ends the input."""
    begin = opening("never", None)
    command = ["env", f"PATH={path}", *begin.command]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin
        process.stdin.write(
            lines.replace(b"GREETING", begin.greeting).replace(b"NONCE", begin.nonce.encode())
        )
        process.stdin.flush()
        until(until_there.exists, 0.7)
        process.stdin.close()
        process.wait(10)


def test_a_password_that_nobody_asked_for_is_no_script(path: str, tmp_path: Path) -> None:
    file = tmp_path / "touched"
    raw(path, f"touch {file}\n$(touch {file})\n".encode() + b"GREETING", file)
    assert not file.exists()


@pytest.mark.parametrize("missing", [0, 1, 5, 6, 12])
def test_half_a_script_is_not_run(path: str, tmp_path: Path, missing: int) -> None:
    file = tmp_path / "touched"
    script = f"touch {file}\n#NONCE".encode()
    header = f"run {len(script) + 24 - 5} 9 0\n".encode()
    # A nonce is 24 characters long; what is cut off is its end.
    rest = script.replace(b"NONCE", b"NONCE\nNONCE\n") if not missing else script[:-missing]
    raw(path, b"GREETING" + header + rest, file)
    assert file.exists() == (not missing)


@pytest.mark.parametrize("name", ["session.sh", "boot.sh", "become.sh"])
@pytest.mark.parametrize("sudo", ["always", "auto", "never"])
def test_shellcheck_has_nothing_to_say(tmp_path: Path, name: str, sudo: str) -> None:
    text = render(name, nonce="abc123", size=4000, sudo=sudo, halves=("abc", "123"))
    file = tmp_path / name
    # What boot.sh reads `line` from is the loop itself; what become.sh gets as $0 is boot.sh.
    file.write_text(f"#!/bin/sh\n{'line=' if name == 'boot.sh' else ':'}\n{text}\n", encoding="ascii")
    checked = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", "-s", "sh", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == ""


def test_without_setsid_it_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("sh", "dd", "cat"):
        program = shutil.which(name)
        assert program
        (folder / name).symlink_to(program)
    begin = opening("never", None)
    hidden = begin.greeting.replace(b"PATH=$PATH:", b"PATH=$PATH #")
    size = str(len(begin.greeting) - len(begin.nonce) - 1)
    command = [
        word.replace(f"bs={size}", f"bs={len(hidden) - len(begin.nonce) - 1}") for word in begin.command
    ]
    done = subprocess.run(
        ["env", f"PATH={folder}", *command], input=hidden, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 127
    assert b"setsid: not found" in done.stderr
