"""The test ladder: which rungs run here, what becomes of those that cannot, and the summary that names them.

A rung is a folder of `tests/`. Where its requirements (`tests.lab.requirements`) are not met, its tests are
skipped with the reason and the command that would enable it. In CI (`CI=true`) that is a failure.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from tests.lab import needs, requirements

# How long an example takes says how busy the machine is: half a second was seen where 5 ms are usual.
settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")

RUNGS: Final = tuple(requirements.RUNGS)
TESTS: Final = Path(__file__).resolve().parent
CHOSEN: Final = pytest.StashKey[tuple[str, ...]]()


def rung_of(path: Path) -> str:
    """The rung a test file belongs to: the folder of tests/ it is in."""
    return path.relative_to(TESTS).parts[0]


def parse_rungs(text: str) -> tuple[str, ...]:
    """`unit,ssh` as names of rungs, in the ladder's order; nothing means all that are not run by name alone."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(names.difference(RUNGS)):
        raise pytest.UsageError(f"no rung {', '.join(unknown)}; the ladder has {' '.join(RUNGS)}")
    return tuple(rung for rung in RUNGS if (rung in names if names else rung not in requirements.APART))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rung", default="", help=f"only these rungs, comma-separated: {' '.join(RUNGS)}")
    parser.addoption("--quick", action="store_true", help="leave out what is marked as thorough")
    parser.addoption(
        "--part-of-all", action="store_true", help="`./inv test --all` runs the other rungs itself"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A script starts its background jobs with Ctrl-C ignored, and what the tests interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup(1)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # A process of pytest-xdist has the width of the terminal there, which programs under test would take.
    if hasattr(config, "workerinput"):
        os.environ.pop("COLUMNS", None)
    config.stash[CHOSEN] = parse_rungs(config.getoption("--rung"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.stash[CHOSEN]
    for item in items:
        item.add_marker(rung_of(item.path))
        if unknown := [name for name in needed(item) if name not in needs.NEEDS]:
            raise pytest.UsageError(f"{item.nodeid} needs {unknown}, and tests/lab/needs.py has no such row")
    of_rungs = [item for item in items if rung_of(item.path) in chosen]
    quick = config.getoption("--quick")
    kept = [item for item in of_rungs if not (quick and item.get_closest_marker("thorough"))]
    if len(kept) < len(items):
        staying = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in staying])
    # From the bottom up: what is quick and basic fails first.
    items[:] = sorted(kept, key=lambda item: RUNGS.index(rung_of(item.path)))


def needed(item: pytest.Item) -> list[str]:
    """The programs that the test says it needs."""
    return [name for marker in item.iter_markers("needs") for name in marker.args]


def pytest_runtest_setup(item: pytest.Item) -> None:
    rung = rung_of(item.path)
    if lacking := requirements.missing(rung):
        requirements.refuse(f"rung {rung} cannot run here: {'; '.join(map(str, lacking))}")
    requirements.require(*needed(item))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    show_counts(terminalreporter)
    skipped = Counter(reason(report) for report in terminalreporter.stats.get("skipped", []))
    others = [rung for rung in RUNGS if rung not in config.stash[CHOSEN]]
    if config.getoption("--part-of-all"):
        others = []
    quick = config.getoption("--quick")
    if not (skipped or others or quick):
        return
    terminalreporter.section("left out")
    for why, count in skipped.most_common():
        terminalreporter.line(f"{count} {'test' if count == 1 else 'tests'}: {why}")
    if quick:
        terminalreporter.line(
            "thorough tests: other shells, more cases of what ran here, and what takes long"
        )
    if others:
        terminalreporter.line(f"not asked for: the rungs {' '.join(others)}")
    terminalreporter.line("To install what is missing and run everything:  ./inv test --all")


def show_counts(terminalreporter: pytest.TerminalReporter) -> None:
    """How many of how many cases a test went through, where it counts them itself (`record_property`)."""
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.user_properties]
    if reports:
        terminalreporter.section("counted")
    for report in reports:
        # The last count of each name: some grow from case to case.
        for name, count in dict(report.user_properties).items():
            terminalreporter.line(f"{report.nodeid}: {name}: {count}")


def reason(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    where = report.longrepr
    return where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)
