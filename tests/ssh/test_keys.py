"""Keys of the login: kinds, agents, certificates, and what cannot be used."""

from __future__ import annotations

import base64
import dataclasses
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa

from provision.errors import UnreachableError
from tests.lab.patience import until
from tests.lab.proxy import Proxy
from tests.lab.sshd import Sshd, keygen
from tests.ssh.conftest import Serve, well


def said(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(
        command, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout


@contextmanager
def agent(folder: Path, *keys: Path, asks: bool = False) -> Iterator[Path]:
    """A real ssh-agent that holds these keys. With `asks` it wants a person's word for each use, and gets a no."""
    path = folder / "agent"
    never = {**os.environ, "SSH_ASKPASS": "/bin/false", "DISPLAY": ":0", "SSH_AUTH_SOCK": str(path)}
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL, env=never
    ) as process:
        try:
            # At first there is no socket, and then one at which nobody listens.
            assert until(lambda: "Error connecting" not in said(["ssh-add", "-l"], never))
            for key in keys:
                command = ["ssh-add", "-q", *(["-c"] if asks else []), str(key)]
                subprocess.run(command, env=never, check=True, capture_output=True)
            yield path
        finally:
            process.terminate()


def test_an_agent_s_key(sshd: Sshd, tmp_path: Path) -> None:
    with agent(tmp_path, sshd.key) as path:
        sshd.configure(f"IdentityAgent {path}\nIdentitiesOnly no")
        assert well(sshd.target(sudo="never", identity_files=()), sshd.settings)


def test_with_identities_only_the_agent_s_others_are_not_offered(sshd: Sshd, tmp_path: Path) -> None:
    others = [keygen(sshd.folder / f"other{number}") for number in range(3)]
    # The private half is in the agent alone; the configuration names the key by its public half.
    named = tmp_path / "named"
    shutil.copy(sshd.key.with_suffix(".pub"), named.with_suffix(".pub"))
    with agent(tmp_path, *others, sshd.key) as path:
        sshd.configure(f"IdentityAgent {path}")
        assert well(sshd.target(sudo="never", identity_files=(named,)), sshd.settings)
        with pytest.raises(UnreachableError) as caught:
            well(sshd.target(identity_files=(others[0],)), sshd.settings)
    assert caught.value.cause.startswith(f"Tried: {others[0]} (agent).")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_kinds_of_keys(sshd: Sshd, kind: str) -> None:
    key = keygen(sshd.folder / f"user_{kind}", kind)
    shutil.copy(key.with_suffix(".pub"), sshd.folder / "authorized_keys")
    assert well(sshd.target(sudo="never", identity_files=(key,)), sshd.settings)


@pytest.mark.parametrize("beside", [True, False])
def test_certificates(serve: Serve, tmp_path: Path, beside: bool) -> None:
    authority = keygen(tmp_path / "authority")
    server = serve(TrustedUserCAKeys=str(authority.with_suffix(".pub")))
    (server.folder / "authorized_keys").write_text("", encoding="ascii")
    user = server.target().user
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", str(user), str(server.key)],
        check=True,
    )
    certificate = server.folder / "id_ed25519-cert.pub"
    if not beside:
        certificate = certificate.rename(tmp_path / "elsewhere-cert.pub")
        server.configure(f"CertificateFile {certificate}")
    assert well(server.target(sudo="never"), server.settings)
    certificate.unlink()
    with pytest.raises(UnreachableError):
        well(server.target(sudo="never"), server.settings)


def sign(authority: Path, key: Path, user: str | None) -> Path:
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", str(user), str(key)]
    subprocess.run(command, check=True)
    return key.with_name(f"{key.name}-cert.pub")


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("only", ["yes", "no"])
@pytest.mark.parametrize("held", [True, False], ids=["signed before", "signed after"])
def test_certificates_of_keys_in_an_agent(
    serve: Serve, tmp_path: Path, kind: str, only: str, held: bool
) -> None:
    """Signed before `ssh-add`, the agent has the certificate as well; after it, the file alone."""
    authority = keygen(tmp_path / "authority")
    server = serve(TrustedUserCAKeys=str(authority.with_suffix(".pub")))
    (server.folder / "authorized_keys").write_text("", encoding="ascii")
    target = server.target(sudo="never", identity_files=(tmp_path / "key",))
    key = keygen(tmp_path / "key", kind)
    if held:
        sign(authority, key, target.user)
    with agent(tmp_path, key) as path:
        if held:
            key.with_name("key-cert.pub").unlink()  # the agent's own has to do
        else:
            sign(authority, key, target.user)
        key.unlink()
        server.configure(f"IdentityAgent {path}\nIdentitiesOnly {only}")
        assert well(target, server.settings)


