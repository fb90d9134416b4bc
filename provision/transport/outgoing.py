"""What goes down a stream to the far sh: requests with their payloads, and the word `stop` (templates/session.sh)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from provision.errors import HostError
from provision.transport import Payload
from provision.transport.stream import Stream

_CHUNK: Final = 64 * 1024
_BLOCK: Final = 65536
"""Bytes of a payload that the far end reads at once (templates/session.sh, copy)."""

Listening = Callable[[], bool]
"""Asked between two pieces that are sent: whether the far end still listens. It also reads what has come, or the far
end could block on its own output. May raise; then the rest is not sent."""


class Outgoing:
    """The writing half of a session. One thread sends requests; `stop` is for any thread."""

    def __init__(self, stream: Stream, nonce: str, greeting: bytes) -> None:
        self._stream = stream
        self._nonce = nonce
        self._greeting = greeting
        """Goes before the first request, with it; then empty."""
        self._sending = threading.Lock()
        self._half_sent = False
        """The far end waits for the rest of a request."""
        self._stop = threading.Event()

    @property
    def greeted(self) -> bool:
        """The far sh has been sent what it becomes. Before, sudo may be asking for a password."""
        return not self._greeting

    @property
    def stopping(self) -> bool:
        """`stop` was called."""
        return self._stop.is_set()

    def greet(self, listening: Listening) -> None:
        """Sends the greeting alone: to see whether a session comes about."""
        with self._sending:
            self._write(self._take_greeting(), listening)

    def send_line(self, line: str, listening: Listening) -> None:
        """Sends a line before the greeting: a password."""
        self._write(f"{line}\n".encode(), listening)

    def submit(
        self,
        script: str,
        seconds: int,
        payload: Payload | None,
        listening: Listening,
        ended: Callable[[], bool],
    ) -> None:
        """Sends one request. `ended` says whether its script has ended, which may be before all was sent.

        Does not raise when the far end is gone: the reader of its output reports the reason.
        """
        text = f"{script}\n#{self._nonce}".encode("utf-8", "surrogateescape")
        header = f"run {len(text)} {max(seconds, 1)} {payload.length if payload else 0}\n".encode()
        tail = f"\n{self._nonce}\n".encode()
        with self._sending:
            self._half_sent = True
            begin = self._take_greeting() + header + text
            if payload is None:
                self._write(begin + tail, listening)
                self._half_sent = False
            else:
                self._write(begin, listening)
                self._half_sent = not self._send_payload(payload, listening, ended)
                if not self._half_sent:
                    self._write(tail, listening)
        if self.stopping:
            self._pass_on_stop()

    def stop(self) -> None:
        """Tells the running script to end after its step. Does not wait."""
        self._stop.set()
        self._pass_on_stop()

    def _pass_on_stop(self) -> None:
        if not self._sending.acquire(blocking=False):
            return  # the thread that sends sees `stopping` when it is done
        try:
            with suppress(OSError):
                if self._half_sent:  # the only thing that is understood there now is the end of input
                    self._stream.finish()
                elif self.greeted:  # before, sudo would take it for the password
                    self._stream.send(b"stop\n", 5)
        finally:
            self._sending.release()

    def _take_greeting(self) -> bytes:
        greeting, self._greeting = self._greeting, b""
        return greeting

    def _send_payload(self, payload: Payload, listening: Listening, ended: Callable[[], bool]) -> bool:
        """False if it was broken off, so that the far end waits for more."""
        sent = 0
        for data in _pieces(payload):
            sent += self._write(data, lambda: listening() and not ended() and not self.stopping)
            if ended():
                # The far dd notices that nobody reads when it writes, for which it waits for a whole block. A block
                # that is not completed here would be filled from the next request.
                missing = min(_BLOCK - sent % _BLOCK, payload.length - sent)
                self._write(b"\n" * missing, listening)
                return True
            if self.stopping or not listening():
                return False
            if payload.progress:
                payload.progress(sent)
        return True

    def _write(self, data: bytes, listening: Listening) -> int:
        """Sends all of `data` while the far end listens; returns how many bytes were sent."""
        view = memoryview(data)
        while view and listening():
            try:
                taken = self._stream.send(bytes(view[:_CHUNK]), 0.5)
            except OSError:
                break
            view = view[taken:]
        return len(data) - len(view)


def _pieces(payload: Payload) -> Iterator[bytes]:
    """The bytes of the payload. Raises HostError if the file is shorter than promised."""
    left = payload.length
    with payload.path.open("rb") as file:
        file.seek(payload.offset)
        while left:
            data = file.read(min(_CHUNK, left))
            if not data:
                raise HostError(f"{payload.path} became shorter while it was sent")
            left -= len(data)
            yield data
