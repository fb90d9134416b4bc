"""A table of `provision.toml` while it is being read.

It hands out typed values, remembers what was asked for, and so knows at the end which keys nobody knows.
Problems are collected, never raised one by one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from provision.config.values import Reader, kind
from provision.errors import ConfigError, UsageError

T = TypeVar("T")
D = TypeVar("D")
Place = tuple[str, ...]


def _as_given(value: object) -> object:
    return value


def _words(value: object) -> object:
    """`a,b` as a list."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _number(value: object) -> object:
    """Digits as a number; anything else stays for the reader to refuse."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]+\.[0-9]+", value):
        return float(value)
    return value


@dataclass(frozen=True)
class Flag:
    """An option of the command line that overrides a key of the file."""

    path: Place
    read: Callable[[object], object] = _as_given


FLAGS: Final[Mapping[str, Flag]] = {
    "platforms": Flag(("platforms",), _words),
    "interpreters": Flag(("emulation", "interpreters")),
    "credentials": Flag(("emulation", "credentials")),
    "buildkit_version": Flag(("buildkit", "version")),
    "mirror": Flag(("buildkit", "mirror")),
    "group": Flag(("buildkit", "group")),
    "fetch": Flag(("buildkit", "fetch")),
    "allow_insecure_version": Flag(("buildkit", "allow_insecure_version")),
    "ssh_config": Flag(("ssh", "config")),
    "jobs": Flag(("ssh", "jobs"), _number),
    "timeout": Flag(("ssh", "timeout"), _number),
    "connect_timeout": Flag(("ssh", "connect_timeout"), _number),
    "accept_new_host_keys": Flag(("ssh", "accept_new_host_keys")),
    "sudo_password_command": Flag(("ssh", "sudo_password_command")),
}


@dataclass(kw_only=True)
class Sink:
    """The problems of one configuration, and the flags that override it."""

    file: Path | None
    overrides: Mapping[Place, tuple[str, object]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, where: str, what: str, *, flag: bool = False) -> None:
        """Note a problem of the file, or of a flag."""
        self.problems.append(
            f"{where} {what}" if flag or self.file is None else f"{self.file}: {where} {what}"
        )

    def complain(self) -> None:
        """Raise ConfigError if there was any problem."""
        if not self.problems:
            return
        if len(self.problems) == 1:
            raise ConfigError(self.problems[0], hint="Nothing was touched.")
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        raise ConfigError(
            f"{len(self.problems)} problems in the configuration:{lines}", hint="Nothing was touched."
        )


class Section:
    """One table. Use as a context manager: at its end, keys that nobody asked for are reported."""

    def __init__(self, values: Mapping[str, object], path: Place = (), *, sink: Sink) -> None:
        self._values = values
        self._path = path
        self._sink = sink
        self._asked: set[str] = set()

    def __enter__(self) -> Section:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for key in self._values:
                if key not in self._asked:
                    self.fail(key, f"unknown key; {self._advice(key)}")

    def names(self) -> tuple[str, ...]:
        """The keys that are there, in the file's order."""
        return tuple(self._values)

    def get(self, key: str, reader: Reader[T], default: D) -> T | D:
        """The flag's value, else the file's, else `default`; both are judged."""
        self._asked.add(key)
        found: T | D = default
        if key in self._values:
            found = self._read(reader, self._values[key], default, self._where(key))
        if override := self._sink.overrides.get((*self._path, key)):
            name, value = override
            found = self._read(reader, value, default, _flag(name), flag=True)
        return found

    def table(self, key: str) -> Section:
        """The table under `key`; an empty one if it is not there."""
        self._asked.add(key)
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            self.fail(key, f"must be a table, not {kind(value)}")
            value = {}
        return Section(value, (*self._path, key), sink=self._sink)

    def folder(self, key: str) -> Path:
        """Where a relative path in this value starts: the current folder for a flag, else the file's."""
        given = (*self._path, key) in self._sink.overrides
        return Path() if given or self._sink.file is None else self._sink.file.parent

    def check_name(self, name: str, reader: Reader[object]) -> None:
        """Judge the name of a key that the user chose."""
        try:
            reader(name)
        except ValueError as error:
            self.fail(name, f"the name {error}")

    def fail(self, key: str, what: str) -> None:
        """Report a problem with the value of a key, whether the file or a flag gave it."""
        if override := self._sink.overrides.get((*self._path, key)):
            self._sink.add(f"{_flag(override[0])}:", what, flag=True)
        else:
            self._sink.add(f"{self._where(key)}:", what)

    def _read(
        self, reader: Reader[T], value: object, default: D, where: str, *, flag: bool = False
    ) -> T | D:
        try:
            return reader(value)
        except ValueError as error:
            self._sink.add(f"{where}:", str(error), flag=flag)
        except UsageError as error:
            self._sink.add(f"{where}:", "; ".join(filter(None, (error.message, error.hint))), flag=flag)
        return default

    def _where(self, key: str) -> str:
        table = ".".join(_key(part) for part in self._path)
        return f"[{table}] {_key(key)}" if table else _key(key)

    def _advice(self, key: str) -> str:
        names = {name.lower(): name for name in sorted(self._asked)}
        near = difflib.get_close_matches(key.lower().replace("-", "_"), names, n=1, cutoff=0.6)
        return f'did you mean "{names[near[0]]}"?' if near else f"known are {', '.join(names.values())}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _key(name: str) -> str:
    """A key as TOML writes it, and without anything a terminal would obey."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    return f'"{name}"' if name.isprintable() and '"' not in name else repr(name)
