"""A failure on one host is that host's result: one bad host never spoils a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from provision.errors import ProvisionError, UnreachableError
from provision.result import HostResult, HostStatus
from provision.transport import StoppedError


def status_of(error: ProvisionError) -> HostStatus:
    """How a host came out that met this."""
    if isinstance(error, StoppedError):
        return "interrupted"
    return "unreachable" if isinstance(error, UnreachableError) else "failed"


def guarded(host: str, work: Callable[[], HostResult]) -> HostResult:
    """What `work` returns, or the failure it met as a result, with how long it took."""
    begun = time.monotonic()
    try:
        result = work()
    except ProvisionError as error:
        result = HostResult(host=host, status=status_of(error), error=error)
    return replace(result, seconds=time.monotonic() - begun)
