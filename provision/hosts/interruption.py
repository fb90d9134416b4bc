"""Ctrl-C, SIGTERM and SIGHUP: a person, a CI system or a closed terminal wants a command to end. All end it alike."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final, TypeVar

from provision.transport import StoppedError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_WISH_SECONDS: Final = 1.0
"""timeout(1) signals its child and then the child's group. A closed terminal does it once, its shell once more."""


_LOOK_SECONDS: Final = 0.1
Made = TypeVar("Made")


class EndError(KeyboardInterrupt):
    """One of the signals, in the main thread, where nobody had asked to be told instead."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def _raised(error: BaseException) -> Any:
    raise error


def number_of(error: BaseException | None) -> int:
    """The signal behind a KeyboardInterrupt; 0 for another error."""
    if isinstance(error, KeyboardInterrupt):
        return error.number if isinstance(error, EndError) else signal.SIGINT
    return 0


def _is_ours(handler: object) -> bool:
    """Whether nobody else has taken the signal: not a program that calls our tasks, nor who wants it ignored."""
    within = getattr(handler, "__func__", None) is Interruption._handle  # noqa: SLF001 - our own class
    return within or handler in (signal.SIG_DFL, signal.default_int_handler)


@dataclass(kw_only=True)
class Interruption:
    """The wish to end one command, and who is told of it."""

    number: int = 0
    """The signal that came first; 0 as long as none came."""
    _told: Callable[[], None] | None = None
    _last: tuple[int, float] = (0, 0.0)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """The signals raise EndError meanwhile, or call who has asked for that; a signal that is ignored stays so.

        A program in the background of a script is started with SIGINT ignored, one under nohup with SIGHUP.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        taken = {number: handler for number, handler in before.items() if _is_ours(handler)}
        for number in taken:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in taken.items():
                signal.signal(number, handler)

    @contextmanager
    def told(self, listener: Callable[[], None]) -> Iterator[None]:
        """`listener` is called for each signal meanwhile, in a signal handler. Nothing is raised.

        An exception could come between two lines, and lose a result.
        """
        before, self._told = self._told, listener
        try:
            yield
        finally:
            self._told = before

    def require_none(self) -> None:
        """Raises StoppedError if the command is to end. For any thread."""
        if self.number:
            raise StoppedError("interrupted", hint="run it again: finished steps and downloads are kept")

    def while_none(self, work: Callable[[], Made]) -> Made:
        """What work on this machine alone returns, which may wait for a network without an end of its own.

        Raises StoppedError as soon as the command is to end. The work is then left to itself, in a thread that ends
        with the program: it must leave nothing half-made (a download keeps what has arrived).
        """
        done: SimpleQueue[Callable[[], Made]] = SimpleQueue()

        def run() -> None:
            try:
                made = work()
            except BaseException as error:  # noqa: BLE001 - raised again, by the thread that waits
                done.put(partial(_raised, error))
            else:
                done.put(lambda: made)

        self.require_none()
        threading.Thread(target=run, daemon=True).start()
        while True:
            with suppress(Empty):
                return done.get(timeout=_LOOK_SECONDS)()
            self.require_none()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        last, self._last = self._last, (number, now)
        if number != signal.SIGINT and last[0] == number and now - last[1] < _ONE_WISH_SECONDS:
            return
        self.number = self.number or number
        if self._told is None:
            raise EndError(number)
        self._told()
