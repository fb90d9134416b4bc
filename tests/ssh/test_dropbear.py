"""Dropbear, the SSH server of small systems: the same two questions, put to another program."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from provision.errors import DeadlineError, HostKeyError, UnreachableError
from provision.transport import Payload, Secret
from provision.transport.ssh import SSH
from provision.transport.ssh.known_hosts import UnknownKeyError
from provision.transport.ssh.new_keys import NewKeys
from tests.lab.patience import until
from tests.lab.proxy import Proxy
from tests.lab.sshd import PASSWORD, Sshd, keygen
from tests.ssh.test_ssh import FACTS, MOST_TURNS


def test_within_the_budget_of_turns_and_as_root(dropbear: Sshd) -> None:
    with Proxy(dropbear.port, delay=0.025) as proxy:
        dropbear.trust(proxy.port)
        with SSH(dropbear.target("ci", port=proxy.port), dropbear.settings) as host:
            assert host.ask(f"{FACTS}\nid -u", timeout=10).records[-1] == "0"
        assert proxy.line.turns <= MOST_TURNS
        assert proxy.line.connections == 1


def test_a_password_for_sudo(dropbear: Sshd) -> None:
    with SSH(dropbear.target("pw"), dropbear.settings, Secret(PASSWORD)) as host:
        assert host.ask("id -u", timeout=10).records == ("0",)


def test_a_large_file_and_a_flood_of_output(dropbear: Sshd, tmp_path: Path) -> None:
    # Its windows are of 24 KiB, OpenSSH's of 2 MiB.
    data = os.urandom(3_000_000)
    (tmp_path / "archive").write_bytes(data)
    with SSH(dropbear.target("ci"), dropbear.settings) as host:
        payload = Payload(path=tmp_path / "archive", length=len(data))
        answer = host.ask("sha256sum; seq 100000", timeout=60, payload=payload)
    assert answer.records[0].split()[0] == hashlib.sha256(data).hexdigest()
    assert answer.records[1:] == tuple(map(str, range(1, 100_001)))


def test_what_ran_when_the_time_was_up_is_ended_there(dropbear: Sshd, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    number = tmp_path / "number"
    with SSH(dropbear.target("ci"), dropbear.settings) as host, pytest.raises(DeadlineError):
        host.ask(f"echo $$ >{number}; sleep 60", timeout=2)
    assert until(lambda: not Path(f"/proc/{number.read_text(encoding='ascii').strip()}").exists())


def test_its_key_is_checked(dropbear: Sshd) -> None:
    dropbear.known_hosts.unlink()
    with pytest.raises(UnknownKeyError):
        SSH(dropbear.target("ci"), dropbear.settings).open()
    for new_keys in (NewKeys(print, accept=True), None):
        with SSH(dropbear.target("ci"), dropbear.settings, new_keys=new_keys) as host:
            assert host.ask("id -u", timeout=10).status == 0
    dropbear.known_hosts.unlink()
    dropbear.trust(key=keygen(dropbear.folder / "another"))
    with pytest.raises(HostKeyError, match="changed"):
        SSH(dropbear.target("ci"), dropbear.settings).open()


def test_a_key_it_does_not_take(dropbear: Sshd) -> None:
    other = keygen(dropbear.folder / "other")
    with pytest.raises(UnreachableError) as caught:
        SSH(dropbear.target("ci", identity_files=(other,)), dropbear.settings).open()
    assert str(other) in caught.value.cause
