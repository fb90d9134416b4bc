"""How each selected host is connected to: by which transport, with which rights, password and host keys."""

from __future__ import annotations

import getpass
import shlex
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision import lazy
from provision.errors import BecomeError, UsageError
from provision.lazy import LazyModule
from provision.spec import Config, Host
from provision.transport import Secret, SshSettings, Sudo, Target, Transport
from provision.transport.password import Password

# SSH is imported only when a remote host is named; Fabric once such a host has been called (transport/ssh).
if TYPE_CHECKING:
    from provision.transport import local, ssh
    from provision.transport.ssh import asked, new_keys
    from provision.transport.ssh.new_keys import NewKeys
else:
    local, ssh = LazyModule("provision.transport.local"), LazyModule("provision.transport.ssh")
    asked = LazyModule("provision.transport.ssh.asked")
    new_keys = LazyModule("provision.transport.ssh.new_keys")

_SUDO: Final[Mapping[bool | None, Sudo]] = {True: "always", False: "never", None: "auto"}


@dataclass(kw_only=True)
class Connector:
    """Makes the transports of a run."""

    config: Config
    ask_password: bool = False
    root: bool = True
    """Whether the work on this machine needs root; `check` does what it can without."""
    as_login: bool = False
    """Whether the work on remote hosts is the login user's own, without sudo."""
    say: Callable[[str], None]
    """Called, from any thread, with each line that a person should read at once: a host key that is accepted."""
    identities: tuple[Path, ...] = ()
    """Private keys beyond those of the SSH configuration."""
    sudo_password: Secret | None = None
    """For hosts that have no other."""
    _passwords: dict[str, Password] = field(default_factory=dict)
    """By host. Hosts that have the same one share the object: what one host says of it counts for all."""

    def prepare(self, hosts: Sequence[Host]) -> None:
        """Gets passwords, before any host is contacted. Raises BecomeError if one is not available."""
        remote = [host for host in hosts if not host.local]
        if remote:
            lazy.require_package(
                "fabric",
                needed_by="--hosts",
                built_with="cargo gcc libffi-dev libssl-dev pkg-config python3-dev",
            )
            lazy.load(ssh)
            self._gather_passwords(remote)
            _ = self._new_keys, self._given  # before any thread starts: all hosts share them

    def connect(self, host: Host) -> Transport:
        """A transport that is not open yet."""
        if host.local:
            return local.Local(name=host.name, become=self.root)
        password = self._passwords.get(host.name) or self._given
        return ssh.SSH(self.target(host), self.settings(), password, self._new_keys)

    @cached_property
    def _new_keys(self) -> NewKeys:
        return new_keys.NewKeys(self.say, accept=self.config.ssh.accept_new_host_keys)

    @cached_property
    def _given(self) -> Password | None:
        return Password(self.sudo_password.reveal()) if self.sudo_password else None

    def target(self, host: Host) -> Target:
        """A remote host, as the transport needs it."""
        return Target(
            name=host.name,
            host=host.address,
            user=host.user,
            port=host.port,
            jump=host.jump,
            identity_files=self.identities,
            sudo="never" if self.as_login else _SUDO[host.sudo],
        )

    def settings(self) -> SshSettings:
        """The settings of all remote hosts, as the transport needs them."""
        configured = self.config.ssh
        return SshSettings(
            config=Path(configured.config) if configured.config else None,
            known_hosts=Path(configured.known_hosts) if configured.known_hosts else None,
            user=configured.user,
            connect_timeout=configured.connect_timeout,
            accept_new_host_keys=configured.accept_new_host_keys,
            keepalive=configured.keepalive,
        )

    def _gather_passwords(self, hosts: Sequence[Host]) -> None:
        """One prompt for all, or one run of each distinct command: before any thread starts."""
        if self.ask_password:
            typed = Password(_typed_password("sudo password for the remote hosts: "))
            self._passwords = {host.name: typed for host in hosts}
            return
        printed: dict[str, Password] = {}
        same: dict[str, Password] = {}
        for host in hosts:
            command = self.config.sudo_password_command_for(host)
            if command:
                if command not in printed:
                    password = _run_password_command(command)
                    printed[command] = same.setdefault(password.reveal(), password)
                self._passwords[host.name] = printed[command]


def _typed_password(prompt: str) -> str:
    """What is typed on the terminal, unseen; without one, a line of standard input. Raises UsageError."""
    with warnings.catch_warnings():
        # That a pipe's text may be seen. It is not.
        warnings.simplefilter("ignore", getpass.GetPassWarning)
        try:
            typed = getpass.getpass(prompt)
        except (EOFError, AttributeError):  # the latter where there is no standard input at all
            typed = ""
    if not typed:
        raise UsageError(
            "no sudo password was given",
            cause="none was typed, or there is neither a terminal nor a line on standard input",
            hint="Type it, write it to standard input, or set sudo_password_command in [ssh].",
        )
    return typed


def _run_password_command(command: str) -> Password:
    """The first line that a command prints. Raises BecomeError if the command fails."""
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
            f"sudo_password_command printed {'a' if line else 'no'} password and ended with status {done.returncode}",
            hint=f"Run it by hand: {command}",
        )
    return Password(line)


def known_to_ssh(name: str, config: str | None) -> bool:
    """Whether a name means something: the SSH configuration has an address or a jump host for it, or it resolves.

    Raises UsageError for a configuration that `ssh` does not accept.
    """
    return asked.means_something(name, SshSettings(config=Path(config) if config else None))
