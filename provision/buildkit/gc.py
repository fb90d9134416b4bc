"""How much of the disk the build cache may take: the daemon's garbage collection limits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

from provision.errors import ConfigError

RESERVED: Final = "reservedSpace"
MAX_USED: Final = "maxUsedSpace"
MIN_FREE: Final = "minFreeSpace"
KEYS: Final = (RESERVED, MAX_USED, MIN_FREE)

Size = int | str

_GB: Final = 10**9
# go-units' RAMInBytes, which the daemon reads sizes with (cmd/buildkitd/config/gcpolicy.go): powers of 1024.
_SIZE: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[kmgtp]?)(?:i?b)?", re.IGNORECASE)
_PERCENT: Final = re.compile(r"(?P<number>[0-9]{1,3})%")
_UNITS: Final = "kmgtp"


def sized(disk_bytes: int) -> dict[str, int]:
    """Limits in bytes for a disk of this size: the daemon's own defaults, with more headroom.

    At most 60 % of the disk, up to 100 GB, for the cache (the daemon's default is 80 %, but it collects a
    minute after the builds rest, and a burst of builds fills the disk before); 20 % of the disk kept free,
    up to 50 GB (more would leave nothing for the cache on a large disk that holds other data); 10 %, up to
    10 GB, never collected. No limits for a disk of unknown size (0): the daemon then uses its defaults.
    """
    if disk_bytes <= 0:
        return {}
    return {
        RESERVED: _round(min(disk_bytes // 10, 10 * _GB)),
        MAX_USED: _round(min(disk_bytes * 6 // 10, 100 * _GB)),
        MIN_FREE: _round(min(disk_bytes // 5, 50 * _GB)),
    }


def limits(wanted: Mapping[str, Size], disk_bytes: int) -> dict[str, Size]:
    """The limits to write: the user's, and for what they leave open those of `sized`.

    The daemon takes what is left out for 0, not for its default, as soon as one is set (GCConfig.IsUnset),
    and without a maximum it collects down to the reserve. No reserve is added to the user's own maximum,
    because it would beat it (cache/manager.go, calculateKeepBytes).
    Raises ConfigError for an unknown limit, a value the daemon cannot read, or a reserve above the maximum.
    """
    for key, value in wanted.items():
        _check(key, value)
    defaults: dict[str, Size] = {**sized(disk_bytes)}
    if MAX_USED in wanted:
        defaults.pop(RESERVED, None)
    merged = {key: {**defaults, **wanted}[key] for key in KEYS if key in defaults or key in wanted}
    if {RESERVED, MAX_USED} <= wanted.keys():
        _check_order(merged[RESERVED], merged[MAX_USED], disk_bytes)
    return merged


def in_bytes(value: Size, disk_bytes: int) -> int | None:
    """What the daemon makes of a limit, or None if that depends on a disk of unknown size."""
    if isinstance(value, int):
        return value
    if percent := _PERCENT.fullmatch(value):
        return disk_bytes * int(percent["number"]) // 100 if disk_bytes > 0 else None
    size = _SIZE.fullmatch(value)
    if size is None:
        return None
    unit = size["unit"].lower()
    return int(float(size["number"]) * 1024 ** (_UNITS.index(unit) + 1 if unit else 0))


def _check(key: str, value: Size) -> None:
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.4)
        raise ConfigError(
            f"buildkit.gc has no key {key!r}",
            hint=f"{f'Did you mean {near[0]}? ' if near else ''}Known: {', '.join(KEYS)}.",
        )
    if isinstance(value, bool) or not _readable(value):
        raise ConfigError(
            f"buildkit.gc.{key} = {value!r} is not a size",
            cause="the daemon reads bytes (10000000000), sizes (10GB) and shares (30%), all above zero",
            hint="Leave the key out for a limit that fits the disk.",
        )


def _readable(value: Size) -> bool:
    """0 is refused too: the daemon takes it for "not set"."""
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value)):
        return 0 < int(percent["number"]) <= 100
    size = in_bytes(value, 0)
    return size is not None and 0 < size < 2**63


def _check_order(reserved: Size, maximum: Size, disk_bytes: int) -> None:
    low, high = in_bytes(reserved, disk_bytes), in_bytes(maximum, disk_bytes)
    if low is not None and high is not None and low > high:
        raise ConfigError(
            f"buildkit.gc.{RESERVED} ({reserved}) is above {MAX_USED} ({maximum})",
            cause="what is reserved is never collected, so the maximum would not hold",
            hint=f"Lower {RESERVED}.",
        )


def _round(size: int) -> int:
    """Whole megabytes are easier on the eye; a tiny disk keeps its bytes."""
    return size - size % 10**6 or size
