"""SSH servers that are not as they should be, made with Paramiko: hostile, strange, or just of another kind."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import paramiko
import psutil
import pytest
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_EXT_INFO, cMSG_SERVICE_ACCEPT, cMSG_USERAUTH_BANNER

from provision.errors import HostError, ProvisionError, UnreachableError
from provision.transport import SshSettings, Target
from provision.transport.session import SessionTransport
from provision.transport.ssh import SSH
from provision.transport.ssh.new_keys import NewKeys
from tests.lab.patience import until
from tests.lab.sshd import keygen

Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """A port at which `serve` gets each connection, in a thread of its own."""

    def accept(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = server.accept()
                threading.Thread(target=one, args=(peer,), daemon=True).start()

    def one(peer: socket.socket) -> None:
        with peer, suppress(OSError, EOFError, paramiko.SSHException):
            serve(peer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keygen(tmp_path / "host_key")
    (tmp_path / "config").write_text(
        f"UserKnownHostsFile {tmp_path}/known_hosts\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\n"
        f"IdentitiesOnly yes\nStrictHostKeyChecking accept-new\nIdentityFile {keygen(tmp_path / 'user_key')}\n",
        encoding="ascii",
    )
    return tmp_path


def host(folder: Path, port: int, user: str = "me") -> SSH:
    settings = SshSettings(config=folder / "config", connect_timeout=3.0, attempts=1, keepalive=1)
    return SSH(
        Target(name="box", host="127.0.0.1", port=port, user=user, sudo="never"),
        settings,
        new_keys=NewKeys(lambda _line: None),
    )


class Server(paramiko.ServerInterface):  # type: ignore[misc]
    """Lets everybody in by key, and starts a program that is none."""

    banner = ""
    by_key: int = paramiko.AUTH_SUCCESSFUL
    by_none: int = paramiko.AUTH_FAILED
    run: Callable[[paramiko.Channel], None] = staticmethod(lambda _channel: None)

    def get_banner(self) -> tuple[str, str]:
        return (self.banner, "en") if self.banner else (None, None)  # type: ignore[return-value]

    def check_auth_publickey(self, _username: str, _key: paramiko.PKey) -> int:
        return self.by_key

    def check_auth_none(self, _username: str) -> int:
        return self.by_none

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey,gssapi-with-mic"

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: paramiko.Channel, _command: bytes) -> bool:
        threading.Thread(target=self.run, args=(channel,), daemon=True).start()
        return True


Change = Callable[[paramiko.Transport], None]


def ssh_server(folder: Path, kind: type[Server], change: Change = lambda _: None) -> Serve:
    def serve(peer: socket.socket) -> None:
        transport = paramiko.Transport(peer)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(folder / "host_key")))
        change(transport)
        transport.start_server(server=kind())
        while transport.is_active():
            transport.join(0.2)

    return serve


@contextmanager
def bounded(measure: Callable[[], int], most: int) -> Iterator[None]:
    """What is measured, in bytes, may at no moment be more MiB."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            seen.append(measure())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert max(seen) >> 20 < most


def bounded_memory(most: int = 100) -> AbstractContextManager[None]:
    """This process, which is the server as well, may not grow by more MiB."""
    process = psutil.Process()
    before = process.memory_info().rss
    return bounded(lambda: process.memory_info().rss - before, most)


def bounded_files(most: int = 4) -> AbstractContextManager[None]:
    """No file that this process has open, under a name or without one, may grow beyond so many MiB."""

    def largest() -> int:
        sizes = [0]
        for number in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                sizes.append(number.stat().st_size if number.is_file() else 0)
        return max(sizes)

    return bounded(largest, most)


# Bounds


def test_a_first_line_without_end(folder: Path) -> None:
    def serve(peer: socket.socket) -> None:
        peer.sendall(b"SSH-2.0-")
        while True:
            peer.sendall(b"x" * 65536)

    with serving(serve) as port, bounded_memory(), pytest.raises(UnreachableError, match="no SSH server"):
        host(folder, port).open()


@pytest.mark.parametrize("size", [0x7FFFFFFC, 0xFFFFFFFC, 300_000_004])
def test_a_packet_of_gigabytes(folder: Path, size: int) -> None:
    def serve(peer: socket.socket) -> None:
        peer.sendall(b"SSH-2.0-big\r\n" + struct.pack(">IB", size, 4))
        while True:
            peer.sendall(b"x" * 65536)

    with (
        serving(serve) as port,
        bounded_memory(),
        pytest.raises(UnreachableError, match="SSH failed") as caught,
    ):
        host(folder, port).open()
    assert "packet" in caught.value.cause


