"""Scripts on a host over SSH: real sshd, the line slow, cut or stuck."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provision.errors import ConnectionLostError, DeadlineError, HostError, ProvisionError
from provision.transport import Answer, Payload, Secret, SshSettings, StoppedError, session
from provision.transport.ssh import SSH
from tests.lab.patience import until
from tests.lab.proxy import Proxy
from tests.lab.sshd import PASSWORD, Sshd
from tests.ssh.conftest import Serve

FACTS = "uname -a; " + "# a script as long as the one for facts\n" * 300
MOST_TURNS = 8
"""Design, §3: what a run that changes nothing may cost."""


def asked(server: Sshd, script: str = "id -u") -> Answer:
    with SSH(server.target(sudo="never"), server.settings) as host:
        return host.ask(script, timeout=10)


def test_a_script_runs_there(sshd: Sshd) -> None:
    answer = asked(sshd, 'echo "$SSH_CONNECTION"; echo oops >&2; exit 4')
    assert answer.records[0].startswith("127.0.0.1 ")
    assert (answer.status, answer.stderr) == (4, "oops\n")


def test_a_run_without_changes_is_within_the_budget_of_turns(sshd: Sshd) -> None:
    with Proxy(sshd.port, delay=0.025) as proxy:
        sshd.trust(proxy.port)
        with SSH(sshd.target(port=proxy.port, sudo="auto"), sshd.settings) as host:
            assert host.ask(FACTS, timeout=10).status == 0
        assert proxy.line.turns <= MOST_TURNS
        assert proxy.line.connections == 1
        assert proxy.line.bytes["up"] < 40_000


def test_a_second_request_is_one_turn(sshd: Sshd) -> None:
    with Proxy(sshd.port, delay=0.025) as proxy:
        sshd.trust(proxy.port)
        with SSH(sshd.target(port=proxy.port, sudo="never"), sshd.settings) as host:
            host.ask(FACTS, timeout=10)
            before = proxy.line.turns
            begun = time.monotonic()
            host.ask("echo begin; echo end", timeout=10)
            assert proxy.line.turns == before + 1
            assert time.monotonic() - begun < 0.5


def test_turns_with_sudo_and_a_password(serve: Serve) -> None:
    server = serve(users=True)
    with Proxy(server.port, delay=0.025) as proxy:
        server.trust(proxy.port)
        for user, password in (("ci", None), ("pw", Secret(PASSWORD))):
            before = proxy.line.turns
            with SSH(server.target(user, port=proxy.port), server.settings, password) as host:
                assert host.ask(f"id -u\n{FACTS}", timeout=10).records[0] == "0"
            # The script waits for the word that sudo took the password: nothing else may be read as one.
            assert proxy.line.turns - before <= MOST_TURNS


@pytest.mark.thorough
def test_a_payload_over_a_slow_line(sshd: Sshd, tmp_path: Path) -> None:
    data = os.urandom(6_000_000)
    (tmp_path / "archive").write_bytes(data)
    sent: list[int] = []
    with Proxy(sshd.port, delay=0.01) as proxy:
        sshd.trust(proxy.port)
        with SSH(sshd.target(port=proxy.port, sudo="never"), sshd.settings) as host:
            payload = Payload(path=tmp_path / "archive", length=len(data), progress=sent.append)
            answer = host.ask("sha256sum", timeout=60, payload=payload)
            assert answer.records[0].split()[0] == hashlib.sha256(data).hexdigest()
            assert host.ask("exit 5", timeout=60, payload=payload).status == 5
            assert host.ask("echo well", timeout=10).records == ("well",)
    assert sent[: sent.index(len(data)) + 1] == sorted(set(sent))


def test_both_outputs_are_drained(sshd: Sshd) -> None:
    script = "i=0; while [ $i -lt 40 ]; do seq 20000; seq 20000 >&2; i=$((i+1)); done"
    answer = asked(sshd, script)
    assert len(answer.records) == 800_000
    assert len(answer.stderr) <= 16 * 1024


def test_a_login_that_prints_things_is_no_trouble(serve: Serve) -> None:
    server = serve(users=True)
    (server.folder / "home" / "ci" / ".bashrc").write_text(
        "echo Welcome; echo; printf 'no newline'\n", encoding="ascii"
    )
    with SSH(server.target("ci"), server.settings) as host:
        assert host.ask("id -un", timeout=10).records == ("root",)


def test_a_login_without_a_shell_is_explained(serve: Serve) -> None:
    server = serve(ForceCommand="echo 'Only for backups.'; exit 3")
    with (
        SSH(server.target(sudo="never"), server.settings) as host,
        pytest.raises(HostError, match="no shell") as caught,
    ):
        host.ask("id", timeout=10)
    assert "Only for backups." in caught.value.cause
    assert "status 3" in caught.value.message


@pytest.mark.parametrize("user", ["ci", "pw"])
def test_an_audit_that_puts_both_outputs_into_one(serve: Serve, tmp_path: Path, user: str) -> None:
    log = tmp_path / "log"
    log.touch()
    log.chmod(0o666)
    server = serve(users=True, ForceCommand=f'sh -c "$SSH_ORIGINAL_COMMAND" 2>&1 | tee -a {log}')
    with SSH(server.target(user), server.settings, Secret(PASSWORD)) as host:
        assert host.ask("echo well", timeout=10).records == ("well",)
        assert host.ask("echo well; echo oops >&2; exit 3", timeout=10).status == 3
    assert PASSWORD not in log.read_text(encoding="utf-8", errors="replace")


def test_a_login_that_takes_the_input_away_is_no_broken_link(serve: Serve) -> None:
    server = serve(users=True)
    (server.folder / "home" / "ci" / ".bashrc").write_text("exec </dev/null\n", encoding="ascii")
    with (
        SSH(server.target("ci"), server.settings) as host,
        pytest.raises(ConnectionLostError, match="the shell there ended") as caught,
    ):
        host.ask("id -un", timeout=10)
    assert "took its input" in caught.value.cause


STEPS = """
    for step in 1 2 3 4 5 6 7 8; do
      [ -z "$PROVISION_STOP" ] || { echo stopped >>LOG; exit 9; }
      echo begin $step; echo begin $step >>LOG; sleep 0.4; seq 5000; echo end $step >>LOG
    done