def test_a_certificate_that_is_refused_does_not_hide_its_key(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    sign(keygen(tmp_path / "nobody's"), server.key, server.target().user)
    target = server.target(sudo="never")
    assert well(target, server.settings)
    with agent(tmp_path, server.key) as path:
        server.configure(f"IdentityAgent {path}")
        assert well(target, server.settings)
        (server.folder / "authorized_keys").write_text("", encoding="ascii")
        with pytest.raises(UnreachableError) as caught:
            well(target, server.settings)
    assert caught.value.cause.startswith(f"Tried: {server.key} (agent, certificate), {server.key} (agent).")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_agent_that_does_not_sign_does_not_hide_the_next_key(
    sshd: Sshd, tmp_path: Path, kind: str
) -> None:
    """ssh: "signing failed for ... from agent: agent refused operation", and the next key."""
    held = keygen(tmp_path / "held", kind)
    with (sshd.folder / "authorized_keys").open("a", encoding="ascii") as file:
        file.write(held.with_suffix(".pub").read_text(encoding="ascii"))
    with agent(tmp_path, held, asks=True) as path:
        sshd.configure(f"IdentityAgent {path}")
        held.unlink()
        assert well(sshd.target(sudo="never", identity_files=(held, sshd.key)), sshd.settings)
        with pytest.raises(UnreachableError, match="was refused") as caught:
            well(sshd.target(identity_files=(held,)), sshd.settings)
    assert f"{held} (agent) could not sign" in caught.value.cause


def test_each_key_costs_one_turn_of_the_line(sshd: Sshd) -> None:
    wrong = tuple(keygen(sshd.folder / f"wrong{number}") for number in range(3))
    with Proxy(sshd.port, delay=0.025) as proxy:
        sshd.trust(proxy.port)
        turns = []
        for keys in ((), wrong):
            before = proxy.line.turns
            assert well(
                sshd.target(port=proxy.port, sudo="never", identity_files=(*keys, sshd.key)), sshd.settings
            )
            turns.append(proxy.line.turns - before)
    assert turns[0] <= 6
    assert turns[1] == turns[0] + len(wrong)


# Tokens


class Token(threading.Thread):
    """An agent with keys of a token that nobody touches. Counts the signatures that it was asked for."""

    def __init__(self, socket_file: Path, *blobs: bytes, refuses: bool = True) -> None:
        """Without `refuses` it never answers."""
        super().__init__(daemon=True)
        self._refuses = refuses
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(socket_file))
        self._server.listen()
        self._blobs = blobs
        self.asked = 0

    def run(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                with peer, suppress(OSError):
                    self._serve(peer)

    def _serve(self, peer: socket.socket) -> None:
        """draft-miller-ssh-agent: 11 asks for keys, 13 for a signature; 5 is a failure."""
        while head := peer.recv(4, socket.MSG_WAITALL):
            request = peer.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
            answer = b"\x05"
            if request[0] == 11:
                keys = b"".join(string(blob) + string(b"token") for blob in self._blobs)
                answer = b"\x0c" + struct.pack(">I", len(self._blobs)) + keys
            self.asked += request[0] == 13
            if request[0] != 13 or self._refuses:
                peer.sendall(string(answer))


def token_key(number: int = 0) -> bytes:
    return b"".join(map(string, (b"sk-ssh-ed25519@openssh.com", bytes([number] * 32), b"ssh:")))


def let_in(sshd: Sshd, *blobs: bytes) -> None:
    with (sshd.folder / "authorized_keys").open("a", encoding="ascii") as file:
        file.writelines(f"sk-ssh-ed25519@openssh.com {base64.b64encode(blob).decode()}\n" for blob in blobs)


@pytest.mark.parametrize("wanted", [False, True])
def test_nobody_has_to_touch_a_token_that_the_server_does_not_want(
    sshd: Sshd, tmp_path: Path, wanted: bool
) -> None:
    """As with ssh, which asks the server about each key first."""
    if wanted:
        let_in(sshd, token_key())
    token = Token(tmp_path / "agent", token_key())
    token.start()
    sshd.configure(f"IdentityAgent {tmp_path}/agent\nIdentitiesOnly no")
    assert well(sshd.target(sudo="never", identity_files=(sshd.key,)), sshd.settings)
    assert token.asked == wanted


def test_an_agent_that_never_answers_is_asked_for_one_signature(sshd: Sshd, tmp_path: Path) -> None:
    """Its late answer would be taken for that to the next question."""
    keys = [token_key(number) for number in range(3)]
    let_in(sshd, *keys)
    token = Token(tmp_path / "agent", *keys, refuses=False)
    token.start()
    sshd.configure(f"IdentityAgent {tmp_path}/agent\nIdentitiesOnly no")
    settings = dataclasses.replace(sshd.settings, connect_timeout=1.0)
    assert well(sshd.target(sudo="never", identity_files=(sshd.key,)), settings)
    assert token.asked == 1


def test_what_the_server_says_to_a_key_of_a_token_is_kept(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "banner").write_text("System is booting up.\n", encoding="ascii")
    server = serve(Banner=str(tmp_path / "banner"))
    let_in(server, token_key())
    Token(tmp_path / "agent", token_key()).start()
    server.configure(f"IdentityAgent {tmp_path}/agent\nIdentitiesOnly no")
    with pytest.raises(UnreachableError) as caught:
        well(server.target(identity_files=()), server.settings)
    assert "System is booting up." in caught.value.cause
    assert "Try again in a minute" in caught.value.hint


# Kinds of key files that only ssh or an agent can use


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def hardware_key(file: Path) -> Path:
    """A private key file as `ssh-keygen -t ed25519-sk` writes it: a handle for a token (PROTOCOL.key, .u2f)."""
    kind = b"sk-ssh-ed25519@openssh.com"
    public = string(kind) + string(os.urandom(32)) + string(b"ssh:")
    private = (
        struct.pack(">II", 7, 7) + public + b"\1" + string(os.urandom(64)) + string(b"") + string(b"a token")
    )
    private += bytes(range(1, 1 + -len(private) % 8))
    body = b"openssh-key-v1\0" + string(b"none") + string(b"none") + string(b"") + struct.pack(">I", 1)
    text = base64.encodebytes(body + string(public) + string(private)).decode()
    file.write_text(
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}-----END OPENSSH PRIVATE KEY-----\n", encoding="ascii"
    )
    file.chmod(0o600)
    file.with_name(f"{file.name}.pub").write_text(
        f"{kind.decode()} {base64.b64encode(public).decode()} a token\n"
    )
    return file


