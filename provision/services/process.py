"""No service manager: a script starts the daemon, which runs until the machine or somebody ends it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provision import paths
from provision.buildkit import daemon
from provision.fix import run
from provision.render import render
from provision.services.manager import (
    Boot,
    Commands,
    Reading,
    Seen,
    Service,
    ServiceFile,
    ServiceManager,
    Settings,
    State,
)

SERVICE: Final = "buildkitd"
START_SECONDS: Final = 90
"""How long the daemon may take until it answers: systemd's default (DefaultTimeoutStartSec)."""
STOP_SECONDS: Final = 120
"""How long it may take to end, as TimeoutStopSec of the unit."""
START_LINE: Final = "=== buildkitd starts"
"""How the lines of each start begin in the log."""
LOG_BYTES: Final = 10_000_000
"""The log and the one before it are each about that large at most."""
LOG_INTERVAL: Final = 30
"""Seconds between two looks at the log's size."""

LOG_END: Final = run("tail", "-n", "30", paths.LOG)
HOLD_TABLE: Final = run(
    *("nsenter", "-t", "1", "-m"), *("mount", "-t", "binfmt_misc", "binfmt_misc", paths.BINFMT)
)

STATES: Final[Mapping[str, State]] = {"running": "running", "ended": "failed", "none": "stopped"}
"""What the daemon's mark says of it."""


def script(settings: Settings, *, limit: int = LOG_BYTES, interval: float = LOG_INTERVAL) -> ServiceFile:
    """The script that runs the daemon wherever systemd does not."""
    return ServiceFile(
        id="buildkit-script",
        path=paths.SERVICE_SCRIPT,
        text=render(
            "buildkit-service.sh",
            version=settings.version,
            generation=settings.generation,
            group=settings.buildkit.group,
            addresses=daemon.addresses(settings.buildkit),
            start_line=START_LINE,
            limit=limit,
            interval=interval,
            start_seconds=START_SECONDS,
            stop_seconds=STOP_SECONDS,
            paths=paths,
        ),
        mode=0o755,
    )


def files(settings: Settings) -> tuple[ServiceFile, ...]:
    """The script alone."""
    return (script(settings),)


def read(seen: Seen) -> Reading:
    """From the script and the daemon's mark. Nothing of it comes back at boot."""
    state = STATES[seen.mark.state]
    words = "ended by itself" if state == "failed" else state
    service = Service(enabled=None)
    if seen.script:
        service = Service(state=state, words=words, enabled=None, last_words=seen.mark.last_words)
    return Reading(service=service, boot=Boot(happens=False, folders=(paths.RULES,)))


MANAGER: Final = ServiceManager(
    name="process",
    title="no service manager",
    service=SERVICE,
    path=paths.SERVICE_SCRIPT,
    commands=Commands(
        start=run(paths.SERVICE_SCRIPT, "start"),
        stop=run(paths.SERVICE_SCRIPT, "stop"),
        restart=run(paths.SERVICE_SCRIPT, "restart"),
        status=run(paths.SERVICE_SCRIPT, "status"),
        log=LOG_END,
        hold_table=HOLD_TABLE,
    ),
    files=files,
    read=read,
    loads_modules=False,
    mounts_control_groups=True,
    rule_loader=f"`{paths.SERVICE_SCRIPT} start` registers it after a boot.",
)