"""


def finished(log: Path) -> bool:
    """Every step that was begun has ended, and then came the stop."""
    lines = log.read_text(encoding="ascii").splitlines()
    steps = len(lines) // 2
    whole = [f"{word} {step}" for step in range(1, steps + 1) for word in ("begin", "end")]
    return lines == [*whole, "stopped"] and steps < 8


def test_a_cut_link_lets_the_step_end_and_no_other_begin(sshd: Sshd, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Proxy(sshd.port) as proxy:
        sshd.trust(proxy.port)
        with SSH(sshd.target(port=proxy.port, sudo="never"), sshd.settings) as host:

            def heard(record: str) -> None:
                if record == "begin 2":
                    proxy.cut()

            with pytest.raises(ConnectionLostError, match="box: the link broke"):
                host.ask(STEPS.replace("LOG", str(log)), timeout=20, on_record=heard)
            with pytest.raises(ConnectionLostError):
                host.ask("echo again", timeout=5)
    assert until(lambda: "stopped" in log.read_text(encoding="ascii"))
    assert finished(log)


def test_stopped_a_script_ends_after_its_step(sshd: Sshd, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with SSH(sshd.target(sudo="never"), sshd.settings) as host:

        def heard(record: str) -> None:
            if record == "begin 2":
                threading.Thread(target=host.stop).start()

        assert host.ask(STEPS.replace("LOG", str(log)), timeout=20, on_record=heard).status == 9
        assert finished(log)
        with pytest.raises(StoppedError):
            host.ask("echo again", timeout=5)


def test_a_link_that_breaks_before_it_began(sshd: Sshd) -> None:
    with Proxy(sshd.port) as proxy:
        sshd.trust(proxy.port)
        with SSH(sshd.target(port=proxy.port, sudo="never"), sshd.settings) as host:
            proxy.cut()
            with pytest.raises(ConnectionLostError):
                host.ask("echo hello", timeout=5)


def test_an_upload_that_is_cut_is_found_short_there(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(os.urandom(12_000_000))
    part = tmp_path / "part"
    payload = Payload(path=tmp_path / "archive", length=12_000_000)
    with Proxy(sshd.port, cut_after=6_000_000) as proxy:
        sshd.trust(proxy.port)
        with (
            SSH(sshd.target(port=proxy.port, sudo="never"), sshd.settings) as host,
            pytest.raises(ConnectionLostError),
        ):
            host.ask(f"cat >{part}; echo $? >{part}.status", timeout=20, payload=payload)
    assert until((tmp_path / "part.status").exists)
    kept = part.read_bytes()
    # What the server held back for a slow reader (its window: 2 MiB) is lost with the line.
    assert 2_000_000 < len(kept) < 6_100_000
    assert (tmp_path / "archive").read_bytes().startswith(kept)


def test_overdue_what_ran_there_is_ended(sshd: Sshd) -> None:
    pids: list[str] = []
    with SSH(sshd.target(sudo="never"), sshd.settings) as host:
        with pytest.raises(DeadlineError):
            host.ask(
                "sh -c 'trap \"\" TERM; echo $$; sleep 60' & sleep 60", timeout=1, on_record=pids.append
            )
        assert until(lambda: not Path(f"/proc/{pids[0]}").exists())
        assert host.ask("echo well", timeout=5).records == ("well",)


@pytest.mark.parametrize("upload", [False, True])
def test_a_stuck_link_ends_by_the_deadline(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upload: bool
) -> None:
    monkeypatch.setattr(session, "_GRACE", 1.0)
    (tmp_path / "archive").write_bytes(bytes(30_000_000))
    payload = Payload(path=tmp_path / "archive", length=30_000_000) if upload else None
    with Proxy(sshd.port) as proxy:
        sshd.trust(proxy.port)
        with SSH(sshd.target(port=proxy.port, sudo="never"), sshd.settings) as host:
            host.ask("true", timeout=5)
            begun = time.monotonic()
            with pytest.raises(DeadlineError, match="no answer"):
                host.ask(
                    "echo begin; sleep 60", timeout=1, payload=payload, on_record=lambda _: proxy.stall()
                )
            assert time.monotonic() - begun < 6


def test_eight_hosts_at_once(sshd: Sshd) -> None:
    def one(number: int) -> str:
        return asked(sshd, f"sleep 0.3; echo {number}").records[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [str(number) for number in range(8)]


def test_nothing_is_printed_and_no_thread_stays(sshd: Sshd, capfd: pytest.CaptureFixture[str]) -> None:
    asked(sshd)
    before = threading.active_count()
    bad = SshSettings(config=sshd.settings.config, known_hosts=sshd.folder / "none")
    for port, settings in ((sshd.port, bad), (1, sshd.settings)):
        with pytest.raises(ProvisionError):
            SSH(sshd.target(port=port), settings).open()
    asked(sshd)
    assert until(lambda: threading.active_count() <= before)
    assert capfd.readouterr() == ("", "")
