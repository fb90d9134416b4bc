"""A plan as one script (`templates/apply.sh`), and its events as step results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from provision import paths
from provision.plan.steps import Plan, Step
from provision.plan.upload import Part
from provision.render import render
from provision.result import StepResult, StepStatus


def script(plan: Plan, parts: Sequence[Part] = ()) -> str:
    """The script that carries out the plan; the bytes of `parts` follow it on the channel."""
    lengths = {part.step: part.length for part in parts}
    return render("apply.sh", steps=plan.steps, paths=paths, lengths=lengths)


Listener = Callable[[str, str, str], None]


@dataclass(kw_only=True)
class Journal:
    """Collects what the script reports, in the plan's order. `listener` hears id, state and words, live."""

    steps: Sequence[Step]
    listener: Listener = lambda _id, _state, _words: None
    _states: dict[str, tuple[str, str]] = field(default_factory=dict)
    _logs: dict[str, list[str]] = field(default_factory=dict)
    _last: str = ""

    def record(self, line: str) -> None:
        """One line of the script's output."""
        if line.startswith("|"):
            self._logs.setdefault(self._last, []).append(line[1:])
            return
        kind, _, rest = line.partition("\t")
        fields = rest.split("\t")
        if kind != "step" or len(fields) < 2:
            return
        self._last, state = fields[0], fields[1]
        words = fields[2] if len(fields) > 2 else ""
        self._states[self._last] = (state, words)
        self.listener(self._last, state, words)

    def results(self) -> tuple[StepResult, ...]:
        """Every step of the plan: done, failed or skipped; one that began and never ended is failed."""
        return tuple(self._result(step) for step in self.steps)

    def _result(self, step: Step) -> StepResult:
        state, words = self._states.get(step.id, ("skipped", "the run ended before it"))
        status: StepStatus = "done" if state == "done" else "skipped" if state == "skipped" else "failed"
        if state == "begin":
            words = "its end was not seen"
        elif state == "done" and words.startswith("skipped: "):
            status, words = "skipped", words.removeprefix("skipped: ")
        detail = "\n".join([words, *self._logs.get(step.id, [])]) if words else step.detail
        return StepResult(id=step.id, action=step.action, target=step.target, status=status, detail=detail)
