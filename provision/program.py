"""Invoke's program, as `./inv` and as the installed `provision`: with help that teaches, and errors in our shape."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from invoke.collection import Collection
from invoke.exceptions import ParseError
from invoke.program import Program as Base

from provision import __version__

_UNKNOWN = re.compile(r"No idea what '(.*)' is!", re.DOTALL)
_NO_VALUE = re.compile(r"Flag <Argument: (\S+).*> needed value")
_NO_ARGUMENT = re.compile(r"'(\S+)' did not receive required positional arguments: '(.*)'")


class Program(Base):  # type: ignore[misc, unused-ignore]
    """`binary` is how the user calls it."""

    def __init__(self, name: str, binary: str, namespace: Collection) -> None:
        super().__init__(name=name, binary=binary, version=__version__, namespace=namespace)

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:  # noqa: A002
        """See Invoke. Whoever reads our output may stop early (`| head`)."""
        try:
            super().run(argv, exit)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes once more at its end: docs.python.org/3/library/signal.html#note-on-sigpipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def parse_tasks(self) -> None:
        """Raises ParseError in our shape."""
        with self._told():
            super().parse_tasks()
        for task in self.tasks:
            # Invoke takes the word after a task with an argument for that argument, whatever it is.
            if any(each.positional and each.value in ("-h", "--help") for each in task.args.values()):
                self.core[0].args["help"].value = task.name

    def parse_cleanup(self) -> None:
        """Raises ParseError in our shape."""
        with self._told():
            super().parse_cleanup()

    def print_help(self) -> None:
        """Without Invoke's own flags, which say nothing here, or would mislead: --dry is not our `plan`."""
        usage = f"Usage: {self.binary} COMMAND [--options]     What a command does, and its options: --help after it"
        print(f"{usage}\n")  # noqa: T201 - as Invoke prints
        self.list_tasks()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            raise ParseError(self._shaped(error), error.context) from error

    def _shaped(self, error: ParseError) -> str:
        """What is wrong, and what to do."""
        text = str(error)
        task = error.context.name if error.context else ""
        ask = f"{self.binary} {task} --help" if task else f"{self.binary} --list"
        if found := _UNKNOWN.search(text):
            word = found[1]
            flags = list(error.context.flags) if error.context else []
            names = flags if word.startswith("-") else list(self.parser.contexts)
            near = difflib.get_close_matches(word, names, n=1)
            what = f"there is no {'option' if word.startswith('-') else 'command'} {word!r}"
            return _parts(what, f"Did you mean {near[0]}?" if near else f"{ask} shows all.")
        if found := _NO_VALUE.search(text):
            return _parts(f"--{found[1]} needs a value", f"{ask} says which.")
        if found := _NO_ARGUMENT.search(text):
            return _parts(
                f"{found[1]} needs a {found[2].upper()}", f"{self.binary} {found[1]} --help says which."
            )
        return _parts(text, f"{ask} shows all.")


def _parts(what: str, to_do: str) -> str:
    return f"error: {what}\n  what to do: {to_do}"
