"""A plan as one script (`templates/apply.sh`), and its events as step results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from provision import paths
from provision.facts.records import Record, RecordReader, number
from provision.facts.view import meaning
from provision.plan.steps import Plan, RegisterHandler, Step
from provision.plan.upload import Part
from provision.render import render
from provision.result import StepResult, StepStatus


def script(plan: Plan, parts: Sequence[Part] = ()) -> str:
    """The script that carries out the plan; the bytes of `parts` follow it on the channel."""
    lengths = {part.step: part.length for part in parts}
    return render("apply.sh", steps=plan.steps, paths=paths, lengths=lengths)


_NOT_REACHED: Final = "the run ended before it"
Listener = Callable[[str, str, str], None]


@dataclass(kw_only=True)
class Journal:
    """Collects what the script reports, in the plan's order. `listener` hears id, state and words, live."""

    steps: Sequence[Step]
    listener: Listener = lambda _id, _state, _words: None
    _reader: RecordReader = field(default_factory=RecordReader)
    _last: dict[str, Record] = field(default_factory=dict)

    def record(self, line: str) -> None:
        """One line of the script's output."""
        record = self._reader.read(line)
        if record is None or record.kind != "step" or not record[1]:
            return
        self._last[record[0]] = record
        self.listener(record[0], record[1], self._words(record))

    def _words(self, record: Record) -> str:
        """What the script said of a step, and what the exit status of its probe program means."""
        step = next((step for step in self.steps if step.id == record[0]), None)
        if not record[3] or not isinstance(step, RegisterHandler):
            return record[2]
        meant = f"{step.interpreter}: {meaning(number(record[3]), step.argc)}"
        return f"{meant}; {record[2]}" if record[2] else meant

    def results(self) -> tuple[StepResult, ...]:
        """Every step of the plan: done, failed or skipped; one that began and never ended is failed."""
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
