"""A fix as data: the commands that remove a fault, and words for what no command does.

Nothing here is text that a user reads. provision/report/fixes.py writes a fix for the place where it is read,
because only the report knows how this program was started and how the host is reached from there.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, kw_only=True)
class ToolCommand:
    """A command of this tool, for the host that the fix is about. Program, host and configuration are not in it."""

    task: str
    arguments: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    """By the option's name with underscores: ("buildkit_version", "latest"). An empty value is a bare flag."""


@dataclass(frozen=True, kw_only=True)
class HostCommand:
    """A command that runs on the host. A line for its shell is `("sh", "-c", line)`; see `shell_line`."""

    arguments: tuple[str, ...]
    root: bool = True
    """Whether it needs root."""

    @property
    def line(self) -> str:
        """What to type in a shell of the host that has the rights. Arguments are quoted where they need it."""
        return self.arguments[2] if self.is_shell_line else shlex.join(self.arguments)

    @property
    def is_shell_line(self) -> bool:
        return self.arguments[:2] == ("sh", "-c")


Command = ToolCommand | HostCommand


@dataclass(frozen=True, kw_only=True)
class Fix:
    """Commands, to be run in this order while each succeeds, and words. False if there is neither."""

    commands: tuple[Command, ...] = ()
    words: str = ""
    """What to do besides, or what the commands do. Never part of a command, so it may hold anything."""

    @classmethod
    def by(cls, *commands: Command, words: str = "") -> Fix:
        """The fix by these commands."""
        return cls(commands=commands, words=words)

    def for_platform(self, platform: str) -> Fix:
        """The same for a platform that the configuration does not name: a bare `provision` would not set it up."""
        return replace(self, commands=tuple(_for_platform(each, platform) for each in self.commands))

    def __bool__(self) -> bool:
        return bool(self.commands or self.words)


NO_FIX: Final = Fix()
PROVISION: Final = ToolCommand(task="provision")
"""The command of this tool that sets up whatever is not as wanted."""


def provision_for(platform: str) -> ToolCommand:
    """`provision` for one platform, whatever the configuration names."""
    return replace(PROVISION, options=(("platforms", platform),))


def run(*arguments: str, root: bool = True) -> HostCommand:
    """A program of the host with its arguments."""
    return HostCommand(arguments=arguments, root=root)


def shell_line(line: str, *, root: bool = True) -> HostCommand:
    """A line for the host's shell, for redirections. Whatever comes from a host must be quoted in it."""
    return HostCommand(arguments=("sh", "-c", line), root=root)


def _for_platform(command: Command, platform: str) -> Command:
    if isinstance(command, HostCommand) or command.task != PROVISION.task:
        return command
    others = tuple(pair for pair in command.options if pair[0] != "platforms")
    return replace(command, options=(("platforms", platform), *others))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a fix is read, and how a command has its effect on the host from there."""

    program: tuple[str, ...] = ("provision",)
    """How the reader starts this tool: `./inv`, `provision`, `fab -H pi1`."""
    selection: tuple[str, ...] = ()
    """The words that select the host: `--hosts pi1`. Empty for the machine where the fix is read."""
    options: tuple[tuple[str, str], ...] = ()
    """Options that the reader gave and that every command of this tool repeats, as in `ToolCommand`."""
    ssh: tuple[str, ...] = ()
    """The words of `ssh` before the command. Empty for the machine where the fix is read."""
    login: str = ""
    """Who logged in there, as the host says; empty if it was not asked."""
    sudo: bool = False
    """Whether a shell there is not root's."""


HERE: Final = Place()
"""This machine, for root, by the installed program."""
