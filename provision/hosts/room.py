"""Room for many hosts at once: descriptors, of which a process has 1,024 by default."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

_OF_A_HOST: Final = 8
"""A connection by a ProxyCommand has four. While `ssh -G` is started for a host there are seven: /dev/null and both
ends of three pipes (subprocess.Popen). On a busy machine all hosts are at that point: 60 had 423 open."""
_OF_A_RUN: Final = 40
"""Our own files, and those of imports under way."""


def jobs_that_fit(jobs: int) -> int:
    """So many hosts at once as may be open, at most `jobs`. Raises this process's limit as far as it may."""
    wanted = _OF_A_RUN + _OF_A_HOST * jobs
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):  # macOS has a limit beyond this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(1, min(jobs, (soft - _OF_A_RUN) // _OF_A_HOST))
    return jobs
