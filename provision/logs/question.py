"""The second question of `logs`, after the facts: renders `templates/logs.sh` for the host's service manager."""

from __future__ import annotations

from typing import Final

from provision import paths
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.logs.since import Since
from provision.render import render
from provision.spec import Spec

FAILED: Final = 5
"""Of so many of the last builds that failed the log is asked for: buildctl is started for each."""
OUTPUT_LINES: Final = 20
"""Lines of the log of a build that failed."""


def script(
    spec: Spec,
    facts: Facts,
    *,
    count: int,
    since: Since | None,
    following: bool = False,
    settings: bool = False,
) -> str:
    """The script for a host with these facts. `count` lines of the log are enough; those of a file are chosen by their
    time when they are here. `settings`: with the user's environment for the daemon.
    """
    journal = service_manager(spec, facts).name == "systemd"
    return render(
        "logs.sh",
        journal=journal,
        unit=paths.SERVICE,
        count=count,
        since=[_journalctl(since)] if since else [],
        following=following,
        settings=settings,
        failed=FAILED,
        tail=OUTPUT_LINES,
        paths=paths,
    )


def source(spec: Spec, facts: Facts) -> str:
    """Where the lines come from, in words."""
    manager = service_manager(spec, facts)
    return f"journal of {manager.service}" if manager.name == "systemd" else paths.LOG


def _journalctl(since: Since) -> str:
    """As systemd.time(7) has it."""
    return f"--since=-{since.ago:.0f}s" if since.ago is not None else f"--since=@{since.at:.0f}"
