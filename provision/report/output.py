"""The output of a run: its format, its streams, and how its progress is shown."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Final, TextIO

from provision import lazy
from provision.errors import UsageError
from provision.plain import clean
from provision.report.streams import Steady
from provision.result import Report

# A host is connected to before rich is imported, which takes as long as a turn of the line.
if TYPE_CHECKING:
    from provision.report import console as consoles
    from provision.report import envelope, html, junit, progress, prometheus, table
    from provision.report.progress import Progress
else:
    consoles, progress, table = (
        lazy.LazyModule(f"provision.report.{name}") for name in ("console", "progress", "table")
    )
    envelope, html, junit, prometheus = (
        lazy.LazyModule(f"provision.report.{name}") for name in ("envelope", "html", "junit", "prometheus")
    )

TABLE: Final = "table"
FILES: Final[Mapping[str, ModuleType]] = {
    "json": envelope,
    "prometheus": prometheus,
    "junit": junit,
    "html": html,
}
"""Formats for programs, the whole of standard output: `render` gives the text of a report."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A format and two streams."""

    format: str
    out: Steady
    err: Steady
    _made: list[Progress] = field(default_factory=list, repr=False)
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, name: str, *, out: TextIO | None = None, err: TextIO | None = None) -> Style:
        """The style for `--format`. Raises UsageError for an unknown format."""
        if name != TABLE and name not in FILES:
            raise UsageError(
                f"there is no format {clean(name)!r}",
                hint=f"Use one of: {', '.join((TABLE, *FILES))}.",
            )
        return cls(format=name, out=Steady.of(out or sys.stdout), err=Steady.of(err or sys.stderr))

    @property
    def progress(self) -> Progress:
        """The same at every call, from any thread."""
        with self._making:
            if not self._made:
                self._made.append(self._progress())
            return self._made[0]

    @property
    def silence(self) -> Progress:
        """A progress that shows nothing."""
        return progress.Progress()

    def prepare(self) -> None:
        """Imports what the report will need."""
        lazy.load(table if self.format == TABLE else FILES[self.format])

    def _progress(self) -> Progress:
        if self.format != TABLE:
            return progress.Progress()
        kind = progress.Live if consoles.interactive(self.err) else progress.Lines
        return progress.Guarded(kind(consoles.console(self.err)))

    def say(self, text: str) -> None:
        """One line on standard error, which is not part of the report."""
        consoles.console(self.err).print(consoles.whole(text), crop=False, soft_wrap=True)


def output(report: Report, style: Style) -> int:
    """Print a report: results on standard output, errors on standard error. Returns the exit code.

    What becomes of the streams does not change the exit code (`streams`).
    """
    if style.format == TABLE and report.text:
        style.out.write_bytes(report.text.encode(errors="replace"))
        style.out.flush()
        table.complain(report, consoles.console(style.err))
    elif style.format == TABLE:
        log = not consoles.interactive(style.out)
        table.render(report, consoles.console(style.out), log=log)
        style.out.flush()
        table.complain(report, consoles.console(style.err))
    else:
        # Each format says itself that it is UTF-8, or is ASCII.
        style.out.write_bytes(FILES[style.format].render(report).encode(errors="replace"))
        style.out.flush()
    style.err.flush()
    return report.exit_code
