"""How each selected host is reached: which transport, which rights, which password, whose host key."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.lazy import LazyModule
from provision.spec import Config, Host
from provision.transport import Secret, Transport

if TYPE_CHECKING:
    from provision.hosts import remote
    from provision.transport import local
else:
    local, remote = LazyModule("provision.transport.local"), LazyModule("provision.hosts.remote")


@dataclass(kw_only=True)
class Reach:
    """Makes transports. SSH, and with it Fabric, is imported only when a remote host is named."""

    config: Config
    ask_password: bool = False
    root: bool = True
    """Whether the work needs root; `check` looks at what it can without."""
    say: Callable[[str], None]
    """Told what a person should know before any host is contacted, a line each."""
    identities: tuple[Path, ...] = ()
    """Private keys beyond those of the SSH configuration."""
    sudo_password: Secret | None = None
    """For where nothing else says one."""
    _remote: Any = field(default=None)

    def prepare(self, hosts: tuple[Host, ...]) -> None:
        """All that concerns a person, before any host is contacted: passwords and new host keys."""
        far = [host for host in hosts if not host.local]
        if not far:
            return
        self._remote = remote.Remote(
            config=self.config,
            ask_password=self.ask_password,
            say=self.say,
            identities=self.identities,
            sudo_password=self.sudo_password,
        )
        self._remote.prepare(far)

    def connect(self, host: Host) -> Transport:
        """A transport that is not open yet."""
        if host.local:
            return local.Local(name=host.name, become=self.root)
        made: Transport = self._remote.connect(host)
        return made


@dataclass(frozen=True, kw_only=True)
class FromFabric:
    """What a Fabric Connection was told, beyond Fabric's own reading of the SSH configuration."""

    selection: str
    jump: str | None
    identities: tuple[Path, ...]
    sudo_password: Secret | None = None

    def through(self, host: Host) -> Host:
        """The host by way of the Connection's gateway, if it has one."""
        return replace(host, jump=self.jump) if self.jump else host


def of_fabric(context: Any) -> FromFabric | None:
    """The host that `fab -H` is at, or a Connection that a program gave; None for a plain context.

    What came from the SSH configuration is left out: ours reads more of it (Include, Match).
    """
    name = getattr(context, "original_host", None)
    if not name:
        return None
    configured = context.ssh_config
    user = None if context.user == configured.get("user", context.config.user) else context.user
    port = None if context.port == int(configured.get("port", context.config.port)) else context.port
    place = f"[{name}]" if port and ":" in name else name
    gateway = None if "proxyjump" in configured else getattr(context.gateway, "host", None)
    keys = context.connect_kwargs.get("key_filename") or ()
    password = context.config.sudo.password
    return FromFabric(
        selection=f"{user}@" * bool(user) + place + f":{port}" * bool(port),
        jump=f"{context.gateway.user}@{gateway}:{context.gateway.port}" if gateway else None,
        identities=tuple(Path(key) for key in ([keys] if isinstance(keys, str) else keys)),
        sudo_password=Secret(password) if password else None,
    )


def known_to_ssh(name: str, config: str | None) -> bool:
    """Whether a name means something: the SSH configuration has an address or a way for it, or it resolves."""
    ssh = shutil.which("ssh")
    if ssh is None:
        return True
    options = ["-F", config] if config else []
    done = subprocess.run(
        [ssh, "-G", *options, "--", name],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    values = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    # Behind a jump host or a command, the name is for that one to resolve.
    behind = any(values.get(key, "none") != "none" for key in ("proxyjump", "proxycommand"))
    if behind or values.get("hostname", name) != name:
        return True
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True
