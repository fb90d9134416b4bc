"""How a person reaches a host by hand, in the way in which this tool does: the words of `ssh`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provision.spec import Config, Host


def ssh_words(
    host: Host, config: Config, *, login: str = "", identities: Sequence[Path] = ()
) -> tuple[str, ...]:
    """`ssh` with its options and the destination; empty for this machine.

    What the user's SSH configuration has is left to ssh. `login` is the user who logged in, as the host says: it
    counts where [ssh] user does, which ssh knows nothing of. `identities` are keys beside the configuration's.
    """
    if host.local:
        return ()
    ssh = config.ssh
    user = host.user or (login if ssh.user else "")
    options = [
        *(["-F", ssh.config] if ssh.config else []),
        *(["-o", f'UserKnownHostsFile="{ssh.known_hosts}"'] if ssh.known_hosts else []),
        *(word for key in identities for word in ("-i", str(key))),
        *(["-J", host.jump] if host.jump else []),
        *(["-p", str(host.port)] if host.port else []),
    ]
    return ("ssh", *options, f"{user}@{host.address}" if user else host.address)
