"""Hosts that cannot be reached, each for its own reason: the verdict, and that it does not take for ever."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.errors import UnreachableError
from provision.transport import BusyError, SshSettings, Target
from provision.transport.ssh import SSH
from provision.transport.ssh.config import resolve
from provision.transport.ssh.dial import VERSION, dial
from tests.lab.listeners import deaf_agent, full, listener
from tests.lab.sshd import Sshd, free_port, keygen
from tests.ssh.conftest import Serve

QUICK = SshSettings(config=Path("/dev/null"), connect_timeout=1.0, attempts=1)


def test_who_waits_for_our_version_before_its_own_gets_it() -> None:
    """So a server's offer comes with its version, and a turn is saved. RFC 4253 §4.2 leaves open who begins."""
    heard: list[bytes] = []

    def serve(server: socket.socket) -> None:
        peer, _ = server.accept()
        with peer:
            heard.append(peer.recv(256))
            peer.sendall(b"SSH-2.0-patient\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        target = Target(name="box", host="127.0.0.1", port=server.getsockname()[1])
        dialed = dial("box", resolve(target, QUICK))
        dialed.close()
        thread.join(5)
    assert heard == [f"{VERSION}\r\n".encode()]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def refused(target: Target, settings: SshSettings = QUICK) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        SSH(target, settings).open()
    assert caught.value.message.startswith(f"{target.name}: ")
    assert caught.value.cause
    assert caught.value.hint
    return caught.value


def at(port: int, host: str = "127.0.0.1") -> Target:
    return Target(name="box", host=host, port=port)


def test_nobody_listens() -> None:
    assert "refused the connection" in refused(at(free_port())).message


def test_no_such_name() -> None:
    with within(5):
        assert "has no address" in refused(at(22, "no-such-host.invalid")).message


def test_no_answer_at_all() -> None:
    with full() as port, within(3):
        assert "no answer" in refused(at(port)).message


def test_a_port_that_says_nothing() -> None:
    with listener(None) as port, within(3):
        assert "sends nothing" in refused(at(port)).message


def test_another_kind_of_server() -> None:
    with listener(b"220 mail.example ESMTP\r\n") as port, within(3):
        error = refused(at(port))
    assert "no SSH server" in error.message
    assert "220 mail.example" in error.cause


def test_a_server_that_goes_silent_after_its_name() -> None:
    with listener(b"SSH-2.0-OpenSSH_9.9\r\n") as port, within(5):
        assert "sends nothing" in refused(at(port)).message


def test_turned_away_at_once_is_tried_again() -> None:
    with listener(b"") as port, within(5):
        error = refused(at(port), dataclasses.replace(QUICK, attempts=2))
    assert isinstance(error, BusyError)
    assert "MaxStartups" in error.cause


@pytest.mark.thorough
def test_a_busy_server_is_tried_again_until_it_has_time(serve: Serve) -> None:
    server = serve(MaxStartups="1:100:1")
    # Whoever has not logged in yet counts; this one leaves after a while.
    with pytest.raises(BusyError), _crowd(server, 60):
        SSH(server.target(sudo="never"), dataclasses.replace(server.settings, attempts=1)).open()
    with _crowd(server, 1.5), SSH(server.target(sudo="never"), server.settings) as host:
        assert host.ask("echo well", timeout=5).records == ("well",)


@contextmanager
def _crowd(server: Sshd, seconds: float) -> Iterator[None]:
    visitor = socket.create_connection(("127.0.0.1", server.port))
    while visitor.recv(4) != b"SSH-":  # whoever asked before may count still
        visitor.close()
        visitor = socket.create_connection(("127.0.0.1", server.port))
    timer = threading.Timer(seconds, visitor.close)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        visitor.close()


def test_a_login_names_what_was_tried_and_what_the_server_takes(sshd: Sshd) -> None:
    other = keygen(sshd.folder / "other")
    error = refused(sshd.target(identity_files=(other,)), sshd.settings)
    assert "was refused" in error.message
    assert str(other) in error.cause
    assert "The server accepts: publickey." in error.cause
    assert "ssh-copy-id" in error.hint


def test_a_login_without_any_key(sshd: Sshd) -> None:
    error = refused(sshd.target(identity_files=(sshd.folder / "none",)), sshd.settings)
    assert "no key to try" in error.cause


def test_an_encrypted_key_that_no_agent_holds(sshd: Sshd) -> None:
    locked = keygen(sshd.folder / "locked", passphrase="secret")
    error = refused(sshd.target(identity_files=(locked,)), sshd.settings)
    assert f"ssh-add {locked}" in error.cause


def test_a_key_that_is_none(sshd: Sshd) -> None:
    (sshd.folder / "junk").write_text("-----BEGIN NOTHING-----\n", encoding="ascii")
    error = refused(sshd.target(identity_files=(sshd.folder / "junk",)), sshd.settings)
    assert "cannot be read" in error.cause


def test_a_server_that_allows_no_session_is_told_as_such(serve: Serve) -> None:
    server = serve(MaxSessions="0")
    error = refused(server.target(sudo="never"), server.settings)
    assert "allows no session" in error.message
    assert "MaxSessions" in error.cause
    assert "jump host" not in error.message + error.cause + error.hint


def test_too_many_keys_are_told(serve: Serve) -> None:
    server = serve(MaxAuthTries="2")
    keys = tuple(keygen(server.folder / f"wrong{number}") for number in range(4))
    error = refused(server.target(identity_files=(*keys, server.key)), server.settings)
    assert "IdentitiesOnly" in error.cause


@pytest.mark.thorough
def test_an_agent_that_hangs_costs_seconds(sshd: Sshd, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    sshd.configure(f"IdentityAgent {agent}")
    with deaf_agent(str(agent)), within(12):
        with SSH(sshd.target(sudo="never"), sshd.settings) as host:
            assert host.ask("echo well", timeout=5).records == ("well",)
        error = refused(sshd.target(identity_files=(tmp_path / "none",)), sshd.settings)
    assert f"the agent at {agent} did not answer" in error.cause
