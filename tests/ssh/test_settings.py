"""Settings by which `ssh HOST` gets there, against `ssh` itself: this tool gets there as well, or says why not."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from provision.errors import HostKeyError, ProvisionError, UnreachableError
from provision.transport import SshSettings, Target
from provision.transport.ssh import SSH
from provision.transport.ssh.addresses import of_interface
from provision.transport.ssh.new_keys import NewKeys
from tests.lab.proxy import Proxy
from tests.lab.sshd import Sshd, free_port, keygen
from tests.ssh.conftest import Serve


def ours(target: Target, settings: SshSettings, new_keys: NewKeys | None = None) -> bool:
    with SSH(target, settings, new_keys=new_keys) as host:
        return host.ask("echo well", timeout=10).records == ("well",)


def theirs(server: Sshd, host: str = "127.0.0.1") -> bool:
    """Whether `ssh` gets there, with the same configuration and key."""
    words = ["ssh", "-F", str(server.folder / "ssh_config"), "-o", "BatchMode=yes", "-i", str(server.key)]
    done = subprocess.run(
        [*words, "-p", str(server.port), host, "echo well"],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip() == "well"


def same(server: Sshd) -> bool:
    """What both come to."""
    target = server.target(sudo="never")
    expected = theirs(server)
    if expected:
        assert ours(target, server.settings)
    else:
        with pytest.raises(ProvisionError):
            ours(target, server.settings)
    return expected


# Jump hosts


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for sockets, whose names may not be longer than 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_host_that_is_done_takes_no_other_along(sshd: Sshd, short: Path) -> None:
    """With ControlMaster, the first way through a jump host would be that of all others."""
    with Proxy(sshd.port) as gate, Proxy(sshd.port) as one, Proxy(sshd.port) as two:
        for proxy in (gate, one, two):
            sshd.trust(proxy.port)
        sshd.configure(
            f"Host gate\n HostName 127.0.0.1\n Port {gate.port}\n ControlMaster auto\n"
            f" ControlPath {short}/shared-%C\nHost *\n IdentityFile {sshd.key}"
        )
        first, second = (
            SSH(sshd.target(port=proxy.port, sudo="never", jump="gate"), sshd.settings)
            for proxy in (one, two)
        )
        with second:
            with first:
                assert not list(short.iterdir())
                second.open()
            assert second.ask("echo well", timeout=10).records == ("well",)


def test_a_connection_to_a_jump_host_that_is_open_is_shared(sshd: Sshd, short: Path) -> None:
    """Somebody may have opened it by a way that no program knows."""
    with Proxy(sshd.port) as gate:
        sshd.trust(gate.port)
        sshd.configure(
            f"Host gate\n HostName 127.0.0.1\n Port {gate.port}\n ControlPath {short}/shared\nHost *"
        )
        words = ["ssh", "-F", str(sshd.folder / "ssh_config"), "-i", str(sshd.key), "-N", "-M", "gate"]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL) as master:
            try:
                while not (short / "shared").exists():
                    assert master.poll() is None
                # The key is for the host alone.
                assert ours(sshd.target(sudo="never", jump="gate"), sshd.settings)
                assert gate.line.connections == 1
            finally:
                master.terminate()


def test_tokens_in_the_name_of_a_jump_host(sshd: Sshd) -> None:
    with Proxy(sshd.port) as gate:
        sshd.trust(gate.port)
        sshd.configure(
            f"Host gate-127.0.0.1\n HostName 127.0.0.1\n Port {gate.port}\n IdentityFile {sshd.key}\n"
            f"Host 127.0.0.1\n ProxyJump gate-%h\nHost *"
        )
        assert same(sshd)
        assert gate.line.connections == 2


# The socket


@contextmanager
def late(port: int, behind: int, seconds: float) -> Iterator[None]:
    """A server that comes up later at a port: one connection of it."""

    def pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with socket.create_server(("127.0.0.1", port)) as server:
            near, _ = server.accept()
        with near, socket.create_connection(("127.0.0.1", behind)) as far:
            back = threading.Thread(target=pump, args=(far, near), daemon=True)
            back.start()
            pump(near, far)
            back.join()

    timer = threading.Timer(seconds, serve)
    timer.daemon = True
    timer.start()
    yield
    timer.join(10)


def test_a_host_that_comes_up_late_is_tried_as_often_as_configured(sshd: Sshd) -> None:
    port = free_port()
    sshd.trust(port)
    sshd.configure("ConnectionAttempts 30")
    with late(port, sshd.port, 0.5):
        assert ours(sshd.target(port=port, sudo="never"), sshd.settings)
    sshd.configure("ConnectionAttempts 2")
    with pytest.raises(UnreachableError, match="refused the connection"):
        ours(sshd.target(port=port), sshd.settings)


def other_interfaces() -> list[tuple[str, str]]:
    """Those with an IPv4 address, beside loopback."""
    found = []
    for _, name in socket.if_nameindex():
        with suppress(OSError):
            found.append((name, of_interface(name, socket.AF_INET)[0]))
    return [each for each in found if each[0] != "lo"]


def test_an_interface_s_address_is_where_connections_come_from(sshd: Sshd) -> None:
    """The interface need not lead there: loopback does."""
    assert of_interface("lo", socket.AF_INET) == ("127.0.0.1", 0)
    if not other_interfaces():
        pytest.skip("this machine has loopback alone")
    name, address = other_interfaces()[0]
    sshd.configure(f"BindInterface {name}")
    assert theirs(sshd)
    with SSH(sshd.target(sudo="never"), sshd.settings) as host:
        assert host.ask('echo "$SSH_CLIENT"', timeout=10).records[0].startswith(f"{address} ")


# Host keys


def write_configuration(server: Sshd, text: str) -> None:
    """Without the known_hosts of all other tests."""
    (server.folder / "ssh_config").write_text(f"{text}\nIdentitiesOnly yes\nIdentityAgent none\n")


def test_a_user_without_known_hosts_has_no_key_added_for_all(sshd: Sshd, tmp_path: Path) -> None:
    for_all = tmp_path / "for_all"
    write_configuration(sshd, f"UserKnownHostsFile none\nGlobalKnownHostsFile {for_all}")
    said: list[str] = []
    assert ours(sshd.target(sudo="never"), sshd.settings, NewKeys(said.append, accept=True))
    assert "for this run only" in said[0]
    assert not for_all.exists()
    sshd.known_hosts.rename(for_all)
    assert same(sshd)


CERTIFICATES: Final = {
    "at any port": ("", "@cert-authority 127.0.0.1 CA", True),
    "certificates alone": (
        "HostKeyAlgorithms *-cert-v01@openssh.com",
        "@cert-authority [127.0.0.1]:PORT CA",
        True,
    ),
    "an old key": ("", "@cert-authority [127.0.0.1]:PORT CA\n[127.0.0.1]:PORT OLD", True),
    "an old key of another kind": (
        "",
        "@cert-authority [127.0.0.1]:PORT CA\n[127.0.0.1]:PORT RSA",
        True,
    ),
    "an authority that was revoked": ("", "@cert-authority [127.0.0.1]:PORT CA\n@revoked * CA", False),
}


@pytest.mark.parametrize("case", CERTIFICATES)
def test_certificates_of_hosts(serve: Serve, tmp_path: Path, case: str) -> None:
    setting, lines, works = CERTIFICATES[case]
    keys = {name: keygen(tmp_path / name, kind) for name, kind in (("CA", "ed25519"), ("OLD", "ed25519"))}
    keys |= {name: keygen(tmp_path / name, "rsa") for name in ("RSA", "another")}
    server = serve()
    subprocess.run(
        ["ssh-keygen", "-q", "-s", keys["CA"], "-h", "-I", "box", "-n", "127.0.0.1", server.host_key],
        check=True,
    )
    # The server has a new key of the old kind as well, which nobody vouches for.
    (tmp_path / "more").write_text(f"HostKey {keys['another']}\n")
    server.options = {"HostCertificate": f"{server.host_key}-cert.pub", "Include": str(tmp_path / "more")}
    server.restart(server.host_key)
    for name, key in keys.items():
        lines = lines.replace(name, " ".join(key.with_suffix(".pub").read_text().split()[:2]))
    server.known_hosts.write_text(lines.replace("PORT", str(server.port)) + "\n")
    server.configure(setting)
    assert same(server) == works
    if not works:
        with pytest.raises(HostKeyError, match="was revoked"):
            ours(server.target(sudo="never"), server.settings, NewKeys(lambda _: None, accept=True))


def test_a_file_of_revoked_keys_is_the_one_that_ssh_reads(sshd: Sshd, tmp_path: Path) -> None:
    """Some versions of it replace tokens there; 9.2 does not."""
    shutil.copy(sshd.host_key.with_suffix(".pub"), tmp_path / "revoked%%")
    (tmp_path / "revoked%").touch()
    sshd.configure(f"RevokedHostKeys {tmp_path}/revoked%%")
    same(sshd)


# Keys


def test_a_server_that_wants_two_keys(serve: Serve, tmp_path: Path) -> None:
    server = serve(AuthenticationMethods="publickey,publickey")
    second = keygen(tmp_path / "second")
    with (server.folder / "authorized_keys").open("a") as file:
        file.write(second.with_suffix(".pub").read_text())
    server.configure(f"IdentityFile {second}")
    assert same(server)
    server.configure("")
    with pytest.raises(UnreachableError) as caught:
        ours(server.target(), server.settings)
    assert "the server wants more than one" in caught.value.cause


@pytest.mark.parametrize("where", ["KexAlgorithms of the host", "KexAlgorithms of the configuration"])
def test_an_algorithm_of_two_names(serve: Serve, where: str) -> None:
    only = "curve25519-sha256"
    server = serve(**({"KexAlgorithms": only} if "host" in where else {}))
    server.configure(f"KexAlgorithms {only}" if "configuration" in where else "")
    assert same(server)


def test_an_open_connection_that_is_not_shared_is_named(sshd: Sshd, short: Path) -> None:
    """By which `ssh` gets in, perhaps after a password."""
    shared = short / "shared"
    sshd.configure(f"ControlPath {shared}")
    other = sshd.target(identity_files=(short / "none",))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(shared))
        with pytest.raises(UnreachableError) as caught:
            ours(other, sshd.settings)
    assert f"ControlPath {shared}: the connection that is open there is not shared" in caught.value.cause
    shared.unlink()
    with pytest.raises(UnreachableError) as caught:
        ours(other, sshd.settings)
    assert "ControlPath" not in caught.value.cause


def test_what_is_to_be_typed_works_with_a_remote_command(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    sshd.configure("RemoteCommand tmux")
    with pytest.raises(HostKeyError) as caught:
        ours(sshd.target(), sshd.settings)
    assert "-o RemoteCommand=none" in caught.value.hint


# Programs of the configuration


def test_a_match_exec_may_leave_something_running(sshd: Sshd) -> None:
    """An agent, for one. It keeps what it was given as standard error, which `ssh` does not wait for."""
    sshd.configure('Match exec "sleep 60 &"\nMatch all')
    assert ours(sshd.target(sudo="never"), sshd.settings)
