"""How long certificates live, and when they are renewed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY: Final = 86_400
AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 365
"""Of hosts and clients, where the configuration says nothing."""
_LEFT: Final = 1 / 3
"""The part of its life that a certificate has left when it is renewed."""
LATE: Final = 1 / 6
"""The part that is left when health warns: by then it should have been renewed."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """Seconds since 1970."""

    begin: float
    end: float

    def left(self, now: float) -> float:
        """Seconds; below 0 once it has ended."""
        return self.end - now

    def is_due(self, now: float) -> bool:
        """Whether it is to be renewed: a third of it is left, or less."""
        return self.left(now) <= (self.end - self.begin) * _LEFT

    def is_late(self, now: float) -> bool:
        """Whether it should have been renewed long ago."""
        return self.left(now) < (self.end - self.begin) * LATE

    def is_over(self, now: float) -> bool:
        """Whether nobody accepts it: it has ended, or has not begun."""
        return not self.begin <= now < self.end
