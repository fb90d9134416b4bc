"""What `logs` found on a host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from provision.fix import Fix

BuildStatus = Literal["running", "completed", "failed", "canceled"]


@dataclass(frozen=True, kw_only=True)
class BuildRow:
    """One build of the daemon's history. Times are seconds since 1970."""

    ref: str
    status: BuildStatus
    created: float | None = None
    seconds: float | None = None
    """How long it took."""
    platforms: tuple[str, ...] = ()
    steps: int = 0
    cached: int = 0
    """Steps that the cache had."""
    error: str = ""
    output: tuple[str, ...] = ()
    """The last lines of its log, of some of the last builds that failed."""


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker of the daemon."""

    id: str
    version: str | None
    """Of the daemon."""
    snapshotter: str | None
    platforms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RoomRow:
    """Room on the file system of a path, in bytes; `inodes` that are free, 0 where it has no table of them."""

    path: str
    size: int
    free: int
    inodes: int


@dataclass(frozen=True, kw_only=True)
class KnownError:
    """A message whose meaning is known, with the last line that has it."""

    seen: str
    cause: str
    fix: Fix
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class Logs:
    """All of one host. Secrets are masked."""

    source: str = ""
    """The command or the file that the lines come from."""
    lines: tuple[str, ...] = ()
    workers: tuple[WorkerRow, ...] = ()
    builds: tuple[BuildRow, ...] = ()
    """The newest last."""
    kills: tuple[str, ...] = ()
    """Lines of the kernel's log about processes that it ended as memory ran out."""
    killed: int | None = None
    """How many since boot; None if the kernel does not count them."""
    memory: int = 0
    """Bytes."""
    available: int = 0
    swap: int = 0
    room: tuple[RoomRow, ...] = ()
    known: tuple[KnownError, ...] = ()
