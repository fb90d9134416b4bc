"""Runs Go, line by line, and turns its failure into an error."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from provision.buildkit.errors import explain_local
from provision.buildkit.go import failures

Line = Callable[[str], None]
_LOOK_SECONDS: Final = 0.1


def _unheard(_line: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Go:
    """One Go with its environment. Calling it runs it."""

    program: str
    environment: Mapping[str, str]
    purpose: str
    """What fails if Go fails: "BuildKit v1.2.3 for linux/arm/v6"."""
    go_on: Callable[[], None] = lambda: None
    """Called several times a second; what it raises ends Go."""

    def __call__(self, folder: Path, *arguments: str, line: Line = _unheard) -> str:
        """What `go ARGUMENTS` prints on standard output, run in `folder`; `line` is told each line of the other.

        Raises ChecksumError, StoppedBuildError or ReleaseError as `failures.explain`.
        """
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            try:
                status, errors = self._run(folder, arguments, output.fileno(), line)
            except OSError as error:
                raise explain_local(error, self.program) from error
            if status:
                raise failures.explain(self.purpose, status, errors)
            output.seek(0)
            return output.read()

    def _run(self, folder: Path, arguments: tuple[str, ...], output: int, line: Line) -> tuple[int, str]:
        lines: list[str] = []
        with subprocess.Popen(
            [self.program, *arguments],
            cwd=folder,
            # What Go leaves when a signal ends it goes with the folder.
            env={**self.environment, "GOTMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process:
            try:
                for text in self._read(process):
                    lines.append(text)
                    line(text.rstrip("\n"))
                return process.wait(), "".join(lines)
            finally:
                process.kill()

    def _read(self, process: subprocess.Popen[str]) -> Iterator[str]:
        """The lines of standard error. A proxy that gives no answer must not keep the build from being ended."""
        came: SimpleQueue[str | None] = SimpleQueue()

        def pump() -> None:
            # Closed, or no longer text: Go is being ended.
            with suppress(OSError, ValueError):
                for text in process.stderr or ():
                    came.put(text)
            came.put(None)

        threading.Thread(target=pump, daemon=True).start()
        while True:
            self.go_on()
            with suppress(Empty):
                text = came.get(timeout=_LOOK_SECONDS)
                if text is None:
                    return
                yield text
