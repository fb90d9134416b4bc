"""Whether `ssh` itself knows a host, by what Paramiko cannot check: a certificate authority, KnownHostsCommand, DNS."""

from __future__ import annotations

import re
from typing import Final

from provision.transport.ssh import openssh
from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.known_hosts import revoked_key_error

_KEY: Final = re.compile(
    r"^debug1: Server host (?:key|certificate): (\S+?)(?:-cert-v01@openssh\.com)? (SHA256:[A-Za-z0-9+/]+)",
    re.MULTILINE,
)
_AFTER_THE_CHECK: Final = re.compile(
    r"^debug1: Authentications that can continue|^Authenticated to ", re.MULTILINE
)
"""What `ssh -v` says once it has accepted the host's key (sshconnect2.c)."""
_REVOKED: Final = re.compile(
    r"^.*host key.* (?:is marked as revoked|revoked by file) ?.*", re.MULTILINE | re.IGNORECASE
)
"""A host that is not known may be accepted all the same, one with such a key never."""
_TURNS: Final = 3
"""Times ConnectTimeout for the whole: to connect, to exchange keys, to be refused the login."""


def vouched(name: str, end: Endpoint) -> tuple[str, str] | None:
    """Kind and fingerprint of the key for which `ssh` would log in; None if it would not. One connection, no login.

    Raises HostKeyError where the key or its authority was revoked.
    """
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
    except openssh.EndlessError:
        return None
    if found := _REVOKED.search(said):
        raise revoked_key_error(name, found[0].strip(". \r"))
    keys = _KEY.findall(said)
    return keys[-1] if keys and _AFTER_THE_CHECK.search(said) else None
