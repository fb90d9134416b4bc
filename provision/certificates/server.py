"""What a host has of the authority, and what it is to get. Pure but for the making of a key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.lazy import LazyModule
from provision.transport import Secret

if TYPE_CHECKING:
    from provision.certificates import pem
else:
    pem = LazyModule("provision.certificates.pem")


@dataclass(frozen=True, kw_only=True)
class ServerFiles:
    """The files of a host's listener, as they are wanted."""

    trusted: str
    certificate: str
    key: Secret | None = None
    """None: the one on the host stays."""
    why: str = ""
    """Why there is a new certificate; empty where the old one stays."""


def reason(certificate: str, *, has_key: bool, authority: str, names: Collection[str], now: float) -> str:
    """Why a host needs another certificate than the one it has; empty if that is good for a while."""
    life = pem.life_of(certificate) if certificate else None
    if life is None or not has_key:
        return "there is none" if not certificate else "its key is missing" if life else "it cannot be read"
    if not pem.is_signed_by(certificate, authority):
        return "another authority has signed it"
    if missing := sorted(set(names) - pem.names_of(certificate)):
        return f"it is not for {', '.join(missing)}"
    if life.is_due(now):
        days = life.left(now) / 86_400
        return "it has expired" if days <= 0 else f"it ends in {days:.0f} days"
    return ""
