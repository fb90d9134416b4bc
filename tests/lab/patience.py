"""Waiting for what happens elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(what: Callable[[], object], seconds: float = 5) -> bool:
    """Whether `what` became true within that time."""
    end = time.monotonic() + seconds
    while not (happened := what()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(happened)
