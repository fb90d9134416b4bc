"""sudo-rs, which Ubuntu has for sudo: Debian 13's package of it, over SSH, in a root of that Debian."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.errors import HostError
from provision.transport import Secret, SshSettings, Target
from provision.transport.password import Password
from provision.transport.ssh import SSH
from tests.lab.bare import BareRoot
from tests.lab.patience import until
from tests.lab.sshd import free_port, keygen, listening

PASSWORD = "correct horse"
USERS = ("one", "two", "three")
PREPARE = """
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssh-server sudo-rs
ln -s sudo-rs /usr/bin/sudo
for user in $USERS guest; do
    useradd --create-home --shell /bin/bash "$user"
    echo "$user:$PASSWORD" | chpasswd
done
for user in $USERS; do echo "$user ALL=(ALL) ALL"; done >/etc/sudoers
chmod 440 /etc/sudoers
cat >/etc/ssh/keys
mkdir -p /run/sshd
/usr/sbin/sshd -o "Port $PORT" -o "ListenAddress 127.0.0.1" -o "AuthorizedKeysFile /etc/ssh/keys" -o "UsePAM no"
cat /etc/ssh/ssh_host_ed25519_key.pub
"""


@dataclass(frozen=True, kw_only=True)
class Box:
    root: BareRoot
    port: int
    key: Path
    settings: SshSettings
    log: list[bytes]
    """What was sent to /dev/log."""

    def user_id(self, user: str, password: Secret | None) -> str:
        """What `id -u` says as root; else the message of the error."""
        target = Target(name=user, host="127.0.0.1", port=self.port, user=user, identity_files=(self.key,))
        try:
            with SSH(target, self.settings, password) as host:
                return host.ask("id -u", timeout=30).records[0]
        except HostError as error:
            return error.message

    def refusals(self) -> int:
        """How many passwords PAM has found to be wrong, by its log, since this was asked last."""
        found = sum(b"authentication failure" in line for line in self.log)
        self.log.clear()
        return found


@contextmanager
def logged(path: Path) -> Iterator[list[bytes]]:
    """What is sent to a socket of syslog. It is read at once: who sends waits where ten messages are unread."""
    lines: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        path.chmod(0o666)

        def read() -> None:
            while line := log.recv(65536):
                lines.append(line)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield lines
        log.shutdown(socket.SHUT_RD)
        thread.join(5)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder, port = tmp_path_factory.mktemp("client"), free_port()
    key = keygen(folder / "id_ed25519")
    variables = {"USERS": " ".join(USERS), "PASSWORD": PASSWORD, "PORT": str(port)}
    with BareRoot("trixie") as root, logged(root.tree / "dev/log") as log:
        public = key.with_suffix(".pub").read_bytes()
        said = root.run(f"set -e\n{PREPARE}", env=variables, stdin=public, timeout=600).stdout
        host_key = next(line for line in said.splitlines() if line.startswith("ssh-ed25519 "))
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
        (folder / "ssh_config").write_text(
            f"UserKnownHostsFile {folder}/known_hosts\nIdentitiesOnly yes\nIdentityAgent none\n"
        )
        assert until(lambda: listening(port))
        settings = SshSettings(config=folder / "ssh_config")
        yield Box(root=root, port=port, key=key, settings=settings, log=log)


def test_the_password_makes_root(box: Box) -> None:
    assert "sudo-rs" in box.root.run("sudo --version 2>&1").stdout
    assert box.user_id("one", Secret(PASSWORD)) == "0"
    assert box.refusals() == 0


def test_a_wrong_one_is_tried_once_and_nowhere_else(box: Box) -> None:
    password = Password("wrong horse")
    with ThreadPoolExecutor(len(USERS)) as pool:
        told = list(pool.map(lambda user: box.user_id(user, password), USERS))
    assert sorted(text.partition(": ")[2] for text in told) == [
        "sudo did not accept the password",
        *["the sudo password was not tried"] * 2,
    ]
    assert box.refusals() == 1


def test_the_right_one_goes_to_all(box: Box) -> None:
    password = Password(PASSWORD)
    with ThreadPoolExecutor(len(USERS)) as pool:
        assert list(pool.map(lambda user: box.user_id(user, password), USERS)) == ["0"] * 3


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [("one", None, "asks for a password"), ("guest", Secret(PASSWORD), "may not become root")],
)
def test_a_refusal_is_explained(box: Box, user: str, password: Secret | None, told: str) -> None:
    assert told in box.user_id(user, password)
