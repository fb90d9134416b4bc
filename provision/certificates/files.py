"""The files of a host's listener, as data. Pure, and without `cryptography`."""

from __future__ import annotations

from dataclasses import dataclass

from provision.transport import Secret


@dataclass(frozen=True, kw_only=True)
class ServerFiles:
    """As they are wanted."""

    trusted: str
    """Which clients are let in, in PEM."""
    certificate: str
    key: Secret | None = None
    """None: the one on the host stays, also where there is a new certificate: that is for the same key then."""
    why: str = ""
    """Why there is a new certificate; empty where the old one stays."""
