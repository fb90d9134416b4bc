"""A configuration that others could have written does not count where it was only found; real files, owners, modes."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from provision.config import trust
from tests.lab.cli import COMMAND, environment

COMMANDS = """
[ssh]
config = "/dev/null"
sudo_password_command = "sh -c 'touch obeyed; echo secret'"
"""
root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    made = folder / "provision.toml"
    made.write_text(COMMANDS)
    made.chmod(0o644)
    return made


def obeyed(file: Path, *words: str, **more: str) -> tuple[bool, str]:
    """Whether the file's command was run, and what was said on standard error."""
    done = subprocess.run(
        [str(COMMAND), "platforms", "--hosts", "127.0.0.1:1", *words],
        cwd=file.parent,
        env=environment(file.parent.parent) | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    return (file.parent / "obeyed").exists(), done.stderr


@pytest.mark.needs("ssh")
def test_a_file_of_ones_own_counts(file: Path) -> None:
    assert obeyed(file)[0]


@root
@pytest.mark.needs("ssh")
def test_a_file_in_a_folder_that_others_may_write_does_not(file: Path) -> None:
    os.chown(file, 65534, 65534)
    file.parent.chmod(0o1777)
    found, said = obeyed(file)
    assert not found
    assert "warning: provision.toml here is left out, as others could have written it" in said
    assert "--config provision.toml" in said
    assert obeyed(file, "--config", "provision.toml")[0], "who names it trusts it"


@pytest.mark.parametrize(("mode", "folder", "words"), [(0o666, 0o755, "it"), (0o644, 0o777, "")])
def test_what_every_user_may_write(file: Path, mode: int, folder: int, words: str) -> None:
    file.chmod(mode)
    file.parent.chmod(folder)
    assert trust.objection(file) == f"every user may write {file if words else file.parent}"


@root
def test_owners(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    os.chown(file, 65534, -1)
    assert trust.objection(file) == "it belongs to nobody"
    # Who became root by sudo could do everything anyway: `sudo ./inv` in one's own checkout.
    monkeypatch.setenv("SUDO_UID", "65534")
    assert trust.objection(file) == ""
    monkeypatch.setenv("SUDO_UID", "1")
    os.chown(file, 12345, -1)
    assert trust.objection(file) == "it belongs to user 12345"
    os.chown(file, 0, -1)
    os.chown(file.parent, 65534, -1)
    assert trust.objection(file) == "the folder belongs to nobody"


@root
def test_groups(file: Path) -> None:
    file.chmod(0o664)
    os.chown(file, 0, 0)
    assert trust.objection(file) == ""
    # A group that another user is in.
    daemon = pwd.getpwnam("daemon")
    os.chown(file, 0, daemon.pw_gid)
    assert trust.objection(file) == f"the group daemon may write {file}"
    os.chown(file, 0, 54321)
    assert trust.objection(file) == "", "a group without members"


@root
def test_a_link_is_as_good_as_the_folder_it_leads_to(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    file.rename(elsewhere / "provision.toml")
    file.symlink_to(elsewhere / "provision.toml")
    assert trust.objection(file) == f"every user may write {elsewhere}"
