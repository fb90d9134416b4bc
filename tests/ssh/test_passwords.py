"""The sudo password: it goes to sudo's question and to nothing else, is shown nowhere, and is tried once in a fleet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.errors import BecomeError, HostError, ProvisionError
from provision.transport import Secret, SshSettings, StoppedError, Target, session
from provision.transport.password import Password, PasswordRefusedError
from provision.transport.ssh import SSH
from tests.lab.patience import until
from tests.lab.sshd import PASSWORD, Sshd
from tests.ssh.conftest import Serve


def user_id(target: Target, settings: SshSettings, password: Secret | None) -> str:
    with SSH(target, settings, password) as host:
        return host.ask("id -u", timeout=10).records[0]


def refused(server: Sshd, user: str, password: Secret | None) -> ProvisionError:
    with pytest.raises(ProvisionError) as caught:
        user_id(server.target(user), server.settings, password)
    told = f"{caught.value.message} {caught.value.cause} {caught.value.hint}"
    assert not password or password.reveal() not in told
    return caught.value


def rules(server: Sshd, lines: str) -> None:
    with (server.folder / "sudoers").open("a", encoding="utf-8") as file:
        file.write(f"{lines}\n")


def shell_file(server: Sshd, user: str, text: str) -> None:
    (server.folder / "home" / user / ".bashrc").write_text(text, encoding="ascii")


def attempts(server: Sshd) -> int:
    if not server.sudo_log.exists():
        return 0
    return (
        server.sudo_log.read_text(encoding="utf-8")
        .replace("\n    ", " ")
        .count("incorrect password attempt")
    )


# To sudo's question alone


@pytest.mark.parametrize("user", ["ci", "pw"])
def test_sudo_s_own_log_of_input_does_not_have_it(serve: Serve, tmp_path: Path, user: str) -> None:
    box = serve(users=True)
    logs = tmp_path / "io"
    rules(box, f"Defaults log_input, iolog_dir={logs}, !compress_io")
    assert user_id(box.target(user), box.settings, Secret(PASSWORD)) == "0"
    kept = b"".join(file.read_bytes() for file in logs.rglob("*") if file.is_file())
    assert b"ready" in kept or b"run " in kept, "sudo logged the input"
    assert PASSWORD.encode() not in kept


def test_a_program_in_between_does_not_get_it_unasked(serve: Serve, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.touch()
    copy.chmod(0o666)
    box = serve(users=True, ForceCommand=f'tee {copy} | sh -c "$SSH_ORIGINAL_COMMAND"')
    assert user_id(box.target("ci"), box.settings, Secret(PASSWORD)) == "0"
    assert PASSWORD not in copy.read_text(encoding="utf-8")


@pytest.mark.parametrize("where", ["audit", "bashrc", "every shell"])
def test_the_command_in_the_output_is_no_question(serve: Serve, where: str) -> None:
    audit = 'echo "audit: $SSH_ORIGINAL_COMMAND" >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    box = serve(users=True, **({"ForceCommand": audit} if where == "audit" else {}))
    if where != "audit":
        shell_file(box, "pw", f"{'export SHELLOPTS; ' if where == 'every shell' else ''}set -x\n")
    assert user_id(box.target("pw"), box.settings, Secret(PASSWORD)) == "0"
    assert "did not accept" in refused(box, "pw", Secret("wrong horse")).message


def test_a_shell_that_a_start_up_file_puts_in_place_of_ours(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_BECOME", 2.0)
    box = serve(users=True)
    for user in ("pw", "ci"):
        shell_file(box, user, "exec bash\n")
    for user, password in (("pw", Secret(PASSWORD)), ("ci", None)):
        error = refused(box, user, password)
        assert "replaces the shell" in error.message
        assert ".bashrc" in error.cause
        assert not (box.folder / "home" / user / "horse").exists()


def test_a_start_up_file_that_waits_ends_by_the_clock(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_BEGIN", 2.0)
    box = serve(users=True)
    shell_file(box, "ci", "echo 'Which project?'; sleep 60\n")
    error = refused(box, "ci", None)
    assert "no shell within 2 s" in error.message
    assert "Which project?" in error.cause


def fake_sudo(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "sudo"
    program.write_text(f"#!/bin/sh\nprompt=$3\n{text}\n", encoding="ascii")
    program.chmod(0o755)
    return folder


def test_a_second_factor_is_told_from_a_wrong_password(serve: Serve, tmp_path: Path) -> None:
    """As SSSD asks (SSSD/sssd#8315)."""
    path = fake_sudo(
        tmp_path, 'printf %s "$prompt" >&2; read -r a; printf "\\n%s" "$prompt" >&2; read -r b; exit 1'
    )
    box = serve(users=True, path=path)
    assert "second question" in refused(box, "pw", Secret(PASSWORD)).message


def test_a_question_of_pam_s_own_is_told_from_a_password(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAM replaces only the prompt "Password:" by ours (sudoers(5), passprompt_override)."""
    monkeypatch.setattr(session, "_BECOME", 2.0)
    box = serve(users=True, path=fake_sudo(tmp_path, 'printf "First Factor: " >&2; read -r a; exit 1'))
    error = refused(box, "pw", Secret(PASSWORD))
    assert "something other than a password" in error.message
    assert "'First Factor:'" in error.cause
    assert "NOPASSWD" in error.hint


@pytest.mark.parametrize("password", [PASSWORD, None])
def test_a_question_that_is_none_of_ours_is_left_at_once(
    serve: Serve, tmp_path: Path, password: str | None
) -> None:
    """A finger on a token, for one, or a start-up file that waits. Nothing was begun there."""
    box = serve(users=True, path=fake_sudo(tmp_path, 'echo "Touch the token" >&2; sleep 100'))
    with SSH(box.target("pw"), box.settings, Secret(password) if password else None) as host:
        timer = threading.Timer(1, host.stop)
        timer.start()
        with pytest.raises(StoppedError):
            host.ask("id -u", timeout=60)


def test_a_host_that_prints_the_password_is_not_quoted(serve: Serve, tmp_path: Path) -> None:
    path = fake_sudo(tmp_path, 'printf %s "$prompt" >&2; read -r a; echo "sudo: got $a" >&2; exit 1')
    box = serve(users=True, path=path)
    assert "got ***" in refused(box, "pw", Secret(PASSWORD)).cause


def test_whose_password_sudo_wants_is_said(serve: Serve) -> None:
    box = serve(users=True)
    rules(box, "Defaults:pw targetpw")
    error = refused(box, "pw", Secret(PASSWORD))
    assert "targetpw" in error.cause
    assert "password of root" in error.hint
    assert until(lambda: attempts(box) == 1)


def test_with_one_try_allowed_the_verdict_is_the_same(serve: Serve) -> None:
    box = serve(users=True)
    rules(box, "Defaults passwd_tries=1")
    assert "did not accept" in refused(box, "pw", Secret("wrong horse")).message


def test_sudo_that_says_something_rude(serve: Serve) -> None:
    box = serve(users=True)
    rules(box, 'Defaults badpass_message="Are you on drugs?"')
    assert "did not accept" in refused(box, "pw", Secret("wrong horse")).message


def test_a_user_whom_sudo_does_not_know_is_not_told_to_be_known(serve: Serve) -> None:
    error = refused(serve(users=True), "guest", None)
    assert "or may not use it at all" in error.cause


# In a fleet


def all_at_once(servers: list[Sshd], user: str, password: Secret) -> list[str]:
    def one(server: Sshd) -> str:
        try:
            return user_id(server.target(user), server.settings, password)
        except HostError as error:
            return error.message

    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(one, servers))


def test_a_typing_mistake_is_one_attempt_in_the_fleet(serve: Serve) -> None:
    servers = [serve(users=True) for _ in range(4)]
    told = all_at_once(servers, "pw", Password("wrong"))
    assert until(lambda: sum(map(attempts, servers)) == 1)
    assert sorted(text.removeprefix("box: ") for text in told) == [
        "sudo did not accept the password",
        *["the sudo password was not tried"] * 3,
    ]


def test_the_right_one_goes_to_all(serve: Serve) -> None:
    servers = [serve(users=True) for _ in range(3)]
    assert all_at_once(servers, "pw", Password(PASSWORD)) == ["0"] * 3


@contextmanager
def asked(password: Password, name: str) -> Iterator[None]:
    with password.attempt(name, lambda: True):
        yield


def test_once_accepted_a_refusal_is_that_host_s_alone() -> None:
    password = Password("secret")
    with asked(password, "one"):
        pass
    with pytest.raises(PasswordRefusedError), asked(password, "two"):
        raise PasswordRefusedError("two: no")
    with asked(password, "three"):
        pass


def test_a_host_that_breaks_off_says_nothing_of_the_password() -> None:
    password = Password("secret")
    with pytest.raises(HostError), asked(password, "one"):
        raise HostError("one: the link broke")
    with asked(password, "two"):
        pass
    with pytest.raises(BecomeError), asked(Password("x"), "one"):
        raise BecomeError("no verdict")
