"""Whether the certificate that a host has is good for a while. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from provision.lazy import LazyModule

if TYPE_CHECKING:
    from provision.certificates import pem
else:
    pem = LazyModule("provision.certificates.pem")


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
