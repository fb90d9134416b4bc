"""Progress of the work: live on a terminal, lines in a log, nothing where JSON is wanted.

Everything is printed on standard error; standard output is the report's. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from provision.errors import EXIT_OK, EXIT_PENDING
from provision.plain import clean
from provision.report.cells import duration
from provision.report.console import Prefixed, whole
from provision.result import EXIT_CODES, HostStatus

SLOW: Final = 2.0
"""Seconds after which a log also gets a line when the step ends."""


class Progress:
    """Receives the events of hosts, and shows nothing: the base of those that do.

    Use as a context manager around the work.
    """

    def expect(self, hosts: Sequence[str]) -> None:
        """Which hosts there will be. Not needed for one."""

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        """A step is at `begin`, `done`, `failed` or `skipped`; `text` says what it is or how it went."""

    def transfer(self, host: str, what: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes have arrived; None: the total is not known."""

    def count(self, host: str, step_id: str, done: int, total: int | None) -> None:
        """`done` of `total` parts of a step are done; None: the total is not known."""

    def finish(self, host: str, status: HostStatus) -> None:
        """The work on the host has ended."""

    def say(self, text: str) -> None:
        """A message about the run as a whole."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Guarded(Progress):
    """Shows as another does, until that fails for whatever reason; then nothing, and the work goes on.

    An error here would end a host in the middle of a step, in the thread that works on it.
    """

    def __init__(self, shown: Progress) -> None:
        self.shown = shown
        self._failed = False

    def _tell(self, tell: Callable[[], object]) -> None:
        if not self._failed:
            try:
                tell()
            except Exception:  # noqa: BLE001 - no defect of the display may reach the work
                self._failed = True

    def expect(self, hosts: Sequence[str]) -> None:
        self._tell(lambda: self.shown.expect(hosts))

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        self._tell(lambda: self.shown.step(host, step_id, state, text))

    def transfer(self, host: str, what: str, done: int, total: int | None) -> None:
        self._tell(lambda: self.shown.transfer(host, what, done, total))

    def count(self, host: str, step_id: str, done: int, total: int | None) -> None:
        self._tell(lambda: self.shown.count(host, step_id, done, total))

    def finish(self, host: str, status: HostStatus) -> None:
        self._tell(lambda: self.shown.finish(host, status))

    def say(self, text: str) -> None:
        self._tell(lambda: self.shown.say(text))

    def __enter__(self) -> Progress:
        self._tell(self.shown.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._failed = False  # a live display brings the cursor back, whatever happened to it
        self._tell(lambda: self.shown.__exit__(kind, error, trace))


def megabytes(size: int) -> str:
    """`64.2 MB` (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB"


class Lines(Progress):
    """A line when a step begins, so that the last line of a log that stands still names the step.

    Another line when a step failed or was slow, and one for every quarter of a transfer.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, str], tuple[str, float]] = {}
        self._quarters: dict[tuple[str, str], int] = {}

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        with self._lock:
            now = self._clock()
            if state == "begin":
                self._begun[host, step_id] = (text, now)
                self._say(host, text)
                return
            title, begun = self._begun.pop((host, step_id), (step_id, now))
            words = f": {text}" if text and text != title else ""
            if state != "done":
                self._say(host, f"{state} {title}{words}")
            elif now - begun >= SLOW:
                self._say(host, f"done after {duration(now - begun)}: {title}")

    def transfer(self, host: str, what: str, done: int, total: int | None) -> None:
        with self._lock:
            quarter = done * 4 // total if total else 0
            if self._quarters.get((host, what), -1) >= quarter:
                return
            self._quarters[host, what] = quarter
            size = f"{quarter * 25}% of {megabytes(total)}" if total else megabytes(done)
            self._say(host, f"{what} {size}")

    def count(self, host: str, step_id: str, done: int, total: int | None) -> None:
        with self._lock:
            quarter = done * 4 // total if total else 0
            if self._quarters.get((host, step_id), 0) >= quarter:
                return
            self._quarters[host, step_id] = quarter
            title, _begun = self._begun.get((host, step_id), (step_id, 0.0))
            self._say(host, f"{title}: {quarter * 25}%")

    def finish(self, host: str, status: HostStatus) -> None:
        with self._lock:
            self._say(host, status)

    def say(self, text: str) -> None:
        with self._lock:
            self._console.print(whole(clean(text)), crop=False)

    def _say(self, host: str, text: str) -> None:
        line = clean(text).replace("\n", " ")
        self._console.print(Prefixed(body=whole(line), prefix=f"{clean(host)}: "), crop=False, end="")


class _Bar(ProgressColumn):
    """A bar, but only during a transfer."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._bar = BarColumn(bar_width=20)

    def render(self, task: Task) -> Text | object:  # type: ignore[override]
        return self._bar.render(task) if task.total else Text("")


class Live(Progress):
    """One row for each host at work, and above the rows each failure."""

    def __init__(self, console: Console) -> None:
        spinner = "dots" if "utf" in console.encoding.lower() else "line"
        self._bars = RichProgress(
            SpinnerColumn(spinner),
            TextColumn("{task.description}", style="bold", markup=False, table_column=Column(no_wrap=True)),
            TextColumn(
                "{task.fields[text]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            _Bar(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=True,
        )
        self._lock = threading.Lock()
        self._rows: dict[str, TaskID] = {}
        self._titles: dict[tuple[str, str], str] = {}
        self._expected = 0
        self._finished = 0
        self._total: TaskID | None = None

    def expect(self, hosts: Sequence[str]) -> None:
        self._expected = len(hosts)
        if self._expected > 1:
            self._total = self._bars.add_task("", total=None, text=f"0 of {self._expected} hosts done")

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        with self._lock:
            title = self._titles.setdefault((host, step_id), text or step_id)
            self._bars.update(self._row(host), text=_line(title), total=None, completed=0)
            if state == "failed":
                self._bars.console.print(Text(_line(f"{host}: failed {title}: {text}"), "red"))

    def transfer(self, host: str, what: str, done: int, total: int | None) -> None:
        with self._lock:
            size = f"{megabytes(done)} of {megabytes(total)}" if total else megabytes(done)
            self._bars.update(self._row(host), text=_line(f"{what} {size}"), total=total, completed=done)

    def count(self, host: str, step_id: str, done: int, total: int | None) -> None:
        with self._lock:
            title = self._titles.get((host, step_id), step_id)
            text = f"{title}: {done} of {total}" if total else f"{title}: {done}"
            self._bars.update(self._row(host), text=_line(text), total=total, completed=done)

    def finish(self, host: str, status: HostStatus) -> None:
        with self._lock:
            self._finished += 1
            if host in self._rows:
                self._bars.remove_task(self._rows.pop(host))
            if EXIT_CODES[status] not in (EXIT_OK, EXIT_PENDING):
                self._bars.console.print(Text(_line(f"{host}: {status}"), "red"))
            if self._total is not None:
                self._bars.update(self._total, text=f"{self._finished} of {self._expected} hosts done")

    def say(self, text: str) -> None:
        self._bars.console.print(Text(_line(text)))

    def _row(self, host: str) -> TaskID:
        if host not in self._rows:
            self._rows[host] = self._bars.add_task(clean(host), total=None, text="")
        return self._rows[host]

    def __enter__(self) -> Live:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def _line(text: str) -> str:
    return clean(text).replace("\n", " ")
