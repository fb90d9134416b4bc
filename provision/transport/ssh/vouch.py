"""Whether `ssh` itself knows a host, by what Paramiko cannot check: a certificate authority, KnownHostsCommand, DNS."""

from __future__ import annotations

import re
from typing import Final

from provision.transport.ssh import openssh
from provision.transport.ssh.config import Endpoint

_KEY: Final = re.compile(
    r"^debug1: Server host (?:key|certificate): (\S+?)(?:-cert-v01@openssh\.com)? (SHA256:[A-Za-z0-9+/]+)",
    re.MULTILINE,
)
_AFTER_THE_CHECK: Final = re.compile(
    r"^debug1: Authentications that can continue|^Authenticated to ", re.MULTILINE
)
"""What `ssh -v` says once it has accepted the host's key (sshconnect2.c)."""
_TURNS: Final = 3
"""Times ConnectTimeout for the whole: to connect, to exchange keys, to be refused the login."""


def vouched(end: Endpoint) -> tuple[str, str] | None:
    """Kind and fingerprint of the key for which `ssh` would log in; None if it would not. One connection, no login."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "FingerprintHash": "sha256",
        "LogLevel": "DEBUG1",
        "PreferredAuthentications": "none",
        "ControlPath": "none",
        "RemoteCommand": "none",
        "PermitLocalCommand": "no",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    seconds = _TURNS * end.connect_timeout * (1 + len(end.jumps))
    try:
        said = openssh.ask((end.by_hand[0], *words, *end.by_hand[1:], "true"), seconds).err
    except openssh.SlowError:
        return None
    keys = _KEY.findall(said)
    return keys[-1] if keys and _AFTER_THE_CHECK.search(said) else None
