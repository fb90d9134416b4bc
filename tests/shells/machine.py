"""A host in a folder, with programs that only note how they were called, for the scripts to run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from provision import paths
from provision.apply import Journal, Upload, payload, script
from provision.commands.ask import ask_facts
from provision.facts import Facts
from provision.plan.steps import Plan, Step
from provision.result import StepResult
from provision.spec import Spec
from provision.transport import Answer
from tests.lab.namespace import MOUNTED, Namespace, Root

WITHOUT_APPLETS = pytest.mark.parametrize("machine", ["dash", "bash"], indirect=True)
"""For a test with a fake `mv` or `mount`: Debian's busybox sh runs its own applets, whatever is on PATH."""

# Words are counted and end with NUL: any word comes through as it was.
NOTE = """#!/bin/sh
printf '%s\\000' $# "${0##*/}" "$@" >>/lab/calls
"""


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What came of a plan."""

    answer: Answer
    steps: dict[str, StepResult]

    @property
    def states(self) -> list[str]:
        return [step.status for step in self.steps.values()]

    @property
    def only(self) -> StepResult:
        (step,) = self.steps.values()
        return step


@dataclass(kw_only=True)
class Machine:
    """`root` is the host's file system, seen from outside."""

    base: Root
    opened: list[Namespace] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.base.folder

    @property
    def shell(self) -> str:
        return self.base.shell

    def open(self, setup: str = MOUNTED, before: tuple[str, ...] = ()) -> Namespace:
        """A session; `space` is the usual one."""
        self.opened.append(Namespace(self.base, setup, before))
        return self.opened[-1]

    @property
    def space(self) -> Namespace:
        """The last session, else a new one."""
        return self.opened[-1] if self.opened else self.open()

    def close(self) -> None:
        for each in self.opened:
            each.close()

    def answer(self) -> None:
        """A daemon that answers, whoever starts it."""
        self.write(paths.CLIENT, "#!/bin/sh\necho linux/amd64\n", 0o755)

    def fake(self, name: str, body: str = "") -> None:
        """A program that notes its arguments and does what `body` says."""
        self.base.place(name, f"{NOTE}{body}\n")

    def calls(self) -> list[list[str]]:
        """Every call of a fake so far: its name and arguments."""
        log = self.root / "lab/calls"
        words = iter(log.read_bytes().decode().split("\0")[:-1] if log.exists() else ())
        return [[next(words) for _ in range(int(count) + 1)] for count in words]

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> Path:
        """A file of the host."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        return file

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def listing(self, path: str) -> list[str]:
        """The names in a folder, hidden ones too."""
        return sorted(each.name for each in self.at(path).iterdir())

    def apply(self, *steps: Step, sending: Sequence[Upload] = (), timeout: float = 60) -> Applied:
        """Carry out a plan of these steps by the product's script."""
        journal = Journal(steps=steps)
        with payload(sending, lambda _done, _all: None) as stream:
            answer = self.space.ask(
                script(Plan(steps=steps), sending), timeout=timeout, payload=stream, on_record=journal.record
            )
        return Applied(answer=answer, steps={each.id: each for each in journal.results()})

    def facts(self, spec: Spec | None = None) -> Facts:
        return ask_facts(self.space, spec or Spec(platforms=("linux/arm64",)))
