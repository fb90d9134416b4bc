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
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final

from provision.errors import ProvisionError
from provision.transport import Answer, Listener, Payload, StoppedError, Transport, errors
from provision.transport.become import Opening
from provision.transport.outgoing import Outgoing
from provision.transport.password import Password, PasswordRefusedError
from provision.transport.stream import MOST_NOISE, End, Incoming, NonsenseError, Stream

_GRACE: Final = 15.0
"""Seconds beyond a script's own: the far end needs up to five to end an overdue script; the rest is for the line."""
_BECOME: Final = 30.0
"""Seconds for sudo to ask, and to take the password: PAM may ask a directory, and delays a wrong one by seconds."""
_TURN: Final = 150.0
"""Seconds that sudo's question may wait for the verdict of another host; sudo itself gives up after five minutes."""
_BEGIN: Final = 60.0
"""Seconds until the far sh must be there."""
_LOOK: Final = 0.2
"""Seconds after which a wait for the far sh looks whether it is still wanted."""
_MOST_OUTPUT: Final = 64 * 1024 * 1024
"""Bytes of one answer, both outputs together."""
_RECORD: Final = 64
"""Bytes that a record takes in memory beside its text: a host may send empty lines."""

Refusal = Callable[[str, "int | None"], ProvisionError]
"""The error for a session that did not begin: from the output that came instead, and the exit status if known."""


