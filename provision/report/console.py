"""The consoles that reports are printed on: colours, widths, encodings, and what a hostile host may print.

Text from a host is never read as rich markup, and control characters in it never reach a terminal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from provision.plain import clean
from provision.report.streams import Steady

LOG_WIDTH: Final = 10_000
"""Columns of a console that is no terminal: lines of a log are never wrapped."""

_ASCII: Final = str.maketrans(
    {"✓": "v", "✗": "x", "•": "*", "–": "-", "…": "~", "→": ">", "×": "x", "≤": "<"}
)


class _Narrow:
    """A stream whose encoding lacks our marks: each becomes one ASCII character, so columns stay aligned."""

    def __init__(self, stream: Steady) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        plain = text.translate(_ASCII)
        return self._stream.write(plain.encode(self.encoding, "replace").decode(self.encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def interactive(stream: TextIO | Steady) -> bool:
    """Whether a person reads the stream while it is written. FORCE_COLOR brings colours into a log, no more."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO | Steady, *, width: int | None = None) -> Console:
    """A console on a stream: as wide as the terminal; without colours under NO_COLOR or in a log."""
    steady = Steady.of(stream)
    encoding = steady.encoding.lower().replace("-", "").replace("_", "")
    file = cast("TextIO", steady if encoding in ("utf8", "utf8sig") else _Narrow(steady))
    if width is None and not interactive(stream):
        width = int(os.environ.get("COLUMNS", "")) if os.environ.get("COLUMNS", "").isdigit() else LOG_WIDTH
    return Console(
        file=file,
        width=width,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


@dataclass(frozen=True, kw_only=True)
class Prefixed:
    """Something printable with a prefix before each of its lines, and no blanks behind them.

    Nothing is cropped: a command or a line of a diff that is too wide is left to the terminal to wrap, for
    it must come out whole when copied.
    """

    body: RenderableType
    prefix: str = ""
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(20, options.max_width - len(self.prefix))
        for line in Segment.split_lines(console.render(self.body, options.update(width=room))):
            words = _without_trailing_blanks(line)
            if self.prefix:
                yield Segment(self.prefix if words else self.prefix.rstrip(), console.get_style(self.style))
            yield from words
            yield Segment.line()


def _without_trailing_blanks(line: Iterable[Segment]) -> list[Segment]:
    kept = [segment for segment in line if not segment.control]
    while kept:
        last = kept.pop()
        if text := last.text.rstrip(" "):
            return [*kept, Segment(text, last.style)]
    return kept


def whole(text: str, style: str = "") -> Text:
    """A line that is never wrapped: commands and diffs."""
    return Text(clean(text), style=style, no_wrap=True, overflow="ignore")
