"""Many requests over one stream, and the sh at its other end (templates/session.sh).

The thread that asks also sends, and looks at what has come between two pieces it sends.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from provision.errors import HostError, ProvisionError
from provision.transport import Answer, Listener, Payload, Secret, StoppedError
from provision.transport import errors as trouble
from provision.transport.become import Opening
from provision.transport.frames import End
from provision.transport.stream import Incoming, Stream

_CHUNK: Final = 64 * 1024
_BLOCK: Final = 65536
"""What the far end reads of a payload at once (templates/session.sh, copy)."""
_GRACE: Final = 15.0
"""The far end ends an overdue script within five seconds; this many are given to it and to the line."""
_BECOME: Final = 30.0
"""For sudo to take the password: PAM may ask a directory, and delays a wrong one by some seconds."""
_MOST_OUTPUT: Final = 64 * 1024 * 1024

Refusal = Callable[[str, "int | None"], ProvisionError]
"""Why no session came about: from what was said instead, and the exit status if one is known."""


@dataclass(kw_only=True)
class _Run:
    """One request under way."""

    limit: float
    """The moment when waiting ends, by `time.monotonic()`."""
    on_record: Listener | None
    records: list[str] = field(default_factory=list)
    size: int = 0
    end: End | None = None


class Session:
    """A sh that is root, somewhere. See `Transport` for what `ask` and `stop` promise."""

    def __init__(self, name: str, stream: Stream, opening: Opening, refusal: Refusal) -> None:
        self._name = name
        self._stream = stream
        self._opening = opening
        self._refusal = refusal
        self._incoming = Incoming(stream, opening.nonce, name)
        self._greeted = self._closed = False
        self._torn = False
        """Half a request has been sent, and the far end waits for the rest."""
        self._stopping = threading.Event()
        self._asking = threading.Lock()
        self._writing = threading.Lock()

    # Asking

    def ask(
        self,
        script: str,
        *,
        timeout: float,
        payload: Payload | None = None,
        on_record: Listener | None = None,
    ) -> Answer:
        """One script. See `Transport.ask`."""
        with self._asking:
            if self._stopping.is_set():
                raise StoppedError(f"{self._name}: stopped before the next script began")
            run = _Run(limit=time.monotonic() + timeout + _GRACE, on_record=on_record)
            try:
                self._submit(script, math.ceil(timeout), payload, run)
                self._await_end(run)
            except KeyboardInterrupt:
                self._let_end(run)
                raise
            except BaseException:  # the far end is gone; or on_record failed, and nobody listens any more
                self.close()
                raise
            return self._answer(run, timeout)

    def _let_end(self, run: _Run) -> None:
        try:
            self.stop()
            with suppress(ProvisionError):
                self._await_end(run)
        finally:  # also when the user has no patience
            self.close()

    def prove(self) -> None:
        """Waits until the far sh is there and root. Raises BecomeError, or what the refusal amounts to."""
        with self._asking:
            run = _Run(limit=time.monotonic() + _BECOME, on_record=None)
            with self._writing:
                self._write(self._greeting(run), run)
            while not self._incoming.ready:
                self._wait(run)

    def _submit(self, script: str, seconds: int, payload: Payload | None, run: _Run) -> None:
        nonce = self._opening.nonce
        text = f"{script}\n#{nonce}".encode("utf-8", "surrogateescape")
        header = f"run {len(text)} {max(seconds, 1)} {payload.length if payload else 0}\n".encode()
        tail = f"\n{nonce}\n".encode()
        with self._writing, self._until_late(run):
            self._torn = True
            begin = self._greeting(run) + header + text
            if payload is None:
                self._write(begin + tail, run)
                self._torn = False
            else:
                self._write(begin, run)
                self._torn = not self._send(payload, run)
                if not self._torn:
                    self._write(tail, run)
        if self._stopping.is_set():
            self._pass_on_stop()

    def _greeting(self, run: _Run) -> bytes:
        """What goes before the first request. The password goes alone: sudo takes all for one."""
        if self._greeted:
            return b""
        if (password := self._opening.password) is not None:
            self._give(password, run)
        self._greeted = True
        return self._opening.greeting

    def _give(self, password: Secret, run: _Run) -> None:
        asked = _Run(limit=min(run.limit, time.monotonic() + _BECOME), on_record=None)
        self._write(f"{password.reveal()}\n".encode(), asked)
        while not self._incoming.ready:
            self._wait(asked)
            if self._incoming.said.count(self._opening.prompt) > 1:
                self.close()  # at once: whatever sudo reads next would be a second attempt
                raise trouble.wrong_password(self._name)
        self._incoming.forget_errors()

    def _send(self, payload: Payload, run: _Run) -> bool:
        """False if it was left off and the far end waits for more. A script may end early."""
        sent = 0
        for data in _pieces(payload):
            sent += self._write(data, run, stoppable=True)
            if run.end:
                # The far dd notices that nobody reads when it writes, for which it waits for a whole block: one that is
                # not completed would be filled from the next request.
                left = min(_BLOCK - sent % _BLOCK, payload.length - sent)
                self._write(b"\n" * left, run)
                return True
            if self._stopping.is_set() or self._incoming.over:
                return False
            if payload.progress:
                payload.progress(sent)
        return True

    def _write(self, data: bytes, run: _Run, *, stoppable: bool = False) -> int:
        """All of `data`, or how much was taken; stays silent if the far end is gone, as reading then tells why."""
        view = memoryview(data)
        while view and not self._incoming.over and not (stoppable and (run.end or self._stopping.is_set())):
            try:
                taken = self._stream.send(bytes(view[:_CHUNK]), 0.5)
            except OSError:
                break
            view = view[taken:]
            while self._take(run, until=0):
                pass
            if time.monotonic() > run.limit:
                raise self._silent()
        return len(data) - len(view)

    @contextmanager
    def _until_late(self, run: _Run) -> Iterator[None]:
        """Lets go of the host when time is up: a stuck link can hold whoever sends for ever."""
        timer = threading.Timer(max(run.limit - time.monotonic(), 0), self.close)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    # What comes back

    def _await_end(self, run: _Run) -> None:
        while run.end is None:
            self._wait(run)

    def _wait(self, run: _Run) -> None:
        if self._incoming.over and time.monotonic() < run.limit:
            raise self._lost()
        if not self._take(run, until=run.limit):
            raise self._silent()

    def _take(self, run: _Run, *, until: float) -> bool:
        """Works off one event; False if none came until then."""
        items = self._incoming.take(until)
        for item in items or ():
            if isinstance(item, End):
                run.end = item
                continue
            run.size += len(item)
            if run.size > _MOST_OUTPUT:
                raise HostError(f"{self._name}: a script printed more than {_MOST_OUTPUT >> 20} MiB")
            run.records.append(item)
            if run.on_record:
                run.on_record(item)
        return items is not None

    def _answer(self, run: _Run, timeout: float) -> Answer:
        said = self._incoming.errors_of_the_script(2)
        assert run.end is not None  # noqa: S101 - _await_end returned
        if run.end.overdue:
            raise trouble.overdue(self._name, timeout, said, run.records)
        if self._stopping.is_set() and run.end.status > 128 and not run.records:
            # The signal came before the script's shell had said what to do with it.
            raise StoppedError(f"{self._name}: stopped before the script began")
        return Answer(status=run.end.status, records=tuple(run.records), stderr=said)

    # How it goes wrong

    def _lost(self) -> ProvisionError:
        """The far sh is gone. Gives standard error a moment to say why."""
        said = self._incoming.last_words(2)
        status = self._stream.status()
        self.close()
        return trouble.lost(self._name, said) if self._incoming.ready else self._refusal(said, status)

    def _silent(self) -> ProvisionError:
        self.close()
        if not self._incoming.ready and self._opening.prompt:
            return trouble.no_answer_from_sudo(self._name, self._incoming.said)
        return trouble.stuck(self._name)

    # Ending

    def stop(self) -> None:
        """See `Transport.stop`."""
        self._stopping.set()
        self._pass_on_stop()

    def _pass_on_stop(self) -> None:
        if not self._writing.acquire(blocking=False):
            return  # whoever sends looks at the flag when done
        try:
            with suppress(OSError):
                if self._torn:  # in the middle of something: only the end of input can be understood there
                    self._stream.finish()
                elif self._greeted:  # before, sudo would take it for the password
                    self._stream.send(b"stop\n", 5)
        finally:
            self._writing.release()

    def close(self) -> None:
        """Ends the input: a script that runs ends after its step. Does not wait for it."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self._stream.close()


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
