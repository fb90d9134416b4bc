"""A message of a build that failed, with its likely cause and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from provision.fix import NO_FIX, Fix, HostCommand

Words = Mapping[str, str]
"""What the named groups of the pattern hold."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A message that is known."""

    pattern: re.Pattern[str]
    """The output holds it."""
    cause: str
    """`{name}` stands for that group of the pattern."""
    fix: Fix | Callable[[Words], Fix] = NO_FIX
    """Nothing where the message alone does not tell."""
    restart: bool = False
    """Whether a restart of the daemon belongs to the fix, by whatever runs it on the host."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What one message means."""

    seen: str
    """The part of the output that is known."""
    cause: str
    fix: Fix


def means(
    pattern: str, cause: str, fix: Fix | Callable[[Words], Fix] = NO_FIX, *, restart: bool = False
) -> Meaning:
    """One row of a table of messages."""
    return Meaning(pattern=re.compile(pattern), cause=cause, fix=fix, restart=restart)


def explained(meaning: Meaning, output: str, restart: HostCommand) -> Explanation | None:
    """The explanation, if the output holds the message. `restart` is the command that restarts the daemon there."""
    found = meaning.pattern.search(output)
    if found is None:
        return None
    words = {name: value or "" for name, value in found.groupdict().items()}
    fix = meaning.fix if isinstance(meaning.fix, Fix) else meaning.fix(words)
    if meaning.restart:
        fix = replace(fix, commands=(restart, *fix.commands))
    return Explanation(seen=found[0], cause=meaning.cause.format_map(words), fix=fix)
