"""Runs the rungs in two lanes: the quick ones and the hosts; beside them ssh, compilers, bare roots and the machine."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from tests.lab import checkout
from tests.lab.requirements import APART, QUICK, RUNGS
from tests.ladder.install import say

BESIDE: Final = ("ssh", "builds", "bare", "vm")
"""Most keep one core busy for long, as a compiler and a machine under emulation do; with servers for ssh, which mostly
wait, both lanes take about as long."""
# Two: what waits leaves a core to the other. Files stay whole, as their tests share fixtures.
TWO_PROCESSES: Final = ("--numprocesses=2", "--dist=loadfile")
NO_TESTS: Final = 5  # pytest's exit code when nothing was selected


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What of the rungs is to run: pytest's -k, and other words for pytest."""

    matching: str = ""
    words: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        return not self.matching and not self.words


@dataclass(kw_only=True)
class Outcomes:
    """How each pytest ended, in words, and the exit code of all."""

    lines: list[str] = field(default_factory=list)
    code: int = 0

    def add(self, rungs: Sequence[str], code: int, seconds: float) -> None:
        ended = {0: "passed", NO_TESTS: "no test was selected"}.get(code, f"failed with exit code {code}")
        self.lines.append(f"rungs {' '.join(rungs)}: {ended} ({seconds / 60:.1f} min)")
        if code != NO_TESTS:
            self.code = self.code or code


def pytest(rungs: Sequence[str], selection: Selection, *more: str) -> list[str]:
    """The command that runs these rungs."""
    matching = ("-k", selection.matching) if selection.matching else ()
    command = [sys.executable, "-m", "pytest", f"--rung={','.join(rungs)}", *more, *matching]
    return [*command, *selection.words]


def environment() -> dict[str, str]:
    """With the Go that `--all` installed, if it did, before that of the machine, which is too old then."""
    path = os.environ["PATH"]
    found = importlib.util.find_spec("go")
    if found is not None and found.submodule_search_locations:
        path = f"{Path(found.submodule_search_locations[0]) / 'bin'}{os.pathsep}{path}"
    return {**os.environ, "PATH": path}


def some(rungs: Sequence[str], selection: Selection) -> int:
    """Runs these rungs in this order; pytest's exit code. Without any, the quick ones and of these the quick tests."""
    chosen = rungs or QUICK
    together = TWO_PROCESSES if selection.is_everything and set(chosen) <= set(QUICK) else ()
    quick = ("--quick",) if selection.is_everything and not rungs else ()
    return call(pytest(chosen, selection, *together, *quick))


def everything(rungs: Sequence[str], selection: Selection) -> int:
    """Runs all rungs, or these; the first exit code that is not 0."""
    chosen = rungs or tuple(rung for rung in RUNGS if rung not in APART)
    outcomes = Outcomes()
    download_modules()
    with beside(tuple(rung for rung in chosen if rung in BESIDE), selection, outcomes):
        quick = tuple(rung for rung in chosen if rung in QUICK and rung not in BESIDE)
        slow = tuple(rung for rung in chosen if rung not in (*QUICK, *BESIDE))
        for group, more in ((quick, TWO_PROCESSES), (slow, ())):
            if group:
                begun = time.monotonic()
                code = call(pytest(group, selection, "--part-of-all", "--durations=15", *more))
                outcomes.add(group, code, time.monotonic() - begun)
    for line in outcomes.lines:
        say(line)
    return outcomes.code


@contextmanager
def beside(rungs: Sequence[str], selection: Selection, outcomes: Outcomes) -> Iterator[None]:
    """Runs rungs in the background while the block runs, and shows what they printed at the end."""
    if not rungs:
        yield
        return
    with tempfile.TemporaryFile() as log:
        begun = time.monotonic()
        command = pytest(rungs, selection, "--part-of-all", "-p", "no:cacheprovider", "--durations=15")
        running = subprocess.Popen(
            command,
            cwd=checkout.ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C at the terminal reaches it through us alone, once: it takes its machines down then.
            start_new_session=True,
        )
        try:
            yield
            code = running.wait()
        except BaseException:
            running.send_signal(signal.SIGINT)
            running.wait()
            raise
        outcomes.add(rungs, code, time.monotonic() - begun)
        show(log)


def show(log: IO[bytes]) -> None:
    log.seek(0)
    sys.stdout.flush()
    sys.stdout.buffer.write(log.read())
    sys.stdout.flush()


def call(command: Sequence[str]) -> int:
    sys.stdout.flush()
    code = subprocess.run(command, cwd=checkout.ROOT, env=environment(), check=False).returncode
    # A negative code is a signal's number; shells say 128 + it.
    return code if code >= 0 else 128 - code


def download_modules() -> None:
    """The Go modules that the lab builds from, so that no test waits for the network."""
    for file in checkout.files():
        if file.name == "go.mod":
            subprocess.run(["go", "mod", "download"], cwd=file.parent, env=environment(), check=False)
