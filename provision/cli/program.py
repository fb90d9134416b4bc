"""Invoke's program, as `./inv` and as the installed `provision`: with help that teaches, and errors in our shape."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

from invoke.collection import Collection
from invoke.exceptions import ParseError
from invoke.program import Program as Base
from invoke.terminals import pty_size

from provision import __version__
from provision.cli import completion
from provision.cli.called import remember, typed_name
from provision.cli.help import text as help_text
from provision.cli.options import SHELLS
from provision.errors import nearest
from provision.hosts.interruption import Interruption, number_of
from provision.report import streams

_LEAST_COLUMN: Final = 20
_UNKNOWN = re.compile(r"No idea what '(.*)' is!", re.DOTALL)
_NO_VALUE = re.compile(r"Flag <Argument: (\S+).*> needed value")
_NO_ARGUMENT = re.compile(r"'(\S+)' did not receive required positional arguments: '(.*)'")


class Program(Base):  # type: ignore[misc, unused-ignore]
    """`binary` is its name in help texts, `called` the path by which the user started it."""

    def __init__(self, name: str, binary: str, namespace: Collection, called: str = "") -> None:
        super().__init__(name=name, binary=binary, version=__version__, namespace=namespace)
        self._called = called or binary

    def create_config(self) -> None:
        """See Invoke. Tasks learn from it how the user calls this program."""
        super().create_config()
        remember(self.config, typed_name(self._called))

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:  # noqa: A002
        """See Invoke. Ctrl-C, SIGTERM and SIGHUP each have their exit code, 128 and the signal's number."""
        with streams.steady(), Interruption().caught():
            try:
                if not self._completed((argv or sys.argv)[1:]):
                    super().run(argv, exit)
            except KeyboardInterrupt as error:
                sys.exit(128 + number_of(error))
            except SystemExit as end:
                # Invoke makes 1 of a Ctrl-C, which says of ours that the command line is wrong.
                if number := number_of(end.__context__):
                    sys.exit(128 + number)
                raise

    def _completed(self, words: Sequence[str]) -> bool:
        """Answers a shell's question, and gives it what asks. Invoke's own answers know none of our values."""
        if words[:1] == ["--complete"] and self.namespace is not None:
            tasks = {task.name: task for task in self.namespace.tasks.values()}
            print(completion.answer(words[2:], tasks), end="")  # noqa: T201
        elif words[:1] == ["--print-completion-script"] and words[1:2] and words[1] in SHELLS:
            print(completion.script(words[1]), end="")  # noqa: T201
        else:
            return False
        return True

    def parse_core(self, argv: list[str] | None) -> None:
        """See Invoke, which forbids Python to keep what it compiles: each run would compile most modules anew."""
        before = sys.dont_write_bytecode
        super().parse_core(argv)
        sys.dont_write_bytecode = before

    def parse_tasks(self) -> None:
        """Raises ParseError in our shape."""
        with self._explained_errors():
            super().parse_tasks()
        for task in self.tasks:
            # Invoke takes the word after a task with an argument for that argument, whatever it is.
            if any(each.positional and each.value in ("-h", "--help") for each in task.args.values()):
                self.core[0].args["help"].value = task.name

    def parse_cleanup(self) -> None:
        """Raises ParseError in our shape."""
        with self._explained_errors():
            super().parse_cleanup()

    def print_task_help(self, name: str) -> None:
        """See Invoke. None of its words: what a value is, is told by its name."""
        flags = {argument.name: argument for argument in self.parser.contexts[name].args.values()}
        print(help_text(self.binary, name, self.collection[name], flags), end="")  # noqa: T201 - as Invoke prints

    def print_help(self) -> None:
        """Without Invoke's own flags, which say nothing here, or would mislead: --dry is not our `plan`."""
        usage = f"Usage: {self.binary} COMMAND [--options]     What a command does, and its options: --help after it"
        print(f"{usage}\n")  # noqa: T201 - as Invoke prints
        self.list_tasks()

    def print_columns(self, tuples: Sequence[tuple[str, str | None]]) -> None:
        """See Invoke, which ends where a terminal leaves no room for a second column: there, one below the other."""
        beside = max(len(name) for name, _ in tuples) + self.leading_indent_width + self.col_padding
        columns = pty_size()[0]
        if columns > beside + _LEAST_COLUMN:
            super().print_columns(tuples)
            return
        for name, words in tuples:
            lines = textwrap.wrap(words or "", max(columns - 2, _LEAST_COLUMN))
            print("\n  ".join([name, *lines]))  # noqa: T201 - as Invoke prints

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            raise ParseError(self._explanation(error), error.context) from error

    def _explanation(self, error: ParseError) -> str:
        """What is wrong, and what to do."""
        text = str(error)
        task = error.context.name if error.context else ""
        ask = f"{self.binary} {task} --help" if task else f"{self.binary} --list"
        if found := _UNKNOWN.search(text):
            word = found[1]
            if twice := _given_twice(word, self.argv):
                return _parts(*twice)
            flags = list(error.context.flags) if error.context else []
            names = flags if word.startswith("-") else list(self.parser.contexts)
            near = nearest(word, names)
            what = f"there is no {'option' if word.startswith('-') else 'command'} {word!r}"
            return _parts(what, f"Did you mean {near}?" if near else f"{ask} shows all.")
        if found := _NO_VALUE.search(text):
            return _parts(f"--{found[1]} needs a value", f"{ask} says which.")
        if found := _NO_ARGUMENT.search(text):
            article = "an" if found[2].startswith(tuple("aeiou")) else "a"
            return _parts(
                f"{found[1]} needs {article} {found[2].upper()}",
                f"{self.binary} {found[1]} --help says which.",
            )
        return _parts(text, f"{ask} shows all.")


def _given_twice(word: str, argv: Sequence[str]) -> tuple[str, str] | None:
    """What to say of a word that Invoke knows nothing of, as its flag had a value before."""
    given: dict[str, list[str]] = {}
    for flag, value in pairwise([*argv, ""]):
        name, equals, rest = flag.partition("=")
        if name.startswith("--"):
            given.setdefault(name, []).append(rest if equals else value)
    for name, values in given.items():
        if word in values[1:]:
            lists = name in ("--hosts", "--platforms")
            to_do = (
                f"It takes a comma-separated list: {name} {','.join(values)}" if lists else "Give it once."
            )
            return f"{name} was given {'twice' if len(values) == 2 else f'{len(values)} times'}", to_do
    return None


def _parts(what: str, to_do: str) -> str:
    return f"error: {what}\n  what to do: {to_do}"
