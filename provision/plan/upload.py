"""What a plan needs from this machine, as one stream of bytes behind the script, in the order of the steps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.plan.steps import SendInterpreter, Step, UnpackRelease
from provision.transport import Payload

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rest of one file, from `offset` on: what the host does not have yet."""

    step: str
    file: Path
    offset: int
    length: int


def parts(steps: Sequence[Step], cached: Mapping[str, int], archive: Callable[[], Path]) -> tuple[Part, ...]:
    """What has to be sent. `cached` is what lies in the host's cache (name -> bytes): an interrupted run is gone on
    from there. `archive` gets the release's archive to this machine, and is called only if it is needed.
    """
    found = []
    for step in steps:
        if isinstance(step, SendInterpreter) and step.sha256 not in cached:
            found.append(_part(step.id, step.file, step.sha256, cached))
        elif isinstance(step, UnpackRelease) and not step.url and step.sha256 not in cached:
            found.append(_part(step.id, archive(), step.sha256, cached))
    return tuple(found)


def _part(step: str, file: Path, sha256: str, cached: Mapping[str, int]) -> Part:
    size = file.stat().st_size
    there = cached.get(f"{sha256}.part", 0)
    # More than the whole is no part of it: the host finds that its digest differs, and begins anew the next time.
    offset = min(there, size)
    return Part(step=step, file=file, offset=offset, length=size - offset)


@contextmanager
def payload(wanted: Sequence[Part], progress: Progress) -> Iterator[Payload | None]:
    """The parts as one payload; `progress` is told bytes done and in all."""
    total = sum(part.length for part in wanted)
    if total == 0:
        yield None
    elif len(wanted) == 1:
        (part,) = wanted
        size = part.offset + part.length
        yield Payload(
            path=part.file,
            offset=part.offset,
            length=part.length,
            progress=lambda sent: progress(part.offset + sent, size),
        )
    else:
        with tempfile.NamedTemporaryFile(prefix="provision-") as joined:
            for part in wanted:
                with part.file.open("rb") as file:
                    file.seek(part.offset)
                    shutil.copyfileobj(file, joined, 1 << 20)
            joined.flush()
            yield Payload(
                path=Path(joined.name), offset=0, length=total, progress=lambda sent: progress(sent, total)
            )
