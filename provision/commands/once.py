"""One machine that is named twice in a run is done once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from provision.errors import EXIT_OK, EXIT_PENDING, HostError
from provision.result import EXIT_CODES, HostResult

_GOOD: Final = (EXIT_OK, EXIT_PENDING)


@dataclass(kw_only=True)
class _First:
    """The host as which a machine is done."""

    host: str
    ended: threading.Event = field(default_factory=threading.Event)
    result: HostResult | None = None
    """None: the work raised an error, which is told for that host."""


@dataclass(kw_only=True)
class Machines:
    """The machines of one run, by what no other machine has. Used by the threads of all hosts."""

    _first: dict[str, _First] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def once(self, identity: str, host: str, work: Callable[[], HostResult]) -> HostResult:
        """The result of `work`, or of the host that is the same machine and came first. An empty identity is unknown.

        A name that comes again is done again. Raises what `work` raises, and HostError where the first host failed.
        """
        if not identity:
            return work()
        mine = _First(host=host)
        with self._lock:
            first = self._first.setdefault(identity, mine)
        if first is not mine and first.host != host:
            first.ended.wait()
            return _again(host, first)
        try:
            mine.result = work()
        finally:
            mine.ended.set()
        return mine.result


def _again(host: str, first: _First) -> HostResult:
    words = f"{host} is the same machine as {first.host}, and is done once, as {first.host}"
    if first.result is None or EXIT_CODES[first.result.status] not in _GOOD:
        raise HostError(words, cause=f"{first.host} did not succeed", hint=f"See {first.host}.")
    return replace(first.result, host=host, status="ok", steps=(), notes=(words,))