def test_a_server_that_does_not_heed_the_window(folder: Path) -> None:
    class Flood(Server):
        @staticmethod
        def run(channel: paramiko.Channel) -> None:
            with suppress(OSError, EOFError):
                while True:
                    channel.out_window_size = 1 << 30
                    channel.send(b"x" * 30_000)

    with serving(ssh_server(folder, Flood)) as port, bounded_memory(), host(folder, port) as box:
        # Nobody asks, so nobody reads on.
        assert until(lambda: not channel_of(box).transport.is_active())
        with pytest.raises(HostError):
            box.ask("echo well", timeout=20)


def channel_of(box: SessionTransport) -> paramiko.Channel:
    assert box._session
    return box._session._stream._channel  # type: ignore[attr-defined]


class Chatterbox(Server):
    """Talks before the login (RFC 4252 §5.4), without an end."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport

    def check_auth_none(self, _username: str) -> int:
        words = paramiko.Message()
        words.add_byte(cMSG_USERAUTH_BANNER)
        words.add_string("x" * 200_000 + "\n")
        words.add_string("en")
        with suppress(OSError, EOFError, paramiko.SSHException):
            while self._transport.is_active():
                self._transport._send_message(words)
        return int(paramiko.AUTH_FAILED)


def chatterbox(folder: Path) -> Serve:
    def serve(peer: socket.socket) -> None:
        transport = paramiko.Transport(peer)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(folder / "host_key")))
        transport.start_server(server=Chatterbox(transport))
        while transport.is_active():
            transport.join(0.2)

    return serve


def test_a_jump_host_that_never_stops_talking(folder: Path) -> None:
    with serving(chatterbox(folder)) as port, bounded_memory(), bounded_files():
        jumping = Target(name="box", host="127.0.0.1", port=9, jump=f"me@127.0.0.1:{port}", sudo="never")
        settings = SshSettings(config=folder / "config", connect_timeout=1.0, attempts=1)
        with pytest.raises(UnreachableError):
            SSH(jumping, settings).open()


def test_a_host_that_never_stops_talking_to_ssh(folder: Path) -> None:
    """Which is asked whether it vouches for the host."""
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    with serving(chatterbox(folder)) as port, bounded_memory():
        (folder / "config").write_text(
            f"KnownHostsCommand /bin/echo [127.0.0.1]:{port} {key}\nStrictHostKeyChecking yes\n"
            f"{(folder / 'config').read_text()}",
            encoding="ascii",
        )
        with pytest.raises(ProvisionError):
            host(folder, port).open()


# Logins


def test_a_server_that_lets_in_by_other_means(folder: Path) -> None:
    class Tail(Server):
        by_key = paramiko.AUTH_FAILED
        by_none = paramiko.AUTH_SUCCESSFUL

    with serving(ssh_server(folder, Tail)) as port:
        host(folder, port).open()


def once_only(transport: paramiko.Transport) -> None:
    """As servers written in Go, and AsyncSSH: the service is asked for once, whatever keys are tried then."""

    class Strict(AuthHandler):  # type: ignore[misc]
        asked = 0

        def _parse_service_request(self, message: paramiko.Message) -> None:
            self.asked += 1
            if self.asked > 1:
                self.transport.close()
            super()._parse_service_request(message)

    transport.auth_handler = Strict(transport)


def test_each_key_is_tried_where_the_service_may_be_asked_for_once(folder: Path) -> None:
    keys = [folder / "user_key", keygen(folder / "second_key"), keygen(folder / "rsa_key", "rsa")]
    with (folder / "config").open("a", encoding="ascii") as file:
        file.write("".join(f"IdentityFile {key}\n" for key in keys[1:]))
    for right in keys:
        blob = paramiko.PKey.from_path(right).asbytes()

        class Picky(Server):
            def check_auth_publickey(self, _username: str, key: paramiko.PKey, blob: bytes = blob) -> int:
                return int(paramiko.AUTH_SUCCESSFUL if key.asbytes() == blob else paramiko.AUTH_FAILED)

        with serving(ssh_server(folder, Picky, once_only)) as port:
            host(folder, port).open()

    class Tail(Server):
        by_key = paramiko.AUTH_FAILED
        by_none = paramiko.AUTH_SUCCESSFUL

    with serving(ssh_server(folder, Tail, once_only)) as port:
        host(folder, port).open()


def test_a_server_that_hangs_up_on_a_login_is_not_called_overloaded(folder: Path) -> None:
    def hanging_up(transport: paramiko.Transport) -> None:
        class HangingUp(AuthHandler):  # type: ignore[misc]
            def _parse_service_request(self, _message: paramiko.Message) -> None:
                self.transport.close()

        transport.auth_handler = HangingUp(transport)

    with serving(ssh_server(folder, Server, hanging_up)) as port:
        for _ in range(5):
            with pytest.raises(UnreachableError, match="was refused") as caught:
                host(folder, port).open()
            assert "the server hung up." in caught.value.cause


def test_what_the_server_says_is_quoted(folder: Path) -> None:
    class Booting(Server):
        banner = '"System is booting up. Unprivileged users are not permitted to log in yet."\n'
        by_key = paramiko.AUTH_FAILED

    with serving(ssh_server(folder, Booting)) as port, pytest.raises(UnreachableError) as caught:
        host(folder, port).open()
    assert "System is booting up." in caught.value.cause
    assert "Try again in a minute" in caught.value.hint


def test_a_way_that_is_not_supported_is_named(folder: Path) -> None:
    class Kerberos(Server):
        by_key = paramiko.AUTH_FAILED

    with (folder / "config").open("a", encoding="ascii") as file:
        file.write("GSSAPIAuthentication yes\n")
    with serving(ssh_server(folder, Kerberos)) as port, pytest.raises(UnreachableError) as caught:
        host(folder, port).open()
    assert "GSSAPIAuthentication yes: Kerberos is not supported" in caught.value.cause


# Algorithms


def test_a_strict_server_is_not_called_old(folder: Path) -> None:
    def strict(transport: paramiko.Transport) -> None:
        transport._preferred_kex = ("curve25519-sha256@libssh.org",)
        transport._kex_info = {**transport._kex_info, "sntrup761x25519-sha512@openssh.com": None}
        transport._preferred_kex = ("sntrup761x25519-sha512@openssh.com",)

    with serving(ssh_server(folder, Server, strict)) as port, pytest.raises(UnreachableError) as caught:
        host(folder, port).open()
    assert "KexAlgorithms: it offers only sntrup761x25519-sha512@openssh.com" in caught.value.cause
    assert "KexAlgorithms +" in caught.value.hint


@pytest.mark.parametrize("named", ["at once", "late", "never"])
@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
def test_an_rsa_key_signs_by_what_the_server_takes(folder: Path, algorithm: str, named: str) -> None:
    """The server names it before the login (RFC 8308), or not at all: then the better one is tried."""

    def only_one(transport: paramiko.Transport) -> None:
        transport._preferred_pubkeys = (algorithm,)
        transport.server_sig_algs = named == "at once"
        if named == "late":
            transport._send_message = after_its_name(transport._send_message)

    def after_its_name(send: Callable[[paramiko.Message], None]) -> Callable[[paramiko.Message], None]:
        name = paramiko.Message()
        name.add_byte(cMSG_EXT_INFO)
        name.add_int(1)
        name.add_string("server-sig-algs")
        name.add_string(algorithm)

        def sent(message: paramiko.Message) -> None:
            if message.asbytes().startswith(cMSG_SERVICE_ACCEPT):
                send(name)
            send(message)

        return sent

    (folder / "user_key").unlink()
    keygen(folder / "user_key", "rsa")
    with serving(ssh_server(folder, Server, only_one)) as port:
        for _ in range(5):
            if named != "never" or algorithm == "rsa-sha2-512":
                host(folder, port).open()
            else:
                with pytest.raises(UnreachableError):
                    host(folder, port).open()


@pytest.mark.parametrize(
    ("setting", "works"),
    [
        ("Ciphers aes256-ctr", True),
        ("Ciphers aes128-ctr", False),
        ("Ciphers chacha20-poly1305@openssh.com", False),
    ],
)
def test_the_algorithms_of_the_configuration_are_followed(folder: Path, setting: str, works: bool) -> None:
    def only_one(transport: paramiko.Transport) -> None:
        transport.get_security_options().ciphers = ("aes256-ctr",)

    with (folder / "config").open("a", encoding="ascii") as file:
        file.write(f"{setting}\n")
    with serving(ssh_server(folder, Server, only_one)) as port:
        if works:
            host(folder, port).open()
        else:
            with pytest.raises(UnreachableError) as caught:
                host(folder, port).open()
            assert "Ciphers" in caught.value.message + caught.value.cause
