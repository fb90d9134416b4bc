"""How one run speaks: which format, on which streams, and how its progress is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TextIO

from rich.text import Text

from provision.errors import UsageError
from provision.report import envelope, html, junit, prometheus, table
from provision.report.console import clean, console, interactive
from provision.report.progress import Lines, Live, Progress, Silent
from provision.result import Report

TABLE: Final = "table"
FILES: Final[Mapping[str, Callable[[Report], str]]] = {
    "json": envelope.render,
    "prometheus": prometheus.render,
    "junit": junit.render,
    "html": html.render,
}
"""Formats for programs: the whole of standard output."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A format and two streams."""

    format: str
    out: TextIO
    err: TextIO
    progress: Progress

    @classmethod
    def of(cls, name: str, *, out: TextIO | None = None, err: TextIO | None = None) -> Style:
        """The style for `--format`. Raises UsageError for one that there is not."""
        out, err = out or sys.stdout, err or sys.stderr
        if name != TABLE and name not in FILES:
            raise UsageError(
                f"there is no format {clean(name)!r}", hint=f"Use one of: {', '.join((TABLE, *FILES))}."
            )
        progress: Progress = Silent()
        if name == TABLE:
            progress = Live(console(err)) if interactive(err) else Lines(console(err))
        return cls(format=name, out=out, err=err, progress=progress)

    def say(self, text: str) -> None:
        """One line on standard error, which is not part of the report."""
        console(self.err).print(Text(clean(text)), crop=False, soft_wrap=True)


def output(report: Report, style: Style) -> int:
    """Print a report: what came out on standard output, errors on standard error. Returns the exit code.

    A reader that has seen enough (`| head`) changes nothing about it.
    """
    try:
        if style.format == TABLE:
            table.render(report, console(style.out), log=not interactive(style.out))
        else:
            style.out.write(FILES[style.format](report))
        style.out.flush()
    except BrokenPipeError:
        # Python flushes standard output at its end, and would complain then (docs of `signal`, on SIGPIPE).
        os.dup2(os.open(os.devnull, os.O_WRONLY), style.out.fileno())
    if style.format == TABLE:
        table.complain(report, console(style.err))
    return report.exit_code
