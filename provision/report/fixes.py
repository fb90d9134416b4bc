"""A fix as text, written for the place where it is read: every command in it can be pasted there.

The text is a line for a shell: the commands, joined by `&&`, then the words behind a `#`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from provision.errors import ProvisionError
from provision.fix import Command, Fix, HostCommand, Place, ToolCommand
from provision.plain import clean

_LIVE_IN_DOUBLE_QUOTES = frozenset('"$`\\!')
"""Characters that mean something to a shell within double quotes (`!`: history of an interactive bash)."""


@dataclass(frozen=True, kw_only=True)
class FixText:
    """A fix as it is shown. Either part may be empty."""

    command: str
    words: str

    def __str__(self) -> str:
        """Both parts in one line, which a shell takes as it is."""
        return "  ".join(part for part in (self.command, f"# {self.words}" if self.words else "") if part)


def written(fix: Fix, place: Place) -> FixText:
    """The fix for a reader at this place."""
    lines = [
        line
        for _, commands in groupby(fix.commands, key=type)
        for line in _lines_of_one_kind(tuple(commands), place)
    ]
    # A line's end in the words would end the comment that they are.
    return FixText(command=clean(" && ".join(lines)), words=clean(" ".join(fix.words.split())))


def advice(error: ProvisionError, place: Place) -> str:
    """What to do about an error: its fix, or else its hint. Words without a command are no comment here."""
    text = written(error.fix, place)
    return str(text) if text.command else text.words or error.hint


def _lines_of_one_kind(commands: Iterable[Command], place: Place) -> Iterator[str]:
    """Commands of this tool each, those of the host together: over one connection if the reader is elsewhere."""
    on_host = []
    for command in commands:
        if isinstance(command, ToolCommand):
            yield _tool(command, place)
        else:
            on_host.append(command)
    if on_host:
        yield _on_host(on_host, place)


def _tool(command: ToolCommand, place: Place) -> str:
    options = {**dict(place.options), **dict(command.options)}
    flags = [
        word
        for name, value in options.items()
        for word in (f"--{name.replace('_', '-')}", *([value] if value else []))
    ]
    return shlex.join([*place.program, command.task, *command.arguments, *place.selection, *flags])


def _on_host(commands: Sequence[HostCommand], place: Place) -> str:
    line = " && ".join(_with_rights(each, place) for each in commands)
    if not place.ssh:
        return line
    # sudo asks for its password on a terminal, which ssh makes for a command only when told to.
    asking = place.sudo and any(each.root for each in commands)
    ssh, *words = place.ssh
    return f"{shlex.join([ssh, *(['-t'] if asking else []), *words])} {_quoted(line)}"


def _with_rights(command: HostCommand, place: Place) -> str:
    if not (command.root and place.sudo):
        return command.line
    if command.is_shell_line:
        return f"sudo sh -c {_quoted(command.line)}"
    return f"sudo {command.line}"


def _quoted(text: str) -> str:
    """The text as one word of a shell, legible where it holds quotes itself."""
    if "'" in text and not _LIVE_IN_DOUBLE_QUOTES & set(text):
        return f'"{text}"'
    return shlex.quote(text)
