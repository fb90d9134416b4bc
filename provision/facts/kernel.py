"""What a kernel's version says it can do. Pure."""

from __future__ import annotations

import re
from typing import Final

MINIMUM: Final = (4, 8)
"""The F flag came with Linux 4.8 (commit 948b701a607f)."""
ARGV0: Final = (5, 12)
"""From here on the kernel tells the emulator that P is set (AT_FLAGS, commit 2347961b11d4)."""


def version(release: str) -> tuple[int, int]:
    """(major, minor) of what `uname -r` prints; (0, 0) when there is no number in it."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
