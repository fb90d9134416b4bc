"""A channel with a program at its end, as a session's stream. Imports Paramiko."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from paramiko import Channel as Paramiko
from paramiko import SSHException


class Channel:
    """See `Stream`. `let_go` closes the connection that the channel is on."""

    def __init__(self, channel: Paramiko, let_go: Callable[[], None]) -> None:
        self._channel: Any = channel
        self._let_go = let_go

    def read(self) -> bytes:
        return bytes(self._channel.recv(65536))

    def read_error(self) -> bytes:
        return bytes(self._channel.recv_stderr(65536))

    def send(self, data: bytes, timeout: float) -> int:
        # A timeout of the channel would hold for reading as well. What fits the window is taken at once.
        until = time.monotonic() + timeout
        while not self._channel.send_ready():
            if self._channel.closed or self._channel.eof_sent:
                raise BrokenPipeError
            if time.monotonic() > until:
                return 0
            time.sleep(0.005)
        try:
            return int(self._channel.send(data))
        except (EOFError, SSHException) as error:
            raise BrokenPipeError from error

    def finish(self) -> None:
        self._channel.shutdown_write()

    def status(self) -> int | None:
        # It comes right behind the end of output, if at all.
        until = time.monotonic() + 1
        while not self._channel.exit_status_ready() and time.monotonic() < until:
            time.sleep(0.01)
        status = int(self._channel.recv_exit_status()) if self._channel.exit_status_ready() else -1
        return None if status < 0 else status

    def close(self) -> None:
        # Without a word on the channel: the far sh sees its input end either way, and a turn is saved.
        self._let_go()
