"""A table of `provision.toml` while it is being read.

A table hands out typed values by the rows of `settings`, remembers which keys were asked for, and so knows at the
end which keys of the file are unknown. Problems are collected, never raised one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from provision.config.values import Reader, kind
from provision.errors import ConfigError, UsageError, nearest

Place = tuple[str, ...]

ANY: Final = "*"
"""Stands in a setting's place for a name that the user chooses: `hosts.*.port`."""


@dataclass(frozen=True)
class Setting:
    """One key of the file: how its value is read, and what holds where the key is not set."""

    read: Reader[Any]
    default: Any = None
    unset: str = ""
    """What a missing value means, in words; empty where `default` says it."""

    @property
    def default_text(self) -> str:
        """The default as help and documentation show it; empty if there is nothing to show."""
        if self.unset or self.default is None or isinstance(self.default, bool | tuple):
            return self.unset
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


@dataclass(frozen=True, kw_only=True)
class Override:
    """A flag that was given. It beats the file's value of its setting."""

    flag: str
    """As it is typed: `--jobs`."""
    setting: str
    """The place of the key, with dots: `ssh.jobs`."""
    value: object

    @property
    def place(self) -> Place:
        return tuple(self.setting.split("."))


@dataclass(kw_only=True)
class Problems:
    """The problems of one configuration, and the flags that override it."""

    file: Path | None
    overrides: Mapping[Place, Override] = field(default_factory=dict)
    found: list[ConfigError] = field(default_factory=list)

    def add(self, where: str, what: str, to_do: str = "", *, flag: bool = False) -> None:
        """Note a problem of the file, or of a flag."""
        text = f"{where} {what}" if flag or self.file is None else f"{self.file}: {where} {what}"
        self.found.append(ConfigError(text, hint=to_do))

    def refuse_any(self) -> None:
        """Raise ConfigError with every problem, if there is one."""
        if not self.found:
            return
        if len(self.found) == 1:
            (problem,) = self.found
            raise ConfigError(problem.message, hint=problem.hint or "Nothing was touched.")
        lines = "".join(f"\n  {'. '.join(filter(None, (each.message, each.hint)))}" for each in self.found)
        raise ConfigError(
            f"{len(self.found)} problems in the configuration:{lines}", hint="Nothing was touched."
        )


class Table:
    """One table. Use it as a context manager: at its end, keys that were not asked for are reported.

    `place` is where the table is in the file, `pattern` where its rows are in `rows`: both differ in the names that
    the user chooses.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        place: Place = (),
        pattern: Place = (),
        *,
        rows: Mapping[str, Setting],
        problems: Problems,
    ) -> None:
        self._values = values
        self._place = place
        self._pattern = pattern
        self._rows = rows
        self._problems = problems
        self._asked: set[str] = set()

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for key in self._values:
                if key not in self._asked:
                    self.fail(key, "unknown key", self._advice(key))

    def names(self) -> tuple[str, ...]:
        """The keys that are there, in the file's order."""
        return tuple(self._values)

    def get(self, key: str, row: str = "") -> Any:
        """The flag's value, else the file's, else the row's default. Both given values are judged.

        `row` is ANY for a key that the user named.
        """
        setting = self._rows[".".join((*self._pattern, row or key))]
        self._asked.add(key)
        found = setting.default
        if key in self._values:
            found = self._read(setting, self._values[key], self._where(key))
        if override := self._problems.overrides.get((*self._place, key)):
            found = self._read(setting, override.value, override.flag, flag=True)
        return found

    def all(self) -> dict[str, Any]:
        """The value of every row of this table, without those of the tables in it."""
        begin = "".join(f"{part}." for part in self._pattern)
        keys = (place.removeprefix(begin) for place in self._rows if place.startswith(begin))
        return {key: self.get(key) for key in keys if "." not in key and key != ANY}

    def some(self) -> dict[str, Any]:
        """The values that are set, of `all`."""
        return {key: value for key, value in self.all().items() if value is not None}

    def named(self, reader: Reader[object]) -> dict[str, Any]:
        """The value of each key, where the user chooses the keys; `reader` judges their names."""
        for name in self._values:
            self.check_name(name, reader)
        return {name: self.get(name, ANY) for name in self._values}

    def table(self, key: str, rows: str = "") -> Table:
        """The table under `key`; an empty one if it is not there. `rows` is ANY for a key that the user named."""
        self._asked.add(key)
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            self.fail(key, f"must be a table, not {kind(value)}")
            value = {}
        return Table(
            value,
            (*self._place, key),
            (*self._pattern, rows or key),
            rows=self._rows,
            problems=self._problems,
        )

    def folder(self, key: str) -> Path:
        """Where a relative path in this value starts: the current folder for a flag, else the file's."""
        given = (*self._place, key) in self._problems.overrides
        return Path() if given or self._problems.file is None else self._problems.file.parent

    def check_name(self, name: str, reader: Reader[object]) -> None:
        """Judge the name of a key that the user chose."""
        try:
            reader(name)
        except ValueError as error:
            self.fail(name, f"the name {error}")

    def fail(self, key: str, what: str, to_do: str = "") -> None:
        """Report a problem with the value of a key, whether the file or a flag gave it."""
        if override := self._problems.overrides.get((*self._place, key)):
            self._problems.add(f"{override.flag}:", what, to_do, flag=True)
        else:
            self._problems.add(f"{self._where(key)}:", what, to_do)

    def _read(self, setting: Setting, value: object, where: str, *, flag: bool = False) -> Any:
        try:
            return setting.read(value)
        except ValueError as error:
            self._problems.add(f"{where}:", str(error), flag=flag)
        except UsageError as error:
            self._problems.add(f"{where}:", error.message, error.hint, flag=flag)
        return setting.default

    def _where(self, key: str) -> str:
        table = ".".join(_key(part) for part in self._place)
        return f"[{table}] {_key(key)}" if table else _key(key)

    def _advice(self, key: str) -> str:
        known = sorted(self._asked)
        near = nearest(key.replace("-", "_"), known)
        return f'Did you mean "{near}"?' if near else f"Known are {', '.join(known)}."


def _key(name: str) -> str:
    """A key as TOML writes it, and without anything a terminal would obey."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    return f'"{name}"' if name.isprintable() and '"' not in name else repr(name)
