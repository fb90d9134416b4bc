"""The help of one command: a sentence, examples, its own options, then those that all commands have."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from provision.cli.options import COMMON, Option

_LEAST: Final = 40
"""Columns that a help text gets on the narrowest terminal."""
_WIDEST: Final = 34
"""Columns of flags; a longer one has a line of its own."""
_HELP: Final = ("-h, --help", "show this")
Row = tuple[str, str]


def text(binary: str, name: str, task: Any, flags: Mapping[str, Any]) -> str:
    """The help of a task. `flags` are Invoke's arguments of it, by their first name."""
    options: Mapping[str, Option] = getattr(task, "options", {})
    words = {key: _row(key, argument, options.get(key)) for key, argument in flags.items()}
    own = [row for key, row in words.items() if key not in COMMON and not flags[key].positional]
    common = [*(row for key, row in words.items() if key in COMMON), _HELP]
    arguments = [argument for argument in flags.values() if argument.positional]
    places = " ".join(argument.name.upper() for argument in arguments)
    lines = [
        f"Usage: {' '.join(filter(None, (binary, name, places)))} [--options]",
        "",
        *textwrap.wrap(inspect.getdoc(task) or "", _width()),
    ]
    if examples := getattr(task, "examples", ()):
        lines += ["", "Examples:", *(f"  {binary} {each}" for each in examples)]
    if arguments:
        lines += ["", *_columns((argument.name.upper(), argument.help or "") for argument in arguments)]
    if own:
        lines += ["", "Options:" if len(common) == 1 else "Its own options:", *_columns(own)]
    lines += ["", "Options of every command:" if len(common) > 1 else "And:", *_columns(common)]
    return "\n".join(lines) + "\n"


def _row(key: str, argument: Any, option: Option | None) -> Row:
    """A flag with its letter and what its value is called, and what it does."""
    letters = [f"-{name}" for name in argument.names if len(name) == 1 and name != key]
    flag = f"--{key.replace('_', '-')}" if len(key) > 1 else f"-{key}"
    value = "" if not argument.takes_value else f" {option.value_name(key) if option else key.upper()}"
    return ", ".join([*letters, f"{flag}{value}"]), argument.help or ""


def _columns(rows: Iterable[Row]) -> Iterator[str]:
    found = list(rows)
    first = min(max(len(words) for words, _ in found), _WIDEST)
    for words, about in found:
        told = textwrap.wrap(about, max(_width() - first - 4, _LEAST)) or [""]
        if len(words) > first:
            yield f"  {words}"
            words = ""  # noqa: PLW2901 - what is left to say of it
        yield f"  {words:{first}}  {told[0]}".rstrip()
        yield from (f"{'':{first + 4}}{line}" for line in told[1:])


def _width() -> int:
    """Of the terminal, or what a page has."""
    return max(shutil.get_terminal_size((100, 24)).columns, 60)
