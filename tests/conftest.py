"""The test ladder: which rungs run here, what becomes of those that cannot, and the summary that names them.

A rung is a folder of `tests/`. Where its requirements (`tests.lab.requirements`) are not met, its tests are
skipped with the reason and the command that would enable it. In CI (`CI=true`) that is a failure.
"""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.lab import requirements

RUNGS: Final = ("unit", "kernel", "shells", "ssh", "builds", "host", "vm")
TESTS: Final = Path(__file__).resolve().parent


@dataclass(kw_only=True)
class Ladder:
    """What is known about the rungs in this run."""

    chosen: tuple[str, ...]
    obstacles: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def obstacle(self, rung: str) -> str:
        """Why the rung cannot run here, with the command that would enable it; empty if it can."""
        if rung not in self.obstacles:
            self.obstacles[rung] = "; ".join(str(each) for each in requirements.missing(rung))
        return self.obstacles[rung]


LADDER: Final = pytest.StashKey[Ladder]()


def rung_of(path: Path) -> str:
    """The rung a test file belongs to: the folder of tests/ it is in."""
    return path.relative_to(TESTS).parts[0]


def parse_rungs(text: str) -> tuple[str, ...]:
    """`unit,ssh` as names of rungs, in the ladder's order; nothing means all of them."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(names.difference(RUNGS)):
        raise pytest.UsageError(f"no rung {', '.join(unknown)}; the ladder has {' '.join(RUNGS)}")
    return tuple(rung for rung in RUNGS if not names or rung in names)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rung", default="", help=f"only these rungs, comma-separated: {' '.join(RUNGS)}")


def pytest_configure(config: pytest.Config) -> None:
    # A script starts its background jobs with Ctrl-C ignored, and what the tests interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = parse_rungs(config.getoption("--rung"))
    config.stash[LADDER] = Ladder(chosen=chosen)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.stash[LADDER].chosen
    for item in items:
        item.add_marker(rung_of(item.path))
    dropped = [item for item in items if rung_of(item.path) not in chosen]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    # From the bottom up: what is quick and basic fails first.
    items[:] = sorted(
        (item for item in items if rung_of(item.path) in chosen),
        key=lambda item: RUNGS.index(rung_of(item.path)),
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    ladder = item.config.stash[LADDER]
    rung = rung_of(item.path)
    if obstacle := ladder.obstacle(rung):
        requirements.refuse(f"rung {rung} cannot run here: {obstacle}")
    for marker in item.iter_markers("needs"):
        program, package = marker.args
        if shutil.which(program) is None:
            ladder.missing[program] = f"apt-get install -y {package}"
            requirements.refuse(f"{program} is not installed; enable with: {ladder.missing[program]}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ladder = config.stash[LADDER]
    blocked = {rung: why for rung, why in ladder.obstacles.items() if why}
    if not blocked and not ladder.missing:
        return
    terminalreporter.section("not run on this machine")
    for rung, why in blocked.items():
        terminalreporter.line(f"rung {rung}: {why}")
    for program, command in ladder.missing.items():
        terminalreporter.line(f"tests that need {program}: {command}")
