"""The same small work for many things at once, which Ctrl-C ends at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def each(work: Callable[[Item], Made], items: Sequence[Item], *, most: int) -> list[Made]:
    """What `work` returns for each of the items, in their order, `most` at a time. Raises the first of its errors.

    Not a ThreadPoolExecutor: that one, and Python at its end, wait for every thread, also for one that waits for a
    server which says nothing.
    """
    waiting: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, Made | None, BaseException | None]] = SimpleQueue()
    for number in range(len(items)):
        waiting.put(number)

    def work_off() -> None:
        with suppress(Empty):
            while True:
                number = waiting.get_nowait()
                try:
                    done.put((number, work(items[number]), None))
                except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
                    done.put((number, None, error))

    for _ in range(min(most, len(items))):
        threading.Thread(target=work_off, daemon=True).start()
    made: dict[int, Made] = {}
    while len(made) < len(items):
        number, value, error = done.get()
        if error:
            raise error
        made[number] = value  # type: ignore[assignment]
    return [made[number] for number in range(len(items))]
