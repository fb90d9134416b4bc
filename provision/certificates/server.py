"""Whether the certificate that a host has is good for a while. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from provision.lazy import LazyModule

if TYPE_CHECKING:
    from provision.certificates import pem
else:
    pem = LazyModule("provision.certificates.pem")


def unusable(certificate: str, problem: str) -> str:
    """Why no daemon starts with a host's certificate and key; empty if its key can stay when it is renewed.

    `problem` is what is known against the two files.
    """
    if not certificate:
        return "there is none"
    return problem if pem.is_readable(certificate) else "it cannot be read"


def due(certificate: str, *, authority: str, names: Collection[str], now: float) -> str:
    """Why a host needs another certificate than a usable one that it has; empty if that is good for a while."""
    life = pem.life_of(certificate)
    if life is None:
        return "it cannot be read"
    if not pem.is_signed_by(certificate, authority):
        return "another authority has signed it"
    if missing := sorted(set(names) - pem.names_of(certificate)):
        return f"it is not for {', '.join(missing)}"
    if life.is_due(now):
        days = life.left(now) / 86_400
        return "it has expired" if days <= 0 else f"it ends in {days:.0f} days"
    return ""
