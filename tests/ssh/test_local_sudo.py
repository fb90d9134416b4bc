"""This machine as a normal user: the real sudo, in the lab's mount namespace, on a real terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from provision.errors import BecomeError
from provision.transport import Secret
from provision.transport.local import Local
from tests.lab.patience import until
from tests.lab.sshd import PASSWORD, USERS, Sshd
from tests.lab.terminal import Terminal
from tests.ssh.conftest import Serve


@pytest.fixture
def box(serve: Serve) -> Sshd:
    """Its server's mount namespace is the machine; nobody logs in."""
    return serve(users=True)


def within(box: Sshd, user: str) -> tuple[str, ...]:
    """The words that run a program there as that user."""
    assert box.process
    number = 20001 + list(USERS).index(user)
    return (
        *("nsenter", f"--mount=/proc/{box.process.pid}/ns/mnt"),
        *("setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", "--"),
    )


def local(box: Sshd, user: str, password: Secret | None = None) -> Local:
    made = Local(within=within(box, user), password=password)
    made._sudo = "always"  # the tests themselves may be root
    return made


def test_sudo_without_a_password(box: Sshd) -> None:
    with local(box, "ci") as machine:
        assert machine.ask("id -u", timeout=10).records == ("0",)


def test_sudo_with_the_password_given(box: Sshd) -> None:
    with local(box, "pw", Secret(PASSWORD)) as machine:
        assert machine.ask("id -u", timeout=10).records == ("0",)


def test_a_wrong_password_costs_one_attempt(box: Sshd) -> None:
    with pytest.raises(BecomeError, match="did not accept"):
        local(box, "pw", Secret("wrong")).open()
    assert until(box.sudo_log.exists)
    assert " 1 incorrect password attempt" in box.sudo_log.read_text(encoding="utf-8")


@pytest.mark.parametrize("user", ["pw", "guest", "tty"])
def test_without_a_terminal_it_is_said_before_anything_else(
    box: Sshd, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/null").open(encoding="ascii") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(BecomeError) as caught:
            local(box, user).open()
    assert caught.value.hint


PROGRAM = """
import sys
from provision.transport.local import Local
machine = Local(within={within!r})
machine._sudo = {sudo!r}
with machine:
    print("user", *machine.ask("id -u", timeout=10).records, flush=True)
    if {script!r}:
        try:
            machine.ask({script!r}, timeout=30, on_record=lambda line: print(line, flush=True))
        except KeyboardInterrupt:
            print("interrupted")
"""


def program(box: Sshd, user: str, script: str = "") -> list[str]:
    return [
        sys.executable,
        "-c",
        PROGRAM.format(
            within=within(box, user) if user else (), sudo="always" if user else "never", script=script
        ),
    ]


def test_on_a_terminal_sudo_asks_there_and_once(box: Sshd) -> None:
    with Terminal(program(box, "pw")) as screen:
        screen.expect("password for pw:")
        screen.press(f"{PASSWORD}\n")
        text = screen.expect("user 0")
    assert text.count("password for pw:") == 1


@pytest.mark.parametrize("user", ["pw", "plain", ""])
def test_ctrl_c_at_the_terminal_lets_the_step_end(box: Sshd, tmp_path: Path, user: str) -> None:
    """By sudo on a terminal of its own (use_pty), by sudo on ours, and without sudo."""
    log = tmp_path / "log"
    script = (
        'for step in 1 2 3 4 5 6; do [ -z "$PROVISION_STOP" ] || exit 9; echo begin $step; sleep 1; '
        f"echo end $step; echo end $step >>{log}; done"
    )
    with Terminal(program(box, user, script)) as screen:
        if user:
            screen.expect(f"password for {user}:")
            screen.press(f"{PASSWORD}\n")
        screen.expect("begin 2")
        screen.press("\x03")
        text = screen.expect("interrupted")
    assert "end 2" in text
    assert "begin 3" not in text
    assert log.read_text(encoding="ascii") == "end 1\nend 2\n"
