"""A program on a terminal of its own, typed at."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from types import TracebackType


class Terminal:
    """`with Terminal(command) as screen`: the program's controlling terminal is ours."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.text = ""

    def __enter__(self) -> Terminal:
        self._ours, theirs = pty.openpty()
        # setsid --ctty: Popen cannot give a child a controlling terminal.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *self._command], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        return self

    def expect(self, words: str, seconds: float = 15) -> str:
        """Waits for these words; all that was shown so far."""
        until = time.monotonic() + seconds
        while words not in self.text:
            ready, _, _ = select.select([self._ours], [], [], max(until - time.monotonic(), 0))
            assert ready, f"no {words!r} in {self.text!r}"
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # the other side is closed (EIO)
                data = b""
            assert data, f"ended without {words!r}: {self.text!r}"
            self.text += data.decode(errors="replace")
        return self.text

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._ours)
        self._process.terminate()
        self._process.wait(10)
