"""The way through jump hosts: `ssh -W`, which logs in there with all that OpenSSH knows, and notices when one dies."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from provision.errors import UsageError
from provision.transport import MOST_JUMPS, SshSettings, Target

if TYPE_CHECKING:
    from provision.transport.ssh.config import Endpoint


def through(
    name: str,
    jumps: Sequence[str],
    ssh: SshSettings,
    place: str,
    resolve: Callable[[Target], Endpoint],
    depth: int,
) -> tuple[str, ...]:
    """The words of the program that connects to a place (`[host]:port`) through jump hosts. Raises UsageError.

    `ssh -J` would not hand our options on to any but the last jump host (ssh(1)), so the commands are nested here. And
    it follows a circle of jump hosts until the machine has no processes left.
    """
    if depth >= MOST_JUMPS:
        raise UsageError(
            f"{name.partition(' (jump host')[0]}: more than {MOST_JUMPS} jump hosts, or a circle of them",
            cause="One jump host is the way to the next.",
            hint="See ProxyJump in the SSH configuration, and jump = in provision.toml.",
        )
    *before, last = jumps
    hop = parsed(last, name=f"{name} (jump host {last})", jump=",".join(before) or None)
    end = resolve(hop)
    options = {
        "BatchMode": "yes",
        "LogLevel": "INFO",
        "ServerAliveInterval": str(ssh.keepalive),
        "ServerAliveCountMax": "3",
        "ForwardAgent": "no",
        "PermitLocalCommand": "no",
        # One that is there is shared, but not this one: it ends with its host, and would end all that share it.
        "ControlMaster": "no",
        "RemoteCommand": "none",
        "ConnectTimeout": str(round(end.connect_timeout) or 1),
        **({"UserKnownHostsFile": f'"{ssh.known_hosts}"'} if ssh.known_hosts else {}),
        **({"StrictHostKeyChecking": "accept-new"} if ssh.accept_new_host_keys else {}),
        **({"ProxyCommand": shlex.join(end.proxy).replace("%", "%%")} if end.jumps else {}),
    }
    return (
        "ssh",
        *(("-F", str(ssh.config)) if ssh.config else ()),
        *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
        *("-l", end.user, "-p", str(end.port), "-W", place, "--", hop.host),
    )


def parsed(text: str, *, name: str, jump: str | None) -> Target:
    """A jump host as ProxyJump writes it: `[user@]host[:port]`, IPv6 in brackets, or an ssh:// URI."""
    match = re.fullmatch(r"(?:ssh://)?(?:([^@]+)@)?(\[[^]]+\]|[^:]+)(?::(\d+))?/?", text.strip())
    if not match:
        raise UsageError(f"{text!r} is no jump host", hint="Write it as [user@]host[:port].")
    user, host, port = match.groups()
    return Target(name=name, host=host.strip("[]"), user=user, port=int(port) if port else None, jump=jump)
