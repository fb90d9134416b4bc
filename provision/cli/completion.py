"""What may come next on the command line. The shells ask for it: `--complete -- WORDS`, the last one being typed.

An answer is a line for each candidate, the whole word, with what it does behind a tab; or `:file`. The scripts are
templates/completion/. Nothing here fails: a broken configuration completes no hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, get_args

from provision.architectures import PLATFORMS
from provision.cli import options
from provision.cli.options import Option
from provision.config.load import load
from provision.errors import ProvisionError
from provision.recipes import FORMATS as RECIPES
from provision.render import text_of
from provision.report.output import FILES, TABLE
from provision.result import SEVERITIES
from provision.spec import DEFAULT_VERSION, LATEST, Config, Fetch, ServiceSetting, Source

FILE: Final = ":file"
"""Stands for the names of files, which the shell knows itself."""
_CORE: Final = {"--help": "what a command does", "--list": "all commands", "--version": "of this program"}
_LISTS: Final = frozenset({"HOSTS", "PLATFORMS"})
"""Values that are lists with commas."""
Found = Mapping[str, str]
"""Candidates with what they are."""


def _plain(words: Iterable[str]) -> Found:
    return dict.fromkeys(words, "")


def _hosts(config: Config) -> Found:
    inventory = config.inventory
    return {
        **{name: host.address if host.address != name else "host" for name, host in inventory.hosts.items()},
        **{f"@{name}": f"group: {', '.join(members)}" for name, members in inventory.groups.items()},
        "all": "every host of the configuration",
    }


VALUES: Final[Mapping[str, Callable[[Config], Found]]] = {
    "FILE": lambda _: {FILE: ""},
    "FOLDER": lambda _: {FILE: ""},
    "PATTERN": lambda _: {FILE: ""},
    "HOSTS": _hosts,
    "PLATFORM": lambda _: _plain(PLATFORMS),
    "PLATFORMS": lambda _: _plain(PLATFORMS),
    "REGISTRY": lambda config: _plain(("docker.io", *config.spec.buildkit.registries)),
    "FORMAT": lambda _: _plain((TABLE, *FILES)),
    "SEVERITY": lambda _: _plain(SEVERITIES),
    "MANAGER": lambda _: _plain(get_args(ServiceSetting)),
    "SOURCE": lambda _: _plain(get_args(Source)),
    "WHO": lambda _: _plain(get_args(Fetch)),
    "VERSION": lambda _: _plain((DEFAULT_VERSION, LATEST)),
    "RECIPE": lambda _: _plain(RECIPES),
    "SHELL": lambda _: _plain(options.SHELLS),
}
"""By what the help calls a value. Others are the user's own."""


def script(shell: str) -> str:
    """What a shell has to read once."""
    return text_of(f"completion/provision.{shell}")


def answer(words: Sequence[str], tasks: Mapping[str, Any]) -> str:
    """The lines for `words`, which follow the program's name; the last is being typed. `tasks` are all, by name."""
    *before, word = words or ("",)
    found = {name: about for name, about in _candidates(before, word, tasks).items() if _fits(name, word)}
    return "".join(f"{name}\t{about}\n" if about else f"{name}\n" for name, about in found.items())


def _fits(name: str, word: str) -> bool:
    return name == FILE or name.startswith(word)


def _candidates(before: Sequence[str], word: str, tasks: Mapping[str, Any]) -> Found:
    place = _Place.after(before, tasks)
    if place.wants is not None:
        return _values(place.wants, word, before)
    flag, equals, rest = word.partition("=")
    if equals and place.task is not None and flag in place.flags:
        return {f"{flag}={name}": about for name, about in _values(place.flags[flag], rest, before).items()}
    if word.startswith("-"):
        if place.task is None:
            return _CORE
        return {flag: option.help for flag, option in place.flags.items()} | {"--help": _CORE["--help"]}
    if place.argument is not None:
        return _values(place.argument, word, before)
    return {name: _first_sentence(task) for name, task in sorted(tasks.items())}


def _first_sentence(task: Any) -> str:
    return " ".join((task.__doc__ or "").split("\n")[0].split())


class _Place:
    """Where in the command line the next word stands."""

    def __init__(self) -> None:
        self.task: Any = None
        self.flags: dict[str, Option] = {}
        self.wants: Option | None = None
        """The flag whose value comes next."""
        self.arguments: list[Option] = []
        """Those of the task that are not given yet."""

    @property
    def argument(self) -> Option | None:
        return self.arguments[0] if self.arguments else None

    @classmethod
    def after(cls, words: Iterable[str], tasks: Mapping[str, Any]) -> _Place:
        place = cls()
        for word in words:
            place._take(word, tasks)
        return place

    def _take(self, word: str, tasks: Mapping[str, Any]) -> None:
        if self.wants is not None:
            self.wants = None
        elif word.startswith("-"):
            option = self.flags.get(word)
            self.wants = option if option and option.default is not False else None
        elif self.arguments:
            self.arguments.pop(0)
        elif word in tasks:
            self.task = tasks[word]
            rows: Mapping[str, Option] = getattr(self.task, "options", {})
            self.arguments = [each for each in rows.values() if each.is_argument]
            self.flags = dict(_flags(rows))


def _flags(options: Mapping[str, Option]) -> Iterator[tuple[str, Option]]:
    for name, option in options.items():
        if not option.is_argument:
            yield f"--{name.replace('_', '-')}", option
            if option.short:
                yield f"-{option.short}", option


def _values(option: Option, word: str, before: Sequence[str]) -> Found:
    source = VALUES.get(option.value)
    if source is None:
        return {}
    found = source(_config(before))
    if option.value not in _LISTS:
        return found
    head, comma, last = word.rpartition(",")
    taken = head.split(",")
    # `!name` leaves a host out.
    mark = "!" if option.value == "HOSTS" and last.startswith("!") else ""
    return {f"{head}{comma}{mark}{name}": about for name, about in found.items() if name not in taken}


def _config(before: Sequence[str]) -> Config:
    """The one that the command line names, or the usual one."""
    named = [value for flag, value in pairwise(before) if flag == "--config"]
    named += [word.partition("=")[2] for word in before if word.startswith("--config=")]
    with suppress(ProvisionError, OSError, ValueError):
        return load(Path(named[-1]).expanduser() if named else None, ())
    return Config()
