"""A real OpenSSH server on loopback, with its own keys, for the user who runs the tests.

As root it runs in a mount namespace with throw-away users in its own copies of /etc/passwd, /etc/shadow and
/etc/sudoers and a /run of its own; the machine's files are not touched. `sudo` there is the real one.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from provision.transport import SshSettings, Target

PASSWORD: Final = "correct horse"
USERS: Final = {
    "ci": "ci ALL=(ALL) NOPASSWD: ALL",
    "pw": "pw ALL=(ALL) ALL",
    "plain": "Defaults:plain !use_pty\nplain ALL=(ALL) ALL",
    "guest": "",
    "tty": "Defaults:tty requiretty\ntty ALL=(ALL) NOPASSWD: ALL",
}
"""Login names of the namespace, with their lines in sudoers."""


@dataclass(kw_only=True)
class Sshd:
    """`with Sshd(folder=tmp_path) as server`. Options are lines of sshd_config."""

    folder: Path
    options: Mapping[str, str]
    users: bool = False
    """With the users of `USERS`; needs root."""
    path: Path | None = None
    """Goes before PATH there."""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> Path:
        return self.folder / "host_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def sudo_log(self) -> Path:
        return self.folder / "sudo.log"

    def target(self, user: str | None = None, **settings: object) -> Target:
        given = {"name": "box", "host": "127.0.0.1", "port": self.port, "identity_files": (self.key,)}
        return Target(user=user or getpass.getuser(), **(given | settings))  # type: ignore[arg-type]

    @property
    def settings(self) -> SshSettings:
        """Those of a user whose configuration knows this server and nothing else."""
        return SshSettings(config=self.folder / "ssh_config", connect_timeout=5.0)

    def configure(self, text: str) -> None:
        """The client's configuration, after what all tests need."""
        (self.folder / "ssh_config").write_text(
            f"{text}\nUserKnownHostsFile {self.known_hosts}\nGlobalKnownHostsFile /dev/null\n"
            "IdentitiesOnly yes\nIdentityAgent none\n",
            encoding="utf-8",
        )

    def trust(self, port: int | None = None, key: Path | None = None) -> None:
        """Lets known_hosts have the server, at a port, with a key."""
        kind, blob = (key or self.host_key).with_suffix(".pub").read_text(encoding="ascii").split()[:2]
        with self.known_hosts.open("a", encoding="ascii") as file:
            file.write(f"[127.0.0.1]:{port or self.port} {kind} {blob}\n")

    def __enter__(self) -> Sshd:
        self.port = free_port()
        for key in (self.key, self.host_key):
            keygen(key)
        shutil.copy(self.key.with_suffix(".pub"), self.folder / "authorized_keys")
        self.configure("")
        self.trust()
        self._start()
        return self

    def restart(self, host_key: Path) -> None:
        """The same port, another host key."""
        self._stop()
        if host_key != self.host_key:
            shutil.copy(host_key, self.host_key)
        self._start()

    def _start(self) -> None:
        command = self._command()
        if os.geteuid() == 0:
            script = self.folder / "enter.sh"
            script.write_text(self._enter(), encoding="utf-8")
            command = ["unshare", "--mount", "--propagation", "private", "sh", str(script), *command]
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._await()

    def _command(self) -> list[str]:
        config = self.folder / "sshd_config"
        config.write_text(self._config(), encoding="utf-8")
        return ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]

    def _config(self) -> str:
        lines = {
            "Port": str(self.port),
            "ListenAddress": "127.0.0.1",
            "HostKey": str(self.host_key),
            "AuthorizedKeysFile": str(self.folder / "authorized_keys"),
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            **({"SetEnv": f"PATH={self.path}:/usr/bin:/bin:/usr/sbin:/sbin"} if self.path else {}),
            **self.options,
        }
        return "".join(f"{key} {value}\n" for key, value in lines.items())

    def _enter(self) -> str:
        """A /run for sshd's empty folder and sudo's tickets; the users' files go over the machine's.

        Start-up files of this machine's root are hidden: bash reads them in each session (bash(1), "remote shell
        daemon"), and those of a version manager run programs and wait for each other's lock.
        """
        lines = ["set -e", "mount -t tmpfs tmpfs /run", "mkdir -p /run/sshd /run/sudo"]
        own = (Path.home() / name for name in (".bashrc", ".bash_profile", ".bash_login", ".profile"))
        lines += [f"mount --bind /dev/null {file}" for file in own if file.exists()]
        if self.users:
            lines += [
                f"mount --bind {file} /etc/{file.name}" for file in _accounts(self.folder, self.sudo_log)
            ]
        return "\n".join([*lines, 'exec "$@"', ""])

    def _await(self) -> None:
        until = time.monotonic() + 10
        while not listening(self.port):
            assert self.process
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text(encoding="utf-8")
            assert time.monotonic() < until, "sshd did not start"
            time.sleep(0.02)

    def _stop(self) -> None:
        assert self.process
        self.process.terminate()
        self.process.wait(10)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()


class Dropbear(Sshd):
    """The SSH server of small systems (DietPi, OpenWrt), for the users of `USERS`. It takes no options."""

    def _command(self) -> list[str]:
        key = self.folder / "dropbear_key"
        if not key.exists():
            convert = ["dropbearconvert", "openssh", "dropbear", str(self.host_key), str(key)]
            subprocess.run(convert, check=True, capture_output=True)
        # -F -E: in the foreground, with its log on stderr. -s: no passwords.
        where = ["-p", f"127.0.0.1:{self.port}", "-P", self.folder / "dropbear.pid"]
        return [str(word) for word in ("/usr/sbin/dropbear", "-F", "-E", "-s", "-r", key, *where)]

    def _enter(self) -> str:
        script = super()._enter()
        # It reads no other place than the home's, and that only if nobody else may write there.
        for home in (self.folder / "home").iterdir():
            keys = home / ".ssh" / "authorized_keys"
            keys.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copy(self.folder / "authorized_keys", keys)
            for path in (keys, keys.parent):
                os.chown(path, home.stat().st_uid, home.stat().st_gid)
        return script


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair, unless it is there."""
    if not path.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)], check=True
        )
    return path


def listening(port: int) -> bool:
    """Whether somebody answers at a port of loopback."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _accounts(folder: Path, log: Path) -> list[Path]:
    digest = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True
    ).stdout.strip()
    files = {name: Path("/etc", name).read_text(encoding="utf-8") for name in ("passwd", "shadow", "group")}
    for number, user in enumerate(USERS, start=20001):
        home = folder / "home" / user
        home.mkdir(parents=True, exist_ok=True)
        os.chown(home, number, number)
        files["passwd"] += f"{user}:x:{number}:{number}::{home}:/bin/bash\n"
        files["shadow"] += f"{user}:{digest}:20000:0:99999:7:::\n"
        files["group"] += f"{user}:x:{number}:\n"
    rules = "\n".join(line for line in USERS.values() if line)
    # use_pty is Debian's and Ubuntu's default.
    files["sudoers"] = f"Defaults env_reset, use_pty, !syslog, logfile={log}\nroot ALL=(ALL) ALL\n{rules}\n"
    # The users must get to their homes: pytest's own folders, of which a process of pytest-xdist has one more.
    temporary = Path(tempfile.gettempdir())
    for parent in (folder, *(each for each in folder.parents if temporary in each.parents)):
        parent.chmod(parent.stat().st_mode | 0o011)
    for name, text in files.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o640 if name in ("shadow", "sudoers") else 0o644)
    return [folder / name for name in files]
