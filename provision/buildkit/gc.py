"""How much of the disk the build cache may take: the daemon's garbage collection limits.

`is_limit` and `is_ordered` are for the reader of the configuration; the rest trusts what that let through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

RESERVED: Final = "reservedSpace"
MAX_USED: Final = "maxUsedSpace"
MIN_FREE: Final = "minFreeSpace"
KEYS: Final = (RESERVED, MAX_USED, MIN_FREE)

Size = int | str

_GB: Final = 10**9
_LARGE: Final = 1 << 60
"""Bytes of a disk on which every percent counts."""
# go-units' RAMInBytes, which the daemon reads sizes with (cmd/buildkitd/config/gcpolicy.go): powers of 1024.
_SIZE: Final = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?:(?P<unit>[kmgtp])(?:i?b)?|b)?", re.IGNORECASE
)
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


def limits(
    wanted: Mapping[str, Size], disk_bytes: int, before: Mapping[str, object] = MappingProxyType({})
) -> dict[str, Size]:
    """The limits to write: the user's, and for what they leave open those of `sized`.

    `before` is what stands on the host. It stays where the size of the disk hardly moved (`steady`).

    The daemon takes what is left out for 0, not for its default, as soon as one is set (GCConfig.IsUnset),
    and without a maximum it collects down to the reserve. No reserve is added to the user's own maximum,
    because it would beat it (cache/manager.go, calculateKeepBytes); for the same reason the user's own reserve
    is written as their maximum where it is larger on this disk (`lowers_reserve`).
    """
    own = sized(disk_bytes)
    if MAX_USED in wanted:
        own.pop(RESERVED, None)
    defaults = steady({key: size for key, size in own.items() if key not in wanted}, before)
    merged = {key: {**defaults, **wanted}[key] for key in KEYS if key in defaults or key in wanted}
    if lowers_reserve(wanted, disk_bytes):
        merged[RESERVED] = merged[MAX_USED]
    return merged


def steady(sizes: Mapping[str, int], before: Mapping[str, object]) -> dict[str, Size]:
    """The limits of before, if each is within 10 % of its size now; else the sizes.

    What `df` calls the size of a ZFS data set or a btrfs quota moves with its neighbours (openzfs/zfs#3953): to follow
    it would restart the daemon, and end its builds, for nothing.
    """
    kept: dict[str, Size] = {}
    for key, size in sizes.items():
        old = before.get(key)
        if not isinstance(old, int) or abs(old - size) * 10 > size:
            return dict(sizes)
        kept[key] = old
    return kept


def lowers_reserve(wanted: Mapping[str, Size], disk_bytes: int) -> bool:
    """Whether the user's reserve is above their maximum on a disk of this size.

    That is so on some disks only where one is a share of the disk and the other is not: `is_ordered` has
    refused the rest.
    """
    if not {RESERVED, MAX_USED} <= wanted.keys():
        return False
    low, high = in_bytes(wanted[RESERVED], disk_bytes), in_bytes(wanted[MAX_USED], disk_bytes)
    return low is not None and high is not None and low > high


def is_ordered(wanted: Mapping[str, Size]) -> bool:
    """Whether the reserve is at most the maximum on some disk. What is reserved is never collected."""
    both = [str(wanted.get(key, "")) for key in (RESERVED, MAX_USED)]
    comparable = both[0].endswith("%") == both[1].endswith("%")
    return not (comparable and lowers_reserve(wanted, _LARGE))


def is_limit(value: Size) -> bool:
    """Whether the daemon reads a limit from it: bytes, a size or a share from 1 % to 100 %.

    0 is none: the daemon takes it for "not set".
    """
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value)):
        return 0 < int(percent["number"]) <= 100
    size = in_bytes(value, 0)
    return size is not None and 0 < size < 1 << 63


def in_bytes(value: Size, disk_bytes: int) -> int | None:
    """What the daemon makes of a limit in bytes; None if that depends on a disk of unknown size, or is no limit."""
    if isinstance(value, int):
        return value
    if percent := _PERCENT.fullmatch(value):
        share = disk_bytes * int(percent["number"]) // 100
        # DiskSpace.AsBytes rounds up: what GiB of the share are full, and one more, count as so many GB.
        return (share // 2**30 + 1) * _GB if disk_bytes > 0 else None
    found = _SIZE.fullmatch(value)
    if found is None:
        return None
    unit = (found["unit"] or "").lower()
    size = float(found["number"]) * 1024 ** (_UNITS.index(unit) + 1 if unit else 0)
    return int(size) if size < 1 << 63 else None


def _round(size: int) -> int:
    """Whole megabytes are easier on the eye; a tiny disk keeps its bytes."""
    return size - size % 10**6 or size