def old_key(file: Path) -> Path:
    key = dsa.generate_private_key(2048)
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    file.write_bytes(key.private_bytes(*form))
    return file


@pytest.mark.filterwarnings("ignore:DSA")
@pytest.mark.parametrize("make", [hardware_key, old_key])
def test_a_key_that_cannot_be_used_does_not_hide_the_next(
    sshd: Sshd, tmp_path: Path, make: Callable[[Path], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    strange = make(tmp_path / "strange")
    capfd.readouterr()
    assert well(sshd.target(sudo="never", identity_files=(strange, sshd.key)), sshd.settings)
    with pytest.raises(UnreachableError, match="was refused") as caught:
        well(sshd.target(identity_files=(strange,)), sshd.settings)
    assert (
        f"{strange} is of a kind that is used through an agent only (ssh-add {strange})"
        in caught.value.cause
    )
    assert "Warning" not in "".join(capfd.readouterr())


def test_a_key_that_the_configuration_names_and_nobody_has(sshd: Sshd, tmp_path: Path) -> None:
    sshd.configure(f"IdentityFile {tmp_path}/mistyped")
    with pytest.raises(UnreachableError) as caught:
        well(sshd.target(identity_files=()), sshd.settings)
    assert f"there is no {tmp_path}/mistyped" in caught.value.cause


def test_keys_of_a_kind_that_is_not_accepted_are_not_offered(sshd: Sshd) -> None:
    sshd.configure("PubkeyAcceptedAlgorithms rsa-sha2-512")
    with pytest.raises(UnreachableError) as caught:
        well(sshd.target(), sshd.settings)
    assert "PubkeyAcceptedAlgorithms leaves out" in caught.value.cause
    rsa = keygen(sshd.folder / "user_rsa", "rsa")
    shutil.copy(rsa.with_suffix(".pub"), sshd.folder / "authorized_keys")
    assert well(sshd.target(sudo="never", identity_files=(rsa,)), sshd.settings)
