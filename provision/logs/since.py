"""Since when: `10m`, `2h30m`, `3d`, or a date and time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION: Final = re.compile(r"(?:\d{1,6}[dhms])+")
_LINE: Final = re.compile(
    r"(?:\btime=\"?|\"time\":\s*\"|=== buildkitd starts, \S+ )(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))"
)
"""The time of a line of buildkitd's own log (logrus, text and JSON), or of its start."""


@dataclass(frozen=True, kw_only=True)
class Since:
    """A moment: so many seconds ago by the host's clock, or in seconds since 1970."""

    ago: float | None = None
    at: float | None = None

    def moment(self, clock: float) -> float:
        """In seconds since 1970; `clock` is the host's."""
        return clock - self.ago if self.ago is not None else self.at or 0.0


def read_since(value: object) -> Since:
    """What was typed. Raises ValueError with the rest of the sentence."""
    text = str(value).strip()
    if _DURATION.fullmatch(text):
        parts = re.findall(r"(\d+)([dhms])", text)
        ago = sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())
        return Since(ago=ago.total_seconds())
    try:
        # Without a zone it is the time of the machine where it is typed.
        return Since(at=_time(text).astimezone().timestamp())
    except (ValueError, OverflowError):
        raise ValueError(
            f"must be a duration such as 10m, 2h or 3d, or a time such as 2026-05-31T14:00, not {text[:60]!r}"
        ) from None


def later(lines: tuple[str, ...], moment: float) -> tuple[str, ...]:
    """The lines of buildkitd's own log from a moment on. Lines without a time belong to the one before."""
    for number, line in enumerate(lines):
        found = _LINE.search(line)
        if found is None:
            continue
        try:
            if _time(found[1]).timestamp() >= moment:
                return lines[number:]
        except (ValueError, OverflowError):
            continue
    return ()


def _time(text: str) -> datetime:
    """Python before 3.11 reads neither a Z, nor a fraction of other than three or six digits."""
    plain = re.sub(r"Z$", "+00:00", text)
    plain = re.sub(r"\.(\d{1,9})", lambda found: f".{found[1]:0<6.6}", plain)
    return datetime.fromisoformat(plain)
