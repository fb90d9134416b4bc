"""The end of `provision`: a build for each wanted platform through the daemon, which is what all of it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.errors import HostError
from provision.facts import Facts
from provision.facts.records import Record, RecordReader
from provision.health import deep
from provision.result import Finding, PlatformRow
from provision.spec import Spec
from provision.transport import Transport

if TYPE_CHECKING:
    from provision.report.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How the builds ended."""

    platforms: tuple[PlatformRow, ...]
    failed: tuple[Finding, ...]
    unfinished: tuple[str, ...]
    """Platforms whose build was not seen to end."""

    @property
    def error(self) -> HostError | None:
        """What it amounts to; None if every build succeeded."""
        if self.failed:
            names = ", ".join(each.platform or "" for each in self.failed)
            first = self.failed[0]
            return HostError(
                f"the proof failed: no build for {names}",
                cause=f"{first.evidence}; {first.consequence}",
                fix=first.fix,
            )
        if self.unfinished:
            return HostError(
                "the proof came to no end",
                cause=f"the host did not say how the build for {self.unfinished[0]} ended",
                hint="run it again",
            )
        return None


def prove(
    transport: Transport, spec: Spec, facts: Facts, rows: Sequence[PlatformRow], progress: Progress
) -> Proof:
    """One RUN of a program of each wanted platform: no registry is needed, as the image is made from scratch.

    Raises HostError, UnreachableError or StoppedError if the question fails.
    """
    script = deep.script(spec, facts, prove=True)
    shown = _Shown(host=transport.name, progress=progress)
    measured = deep.parse(transport.ask(script, timeout=deep.TIMEOUT, on_record=shown.record).records)
    return Proof(
        platforms=deep.rows(measured, rows, facts),
        failed=deep.findings(spec, facts, measured),
        unfinished=tuple(each for each in deep.platforms(spec, facts) if each not in measured.builds),
    )


@dataclass(kw_only=True)
class _Shown:
    """The builds as steps of a host, while they run."""

    host: str
    progress: Progress
    reader: RecordReader = field(default_factory=RecordReader)

    def record(self, line: str) -> None:
        """One line of the script's output."""
        record = self.reader.read(line)
        if record is not None and record.kind in ("building", "build"):
            state, words = self._state(record)
            step = f"build-{record[0].removeprefix('linux/').replace('/', '-')}"
            self.progress.step(self.host, step, state, words)

    @staticmethod
    def _state(record: Record) -> tuple[str, str]:
        if record.kind == "building":
            return "begin", f"build for {record[0]}"
        return ("done", "") if record[1] == "0" else ("failed", "its build failed")
