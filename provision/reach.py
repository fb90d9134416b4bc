"""How each selected host is reached: which transport, which rights, which password, whose host key."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from typing import Any

from provision.spec import Config, Host
from provision.transport import Transport


@dataclass(kw_only=True)
class Reach:
    """Makes transports. SSH, and with it Fabric, is imported only when a remote host is named."""

    config: Config
    ask_password: bool = False
    root: bool = True
    """Whether the work needs root; `check` looks at what it can without."""
    _remote: Any = field(default=None)

    def prepare(self, hosts: tuple[Host, ...]) -> None:
        """All that concerns a person, before any host is contacted: passwords and new host keys."""
        remote = [host for host in hosts if not host.local]
        if not remote:
            return
        from provision.remote import Remote  # noqa: PLC0415 - imports Fabric

        self._remote = Remote(config=self.config, ask_password=self.ask_password)
        self._remote.prepare(remote)

    def connect(self, host: Host) -> Transport:
        """A transport that is not open yet."""
        if host.local:
            from provision.transport.local import Local  # noqa: PLC0415

            return Local(name=host.name, become=self.root)
        made: Transport = self._remote.connect(host)
        return made


def known_to_ssh(name: str, config: str | None) -> bool:
    """Whether a bare name means something: the SSH configuration gives it an address (7 ms), or it resolves."""
    ssh = shutil.which("ssh")
    if ssh is None:
        return True
    options = ["-F", config] if config else []
    done = subprocess.run(  # noqa: S603
        [ssh, "-G", *options, "--", name], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    values = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    if values.get("hostname", name) != name or values.get("proxycommand", "none") != "none":
        return True
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True
