"""Remote hosts: what a person must say before any is contacted, and the transports.

Fabric is imported once the first host has been called (provision/transport/ssh/link.py).
"""

from __future__ import annotations

import getpass
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from provision.errors import BecomeError, HostKeyError, UnreachableError
from provision.spec import Config, Host
from provision.transport import Secret, SshSettings, Sudo, Target
from provision.transport.ssh import SSH, known_hosts
from provision.transport.ssh.config import resolve
from provision.transport.ssh.known_hosts import HostKey
from provision.transport.ssh.link import scan

_SUDO: Mapping[bool | None, Sudo] = {True: "always", False: "never", None: "auto"}


@dataclass(kw_only=True)
class Remote:
    """Makes SSH transports for the hosts of a run."""

    config: Config
    ask_password: bool
    say: Callable[[str], None]
    identities: tuple[Path, ...] = ()
    sudo_password: Secret | None = None
    """For hosts that nothing else says one for."""
    _passwords: dict[str, Secret] = field(default_factory=dict)

    def prepare(self, hosts: Sequence[Host]) -> None:
        """Passwords and new host keys. Raises BecomeError, HostKeyError if one cannot be had or kept."""
        self._gather_passwords(hosts)
        if self.config.ssh.accept_new_host_keys:
            self._accept_keys(hosts)

    def connect(self, host: Host) -> SSH:
        """A transport that is not open yet."""
        return SSH(self.target(host), self.settings(), self._passwords.get(host.name, self.sudo_password))

    def target(self, host: Host) -> Target:
        return Target(
            name=host.name,
            host=host.address,
            user=host.user,
            port=host.port,
            jump=host.jump,
            identity_files=self.identities,
            sudo=_SUDO[host.sudo],
        )

    def settings(self) -> SshSettings:
        ssh = self.config.ssh
        return SshSettings(
            config=Path(ssh.config) if ssh.config else None,
            known_hosts=Path(ssh.known_hosts) if ssh.known_hosts else None,
            user=ssh.user,
            connect_timeout=ssh.connect_timeout,
            keepalive=ssh.keepalive,
        )

    def _gather_passwords(self, hosts: Sequence[Host]) -> None:
        """One prompt for all, or one run of each distinct command: before any thread starts."""
        if self.ask_password:
            typed = Secret(getpass.getpass("sudo password for the remote hosts: "))
            self._passwords = {host.name: typed for host in hosts}
            return
        printed: dict[str, Secret] = {}
        for host in hosts:
            command = self.config.sudo_password_command_for(host)
            if command:
                if command not in printed:
                    printed[command] = _password_of(command)
                self._passwords[host.name] = printed[command]

    def _accept_keys(self, hosts: Sequence[Host]) -> None:
        """Show every unknown key, all in one go, and add them. A changed one is refused later."""
        with ThreadPoolExecutor(max_workers=self.config.ssh.jobs) as pool:
            found = dict.fromkeys(pair for pairs in pool.map(self._unknown, hosts) for pair in pairs)
        for file in dict.fromkeys(file for file, _ in found):
            keys = [key for place, key in found if place == file]
            # Shown before they are trusted, whatever comes then.
            self.say(f"new host keys, for {file}:")
            for key in keys:
                self.say(f"  {key.name} {key}")
            known_hosts.add(file, keys)

    def _unknown(self, host: Host) -> tuple[tuple[Path, HostKey], ...]:
        """The keys on the way to a host that it does not know, and where its configuration keeps such."""
        target, settings = self.target(host), self.settings()
        try:
            keys = scan(target, settings)
        except (HostKeyError, UnreachableError):
            return ()  # the run itself will say so, host by host
        file = resolve(target, settings).known_hosts[0]
        return tuple((file, key) for key in keys)


def _password_of(command: str) -> Secret:
    """The first line that a command prints. Raises BecomeError if it fails."""
    try:
        # Its standard error and input are the user's: `pass` asks for a passphrase there.
        done = subprocess.run(shlex.split(command), check=False, stdout=subprocess.PIPE, text=True)
    except (OSError, ValueError) as error:
        raise BecomeError(
            f"sudo_password_command cannot be run: {error}",
            hint="Check its name; it runs here, without a shell.",
        ) from error
    line = done.stdout.partition("\n")[0]
    if done.returncode != 0 or not line:
        raise BecomeError(
            f"sudo_password_command gave {'a' if line else 'no'} password and status {done.returncode}",
            hint=f"Run it by hand: {command}",
        )
    return Secret(line)
