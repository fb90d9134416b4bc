"""Many requests over one stream, and the sh at its other end (templates/session.sh).

The thread that asks also sends, and reads what has come between two pieces that it sends.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from provision.errors import HostError, ProvisionError
from provision.transport import Answer, Listener, Payload, StoppedError, Transport, errors
from provision.transport.become import Opening
from provision.transport.outgoing import Outgoing
from provision.transport.stream import End, Incoming, Stream

_GRACE: Final = 15.0
"""Seconds beyond a script's own: the far end needs up to five to end an overdue script; the rest is for the line."""
_BECOME: Final = 30.0
"""Seconds for sudo to take the password: PAM may ask a directory, and delays a wrong password by some seconds."""
_MOST_OUTPUT: Final = 64 * 1024 * 1024

Refusal = Callable[[str, "int | None"], ProvisionError]
"""The error for a session that did not begin: from the output that came instead, and the exit status if known."""


@dataclass(kw_only=True)
class _Run:
    """One request under way."""

    limit: float
    """The moment when waiting ends, by `time.monotonic()`."""
    on_record: Listener | None = None
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
        self._outgoing = Outgoing(stream, opening.nonce, opening.greeting)
        self._closed = False
        self._asking = threading.Lock()

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
            if self._outgoing.stopping:
                raise StoppedError(f"{self._name}: stopped before the next script began")
            run = _Run(limit=time.monotonic() + timeout + _GRACE, on_record=on_record)
            try:
                with self._closed_when_late(run):
                    self._give_password(run)
                    self._outgoing.submit(
                        script,
                        math.ceil(timeout),
                        payload,
                        listening=lambda: self._far_end_listens(run),
                        ended=lambda: run.end is not None,
                    )
                self._await_end(run)
            except KeyboardInterrupt:
                self._end_interrupted(run)
                raise
            except BaseException:  # the far end is gone; or on_record failed, and nobody listens any more
                self.close()
                raise
            return self._answer(run, timeout)

    def prove(self) -> None:
        """Waits until the far sh is there and root. Raises BecomeError, or the error that the refusal makes."""
        with self._asking:
            run = _Run(limit=time.monotonic() + _BECOME)
            self._give_password(run)
            self._outgoing.greet(lambda: self._far_end_listens(run))
            while not self._incoming.ready:
                self._wait(run)

    def _give_password(self, run: _Run) -> None:
        """Before the first request. The password goes alone: sudo takes all that has come for one."""
        if self._outgoing.greeted or self._opening.password is None:
            return
        asked = _Run(limit=min(run.limit, time.monotonic() + _BECOME))
        self._outgoing.send_line(self._opening.password.reveal(), lambda: self._far_end_listens(asked))
        while not self._incoming.ready:
            self._wait(asked)
            if self._incoming.unread_output.count(self._opening.prompt) > 1:
                self.close()  # at once: sudo would read whatever comes next as a second attempt
                raise errors.wrong_password(self._name)
        self._incoming.forget_errors()

    @contextmanager
    def _closed_when_late(self, run: _Run) -> Iterator[None]:
        """Closes the session when time is up: sending over a stuck link can block for ever."""
        timer = threading.Timer(max(run.limit - time.monotonic(), 0), self.close)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_interrupted(self, run: _Run) -> None:
        try:
            self.stop()
            with suppress(ProvisionError):
                self._await_end(run)
        finally:  # also on a second Ctrl-C
            self.close()

    # What comes back

    def _far_end_listens(self, run: _Run) -> bool:
        """Works off what has come. Raises DeadlineError or BecomeError when time is up."""
        while self._take(run, until=0):
            pass
        if time.monotonic() > run.limit:
            raise self._no_answer_error()
        return not self._incoming.over

    def _await_end(self, run: _Run) -> None:
        while run.end is None:
            self._wait(run)

    def _wait(self, run: _Run) -> None:
        if self._incoming.over and time.monotonic() < run.limit:
            raise self._lost_error()
        if not self._take(run, until=run.limit):
            raise self._no_answer_error()

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
        stderr = self._incoming.errors_of_the_script(2)
        assert run.end is not None  # noqa: S101 - _await_end returned
        if run.end.overdue:
            raise errors.overdue(self._name, timeout, stderr, run.records)
        if self._outgoing.stopping and run.end.status > 128 and not run.records:
            # The signal came before the script's shell had set its trap.
            raise StoppedError(f"{self._name}: stopped before the script began")
        return Answer(status=run.end.status, records=tuple(run.records), stderr=stderr)

    # How it goes wrong

    def _lost_error(self) -> ProvisionError:
        """The far sh is gone. Gives standard error a moment to say why."""
        output = self._incoming.last_output(2)
        status = self._stream.status()
        self.close()
        return errors.lost(self._name, output) if self._incoming.ready else self._refusal(output, status)

    def _no_answer_error(self) -> ProvisionError:
        self.close()
        if not self._incoming.ready and self._opening.prompt:
            return errors.no_answer_from_sudo(self._name, self._incoming.unread_output)
        return errors.stuck(self._name)

    # Ending

    def stop(self) -> None:
        """See `Transport.stop`."""
        self._outgoing.stop()

    def close(self) -> None:
        """Ends the input: a script that runs ends after its step. Does not wait for it."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self._stream.close()


class SessionTransport(ABC, Transport):
    """A transport that is one session over some stream, begun on first use."""

    def __init__(self, name: str, *, local: bool) -> None:
        self.name = name
        self.local = local
        self._session: Session | None = None
        self._opening = threading.Lock()
        self._stopped = threading.Event()

    @abstractmethod
    def _start(self) -> Session:
        """Connects. See `Transport.open`."""

    def open(self) -> None:
        """See `Transport.open`."""
        self._opened()

    def _opened(self) -> Session:
        with self._opening:
            if self._stopped.is_set():
                raise StoppedError(f"{self.name}: stopped before it was asked anything")
            if self._session is None:
                self._session = self._start()
            if self._stopped.is_set():  # while it connected
                self._session.stop()
            return self._session

    def ask(
        self,
        script: str,
        *,
        timeout: float,
        payload: Payload | None = None,
        on_record: Listener | None = None,
    ) -> Answer:
        """See `Transport.ask`."""
        session = self._session or self._opened()
        return session.ask(script, timeout=timeout, payload=payload, on_record=on_record)

    def stop(self) -> None:
        """See `Transport.stop`."""
        self._stopped.set()
        if self._session:
            self._session.stop()

    def close(self) -> None:
        """See `Transport.close`."""
        if self._session:
            self._session.close()

    def __enter__(self) -> SessionTransport:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
