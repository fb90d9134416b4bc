"""`login --hosts` over OpenSSH: for the user who logs in there, and the password is nowhere on the way."""

from __future__ import annotations

import base64
import getpass
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cli import provision
from tests.lab.guarded import PASSWORD, USER, Guarded, guarded
from tests.ssh.conftest import Serve

pytestmark = pytest.mark.needs("docker-registry")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "registry") as made:
        (tmp_path / "provision.toml").write_text(f'[registry."{made.address}"]\nca = ["{made.authority}"]\n')
        yield made


def command_lines(until: threading.Event, found: set[str]) -> None:
    """All command lines and environments of this machine, while something runs."""
    while not until.is_set():
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    text = (process / name).read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if PASSWORD in text:
                    found.add(text)


def test_the_password_is_seen_by_nobody(serve: Serve, registry: Guarded, tmp_path: Path) -> None:
    docker = tmp_path / "there"
    sshd = serve(SetEnv=f"DOCKER_CONFIG={docker}")
    sshd.configure(
        f"Host box\nHostName 127.0.0.1\nPort {sshd.port}\nUser {getpass.getuser()}\nIdentityFile {sshd.key}\nHost *"
    )
    options = ("--hosts", "box", "--ssh-config", str(sshd.folder / "ssh_config"), "--format", "json")
    done, seen = threading.Event(), set[str]()
    watcher = threading.Thread(target=command_lines, args=(done, seen))
    watcher.start()
    try:
        login = provision(
            *("login", registry.address, "-u", USER, "--password-stdin", *options),
            cwd=tmp_path,
            given=f"{PASSWORD}\n",
        )
    finally:
        done.set()
        watcher.join()
    assert login.code == 0, login.out + login.err
    assert seen == set()
    entry = json.loads((docker / "config.json").read_text())["auths"][registry.address]
    assert base64.b64decode(entry["auth"]).decode() == f"{USER}:{PASSWORD}"
    assert PASSWORD not in login.out + login.err
    assert entry["auth"] not in login.out + login.err
    assert not (tmp_path / ".docker").exists()
    wrong = provision(
        *("login", registry.address, "-u", USER, "--password-stdin", *options), cwd=tmp_path, given="wrong\n"
    )
    assert wrong.code == 3
    assert json.loads((docker / "config.json").read_text())["auths"][registry.address] == entry
    assert provision("logout", registry.address, *options, cwd=tmp_path).code == 0
    assert json.loads((docker / "config.json").read_text()) == {"auths": {}}
