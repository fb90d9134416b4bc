"""A plan as one script (`templates/apply.sh`) with the bytes that follow it, and its records as step results."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provision import paths
from provision.apply import lock
from provision.apply.lock import Claim
from provision.facts import host_record, view
from provision.facts.records import Record, RecordReader, number
from provision.plan.steps import (
    MountBinfmt,
    Plan,
    RegisterHandler,
    RunService,
    SendInterpreter,
    StartDaemon,
    Step,
    UnpackRelease,
)
from provision.render import render
from provision.result import StepResult, StepStatus
from provision.transport import Payload

TransferProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""
StepListener = Callable[[str, str, str], None]
"""Called with a step's id, its state and the words of its record."""
_NOT_REACHED: Final = "the run ended before it"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """The rest of one file, from `offset` on: what the host does not have yet."""

    step: str
    file: Path
    offset: int
    length: int


def uploads(
    steps: Sequence[Step], cached: Mapping[str, int], archive: Callable[[], Path]
) -> tuple[Upload, ...]:
    """What has to be sent, in the order of the steps. `cached` is what the host's cache holds (name -> bytes).

    An interrupted upload resumes at the offset that the cache has reached. `archive` gets the release's archive to
    this machine, and is called only if it is needed.
    """
    found = []
    for step in steps:
        if isinstance(step, SendInterpreter) and step.sha256 not in cached:
            found.append(_upload(step.id, step.file, step.sha256, cached))
        elif isinstance(step, UnpackRelease) and not step.url and step.sha256 not in cached:
            found.append(_upload(step.id, archive(), step.sha256, cached))
    return tuple(found)


def _upload(step: str, file: Path, sha256: str, cached: Mapping[str, int]) -> Upload:
    size = file.stat().st_size
    # More than the whole: the host finds that its digest differs, and starts again in the next run.
    offset = min(cached.get(f"{sha256}.part", 0), size)
    return Upload(step=step, file=file, offset=offset, length=size - offset)


@contextmanager
def payload(wanted: Sequence[Upload], progress: TransferProgress) -> Iterator[Payload | None]:
    """The uploads as one stream of bytes, which follows the script; `progress` is told bytes done and in all."""
    total = sum(each.length for each in wanted)
    if total == 0:
        yield None
    elif len(wanted) == 1:
        (only,) = wanted
        size = only.offset + only.length
        yield Payload(
            path=only.file,
            offset=only.offset,
            length=only.length,
            progress=lambda sent: progress(only.offset + sent, size),
        )
    else:
        with tempfile.NamedTemporaryFile(prefix="provision-") as joined:
            for each in wanted:
                with each.file.open("rb") as file:
                    file.seek(each.offset)
                    shutil.copyfileobj(file, joined, 1 << 20)
            joined.flush()
            yield Payload(
                path=Path(joined.name), offset=0, length=total, progress=lambda sent: progress(sent, total)
            )


def script(plan: Plan, sending: Sequence[Upload] = (), claim: Claim | None = None) -> str:
    """The script that carries out the plan; the bytes of `sending` follow it on the channel.

    Without a claim it takes the lock whatever the facts saw of it.
    """
    lengths = {each.step: each.length for each in sending}
    managers = sorted(
        {step.manager for step in plan.steps if isinstance(step, MountBinfmt | RunService | StartDaemon)}
    )
    return render(
        "apply.sh",
        steps=plan.steps,
        paths=paths,
        lengths=lengths,
        managers=managers,
        record_header=host_record.HEADER,
        mark=view.MARK,
        claim=claim or Claim.whatever(),
        lock_seconds=lock.SECONDS,
    )


@dataclass(kw_only=True)
class Journal:
    """Collects what the script reports, in the plan's order. `listener` is called for each record as it arrives."""

    steps: Sequence[Step]
    listener: StepListener = lambda _id, _state, _words: None
    _reader: RecordReader = field(default_factory=RecordReader)
    _last: dict[str, Record] = field(default_factory=dict)
    _lock: Record = field(default_factory=lambda: Record(kind=""))

    def record(self, line: str) -> None:
        """One line of the script's output."""
        record = self._reader.read(line)
        if record is not None and record.kind == "lock":
            self._lock = record
            if record[0] == "waits":
                self.listener("lock", "begin", lock.waiting(record))
            else:
                self.listener("lock", "done" if record[0] in ("taken", "changed") else "failed", "")
        if record is None or record.kind != "step" or not record[1]:
            return
        self._last[record[0]] = record
        self.listener(record[0], record[1], self._words(record))

    @property
    def overtaken(self) -> bool:
        """Whether another run changed the host after this run asked for its facts: nothing was done."""
        return self._lock[0] == "changed"

    def check_lock(self) -> None:
        """Raise the error of a run that did not get the host's lock: LockedError, StoppedError or HostError."""
        if error := lock.refusal(self._lock):
            raise error

    def _words(self, record: Record) -> str:
        """The script's words on a step, and what the exit status of its probe program means."""
        step = next((step for step in self.steps if step.id == record[0]), None)
        if not record[3] or not isinstance(step, RegisterHandler):
            return record[2]
        meant = f"{record[4] or step.interpreter}: {view.meaning(number(record[3]), step.argc)}"
        return f"{meant}; {record[2]}" if record[2] else meant

    def results(self) -> tuple[StepResult, ...]:
        """Every step of the plan: done, failed or skipped. A step whose end was not reported has failed."""
        return tuple(self._result(step) for step in self.steps)

    def _result(self, step: Step) -> StepResult:
        record = self._last.get(step.id, Record(kind="step", fields=(step.id, "skipped", _NOT_REACHED)))
        state, words = record[1], self._words(record)
        status: StepStatus = "done" if state == "done" else "skipped" if state == "skipped" else "failed"
        if state == "begin":
            words = "its end was not seen"
        elif state == "done" and words.startswith("skipped: "):
            status, words = "skipped", words.removeprefix("skipped: ")
        detail = "\n".join([words, *record.lines]) if words else step.detail
        return StepResult(id=step.id, action=step.action, target=step.target, status=status, detail=detail)