@dataclass(kw_only=True)
class _Run:
    """One request under way."""

    limit: float
    """The moment when waiting ends, by `time.monotonic()`."""
    on_record: Listener | None = None
    endless: bool = False
    """Its records go to `on_record` alone."""
    records: list[str] = field(default_factory=list)
    taken: int = 0
    """Bytes of the session's output before this request."""
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
        self._begin_by = math.inf
        """The moment until which the far sh must be there, once it is waited for."""
        self._question_seen = False
        self._asking = threading.Lock()

    # Asking

    def ask(
        self,
        script: str,
        *,
        timeout: float,
        payload: Payload | None = None,
        on_record: Listener | None = None,
        endless: bool = False,
    ) -> Answer:
        """One script. See `Transport.ask`."""
        with self._asking:
            if self._outgoing.stopping:
                raise StoppedError(f"{self._name}: stopped before the next script began")
            run = self._run(timeout + _GRACE, on_record, endless=endless)
            try:
                self._skip_what_nobody_asked_for(run)
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
            run = self._run(_BECOME)
            self._give_password(run)
            self._outgoing.greet(lambda: self._far_end_listens(run))
            while not self._incoming.ready:
                self._wait(run)

    def _run(self, seconds: float, on_record: Listener | None = None, *, endless: bool = False) -> _Run:
        self._begin_by = time.monotonic() + _BEGIN
        return _Run(
            limit=time.monotonic() + seconds,
            on_record=on_record,
            endless=endless,
            taken=self._incoming.taken if self._incoming.ready else 0,
        )

    def _give_password(self, run: _Run) -> None:
        """Before the first request, to sudo's question and to nothing else: where sudo asks nothing, nothing is sent.

        The password goes alone: sudo takes all that has come for one.
        """
        password = self._opening.password
        if self._outgoing.greeted or password is None:
            return
        whose = self._asked(replace(run, limit=min(run.limit, time.monotonic() + _BECOME)))
        if whose is None:
            return
        self._question_seen = True
        turn = replace(run, limit=min(run.limit, time.monotonic() + _TURN))
        with password.attempt(
            self._name, lambda: self._far_end_listens(turn) and not self._outgoing.stopping
        ):
            if self._outgoing.stopping:
                raise StoppedError(f"{self._name}: stopped before the first script began")
            self._begin_by = time.monotonic() + _BEGIN
            self._answer_question(password, whose, run)

    def _answer_question(self, password: Password, whose: str, run: _Run) -> None:
        self._incoming.forget()
        answered = replace(run, limit=min(run.limit, time.monotonic() + _BECOME))
        self._outgoing.send_line(password.reveal(), lambda: self._far_end_listens(answered))
        try:
            again = self._asked(answered)
        except PasswordRefusedError:  # without a second question (passwd_tries=1)
            raise errors.wrong_password(self._name, whose) from None
        if again is not None:
            between = self._opening.question.sub("", self._incoming.unread_output).strip()
            self.close()  # at once: sudo would read whatever comes next as a second attempt
            raise errors.wrong_password(self._name, whose) if between else errors.second_question(self._name)
        self._incoming.forget()

    def _asked(self, run: _Run) -> str | None:
        """Waits for sudo's question, and returns whose password it wants; None if the far sh began without one."""
        while not self._incoming.ready:
            if question := self._incoming.last_words(self._opening.question):
                return question[1]
            self._wait(run)
        return None

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

    def _skip_what_nobody_asked_for(self, run: _Run) -> None:
        """A program that an earlier script left behind may print at any time."""
        if self._incoming.ready:
            with self._explained():
                self._incoming.skip()
            run.taken = self._incoming.taken

    def _far_end_listens(self, run: _Run) -> bool:
        """Works off what has come. Raises DeadlineError or BecomeError when time is up."""
        while time.monotonic() < run.limit and self._take(run, until=0):
            pass
        if time.monotonic() > run.limit:
            raise self._no_answer_error()
        return not self._incoming.over

    def _await_end(self, run: _Run) -> None:
        while run.end is None:
            self._wait(run)

    def _wait(self, run: _Run) -> None:
        limit = run.limit if self._incoming.ready else min(run.limit, self._begin_by)
        if self._incoming.over and time.monotonic() < limit:
            raise self._lost_error()
        until = limit
        if not self._incoming.ready:
            if self._outgoing.stopping:
                raise StoppedError(f"{self._name}: stopped before a shell answered")
            until = min(limit, time.monotonic() + _LOOK)
        # Asked first: a host that never stops talking would keep the wait from its end.
        if time.monotonic() > limit or not (self._take(run, until=until) or time.monotonic() < limit):
            raise self._no_answer_error()

    def _take(self, run: _Run, *, until: float) -> bool:
        """Works off one event; False if none came until then."""
        with self._explained():
            items = self._incoming.take(until)
        for item in items or ():
            if isinstance(item, End):
                run.end = item
                continue
            if not run.endless:
                run.records.append(item)
            if run.on_record:
                run.on_record(item)
        if run.endless and self._incoming.ready:
            return items is not None
        most = _MOST_OUTPUT if self._incoming.ready else MOST_NOISE
        if self._incoming.taken - run.taken + _RECORD * len(run.records) > most:
            raise errors.flood(self._name, most)
        return items is not None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NonsenseError as error:
            raise errors.nonsense(self._name, self._masked(str(error))) from error

    def _answer(self, run: _Run, timeout: float) -> Answer:
        stderr = self._masked(self._incoming.errors_of_the_script(2))
        assert run.end is not None  # noqa: S101 - _await_end returned
        if run.end.overdue:
            raise errors.overdue(
                self._name, timeout, stderr, [self._masked(record) for record in run.records[-1:]]
            )
        if self._outgoing.stopping and run.end.status > 128 and not run.records:
            # The signal came before the script's shell had set its trap.
            raise StoppedError(f"{self._name}: stopped before the script began")
        return Answer(status=run.end.status, records=tuple(run.records), stderr=stderr)

    def _masked(self, text: str) -> str:
        """A text for people: whoever the password went to may have printed it."""
        password = self._opening.password
        return text.replace(password.reveal(), "***") if password and password.reveal() else text

    # How it goes wrong

    def _lost_error(self) -> ProvisionError:
        """The far sh is gone. Gives standard error a moment to say why."""
        output = self._incoming.last_output(2)
        status = self._stream.status()
        self.close()
        if self._incoming.ready:
            return errors.lost(self._name, self._masked(output), status)
        if self._opening.astray in output:
            return errors.astray(self._name)
        return self._refusal(self._masked(output), status)

    def _no_answer_error(self) -> ProvisionError:
        if self._incoming.ready:
            self.close()
            return errors.stuck(self._name)
        # Before its input ends, which may make it say something else.
        output = self._masked(self._incoming.unread_output)
        if not (self._outgoing.greeted or self._question_seen) and self._ends_in_silence():
            return errors.astray(self._name)
        self.close()
        if self._opening.password:
            return errors.no_answer_from_sudo(self._name, output)
        return errors.no_shell(self._name, _BEGIN, output)

    def _ends_in_silence(self) -> bool:
        """Whether the far end takes the end of its input for the end of a script, as a shell does and sudo does not."""
        with suppress(OSError):
            self._stream.finish()
        silent = not self._incoming.last_output(2)
        status = self._stream.status() if silent else None
        self.close()
        return status == 0

    # Ending

    def stop(self) -> None:
        """See `Transport.stop`."""
        self._outgoing.stop()

    def close(self) -> None:
        """Ends the input: a script that runs ends after its step. Does not wait for it."""
        if not self._closed:
            self._closed = True
            self._incoming.close()
            with suppress(OSError):
                self._stream.close()


class SessionTransport(ABC, Transport):
    """A transport that is one session over some stream, begun on first use."""

    def __init__(self, name: str, *, local: bool) -> None:
        self.name = name
        self.local = local
        self.address = "localhost"
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
        endless: bool = False,
    ) -> Answer:
        """See `Transport.ask`."""
        session = self._session or self._opened()
        return session.ask(script, timeout=timeout, payload=payload, on_record=on_record, endless=endless)

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
