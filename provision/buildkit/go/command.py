"""Runs Go, line by line, and turns its failure into an error."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.buildkit.errors import explain_local
from provision.buildkit.go import failures

Line = Callable[[str], None]


def _unheard(_line: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Go:
    """One Go with its environment. Calling it runs it."""

    program: str
    environment: Mapping[str, str]
    purpose: str
    """What fails if Go fails: "BuildKit v1.2.3 for linux/arm/v6"."""

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
                for text in process.stderr or ():
                    lines.append(text)
                    line(text.rstrip("\n"))
                return process.wait(), "".join(lines)
            finally:
                process.kill()
