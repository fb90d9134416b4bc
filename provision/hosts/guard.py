"""A failure on one host is that host's result: one bad host never spoils a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from provision.errors import ProvisionError
from provision.result import HostResult


def guarded(host: str, work: Callable[[], HostResult]) -> HostResult:
    """What `work` returns, or the failure it met as a result, with how long it took."""
    begun = time.monotonic()
    try:
        result = work()
    except ProvisionError as error:
        result = HostResult.of_error(host, error)
    return replace(result, seconds=time.monotonic() - begun)
