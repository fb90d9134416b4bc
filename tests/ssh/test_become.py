"""Becoming root by the real sudo, with throw-away users in a mount namespace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provision.errors import BecomeError
from provision.transport import Secret, StoppedError
from provision.transport.ssh import SSH
from tests.lab.patience import until
from tests.lab.sshd import PASSWORD, Sshd
from tests.ssh.conftest import Serve


@pytest.fixture
def box(serve: Serve) -> Sshd:
    return serve(users=True)


def refused(server: Sshd, user: str, password: Secret | None = None) -> BecomeError:
    with SSH(server.target(user), server.settings, password) as host, pytest.raises(BecomeError) as caught:
        host.ask("id -u", timeout=10)
    assert caught.value.message.startswith("box: ")
    return caught.value


@pytest.mark.parametrize(
    ("user", "password"), [("ci", None), ("pw", PASSWORD), ("ci", PASSWORD), ("root", PASSWORD)]
)
def test_scripts_run_as_root(box: Sshd, user: str, password: str | None) -> None:
    with SSH(box.target(user), box.settings, Secret(password) if password else None) as host:
        assert host.ask("id -u", timeout=10).records == ("0",)
        assert host.ask("id -u; cat", timeout=10).records == ("0",)


def test_never_means_never(box: Sshd) -> None:
    with SSH(box.target("ci", sudo="never"), box.settings, Secret(PASSWORD)) as host:
        assert host.ask("id -un", timeout=10).records == ("ci",)
    assert not box.sudo_log.exists()


def test_a_wrong_password_costs_one_attempt(box: Sshd) -> None:
    error = refused(box, "pw", Secret("wrong"))
    assert "did not accept the password" in error.message
    assert until(box.sudo_log.exists)
    assert "1 incorrect password attempt" in box.sudo_log.read_text(encoding="utf-8").replace("\n    ", " ")


def test_a_stop_before_the_first_script_is_no_password(box: Sshd) -> None:
    with SSH(box.target("pw"), box.settings, Secret(PASSWORD)) as host:
        host.stop()
        with pytest.raises(StoppedError):
            host.ask("id -u", timeout=10)
    assert not until(box.sudo_log.exists, 3) or "incorrect" not in box.sudo_log.read_text(encoding="utf-8")


def test_the_password_is_nowhere_to_be_seen(box: Sshd, capfd: pytest.CaptureFixture[str]) -> None:
    with SSH(box.target("pw"), box.settings, Secret(PASSWORD)) as host:
        # Written in two halves, so that the search does not find itself.
        half, rest = PASSWORD[:5], PASSWORD[5:]
        seen = host.ask(
            f"a='{half}'; b='{rest}'; grep -la \"$a$b\" /proc/[0-9]*/cmdline /proc/[0-9]*/environ; "
            f'grep -rlaF "$a$b" {box.folder} /tmp/.[a-z]* /run /var/log 2>/dev/null; set | grep -c "$a$b"',
            timeout=30,
        )
        assert PASSWORD not in repr(vars(host))
    assert seen.records == ("0",), seen
    assert PASSWORD not in "".join(capfd.readouterr())


def test_a_password_nobody_asked_for_is_thrown_away(box: Sshd, tmp_path: Path) -> None:
    password = Secret(f"touch {tmp_path}/run")
    with SSH(box.target("ci"), box.settings, password) as host:
        assert host.ask("echo well", timeout=10).records == ("well",)
    assert not (tmp_path / "run").exists()


def test_sudo_that_wants_a_password_names_the_ways_out(box: Sshd) -> None:
    error = refused(box, "pw")
    assert "asks for a password" in error.message
    assert "--ask-sudo-password" in error.hint
    assert "pw ALL=(root) NOPASSWD: ALL" in error.hint


def test_a_user_without_rights_is_told_so(box: Sshd) -> None:
    assert "may not become root" in refused(box, "guest", Secret(PASSWORD)).message


def test_requiretty_is_named(box: Sshd) -> None:
    assert "requiretty" in refused(box, "tty").hint


def test_a_host_without_sudo_is_told_from_one_that_refuses(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "id", "dd", "cat"):
        program = shutil.which(name)
        assert program
        (folder / name).symlink_to(program)
    # SetEnv takes the first PATH given.
    server = serve(users=True, SetEnv=f"PATH={folder}")
    assert "no sudo" in refused(server, "ci").message
