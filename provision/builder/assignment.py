"""Which host builds which platform: natively where a host can, else on the host that emulates it best. Pure.

buildx takes a platform to the node that has it in its list, and asks no other (its build/resolver/driver.go). Only
for a platform that is in no list it connects to all nodes, and fails if one is down. So every platform that a host
was seen to build is in one list, and in one only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from provision.architectures import PLATFORMS

_ALIKE: Final = 1.25
"""Measurements that differ by less than this factor count as equal: they repeat no better, and what moves to another
host finds no cache there."""


@dataclass(frozen=True, kw_only=True)
class Ability:
    """How a host builds a platform."""

    native: bool
    seconds: float | None = None
    """CPU time that a small workload took, the same on every host; None if that was not measured."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A host, and what it was seen to build."""

    host: str
    abilities: Mapping[str, Ability]
    """By canonical platform."""
    room: int = 0
    """KiB that are free for the state of its daemon."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A platform that a host builds for all."""

    platform: str
    native: bool
    slower: float | None = None
    """How many times longer a small workload takes than on the host of the fleet that is fastest with its own
    programs; None if that was not measured."""


Shares = Mapping[str, tuple[Share, ...]]
"""By host. A host whose platforms all went to others has none."""


def assign(offers: Sequence[Offer], held: Mapping[str, str] = MappingProxyType({})) -> Shares:
    """Every platform that anybody offers, given to one host.

    Native comes first, then the measured speed. Among equals counts who has the platform now (`held`: platform ->
    host), then room, then the order of the offers.
    """
    fastest = min((seconds for offer in offers for seconds in _native_seconds(offer)), default=None)
    shares: dict[str, list[Share]] = {offer.host: [] for offer in offers}
    for platform in _ordered({name for offer in offers for name in offer.abilities}):
        best = _best(platform, offers, held.get(platform))
        ability = best.abilities[platform]
        slower = round(ability.seconds / fastest, 1) if ability.seconds and fastest else None
        shares[best.host].append(Share(platform=platform, native=ability.native, slower=slower))
    return {host: tuple(each) for host, each in shares.items()}


def _native_seconds(offer: Offer) -> list[float]:
    return [each.seconds for each in offer.abilities.values() if each.native and each.seconds]


def _ordered(platforms: set[str]) -> list[str]:
    """In the order of the table of architectures; what that lacks comes last."""
    known = [each for each in PLATFORMS if each in platforms]
    return [*known, *sorted(platforms.difference(known))]


def _best(platform: str, offers: Sequence[Offer], holder: str | None) -> Offer:
    able = [offer for offer in offers if platform in offer.abilities]
    native = [offer for offer in able if offer.abilities[platform].native]
    candidates = native or able
    limit = min(_seconds(offer, platform) for offer in candidates) * _ALIKE
    equals = [offer for offer in candidates if _seconds(offer, platform) <= limit]
    # Of equals, `min` takes the first.
    return min(equals, key=lambda offer: (offer.host != holder, -offer.room))


def _seconds(offer: Offer, platform: str) -> float:
    seconds = offer.abilities[platform].seconds
    return float("inf") if seconds is None else seconds


def loss(native: Sequence[str], shares: Shares) -> str:
    """What it costs that a host is left out which runs these platforms natively; empty if it costs nothing.

    `shares` are those of the other hosts.
    """
    given = {each.platform: (host, each) for host, own in shares.items() for each in own}
    emulated: dict[str, list[str]] = {}
    nobody = []
    for platform in native:
        if platform not in given:
            nobody.append(platform)
            continue
        host, share = given[platform]
        if not share.native:
            pace = f", {share.slower:g} times slower" if share.slower else ""
            emulated.setdefault(f"{host} emulates {{}}{pace}", []).append(platform)
    parts = [text.format(", ".join(names)) for text, names in emulated.items()]
    if nobody:
        parts.append(f"nobody builds {', '.join(nobody)}")
    return "; ".join(parts)
