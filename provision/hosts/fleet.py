"""Many hosts at once: a bounded number of workers, and a host that fails never spoils the others."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, ClassVar, Final

from provision import crash
from provision.errors import ConnectionLostError, HostError, ProvisionError
from provision.hosts.guard import guarded
from provision.result import EXIT_CODES, HostResult
from provision.spec import Host
from provision.transport import StoppedError, Transport

if TYPE_CHECKING:
    from provision.report.progress import Progress

Connect = Callable[[Host], Transport]
Work = Callable[[Transport, Host], HostResult]

_WELL: Final = ("ok", "changed")
"""How a canary must come out before the others are begun."""
_PARTING: Final = 1.0
"""Seconds for hosts that are let go of to say how far they were."""


class NotStartedError(HostError):
    """Nothing was done on this host, as a canary did not come out well."""

    code: ClassVar[str] = "not-started"
    exit_code: ClassVar[int] = EXIT_CODES["skipped"]


@dataclass(frozen=True, kw_only=True)
class _Stop:
    """The user pressed Ctrl-C."""


Event = tuple[Host, HostResult] | _Stop
Results = dict[Host, HostResult]


@dataclass(kw_only=True)
class Fleet:
    """Runs `work` on hosts, `jobs` at a time. Results come in the order of the hosts.

    With `canary`, the first so many must come out well before any other is begun.
    Ctrl-C lets hosts finish the step they are in and begins no other; a second one lets go of them at once.
    """

    connect: Connect
    work: Work
    jobs: int
    progress: Callable[[], Progress]
    """Called once the first hosts are being connected to."""
    meanwhile: Callable[[], object] = lambda: None
    """What else can be done while they are waited for."""
    canary: int = 0
    _open: dict[Host, Transport] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stops: int = 0
    _several: bool = False
    _events: SimpleQueue[Event] = field(default_factory=SimpleQueue)

    def run(self, hosts: Sequence[Host]) -> tuple[HostResult, ...]:
        """Every host's result; one that was not reached any more has one that says so."""
        canaries = self.canary or len(hosts)
        first, others = hosts[:canaries], hosts[canaries:]
        with self._interruptible():
            self._begin(first)
            with self._shown(hosts):
                results = self._collect(first)
                bad = [result for result in results.values() if result.status not in _WELL]
                if self._interrupted():
                    results |= {host: _unbegun(host) for host in others}
                elif bad:
                    results |= {host: _held_back(host, bad) for host in others}
                else:
                    self._begin(others)
                    results |= self._collect(others)
        return tuple(results[host] for host in hosts)

    @contextmanager
    def _shown(self, hosts: Sequence[Host]) -> Iterator[None]:
        self.meanwhile()
        self._several = len(hosts) > 1
        if self._several:
            self.progress().expect([host.name for host in hosts])
        with self.progress():
            yield

    def _begin(self, hosts: Sequence[Host]) -> None:
        waiting: SimpleQueue[Host] = SimpleQueue()
        for host in hosts:
            waiting.put(host)
        # Not a ThreadPoolExecutor: Python joins its threads at exit, and a second Ctrl-C shall end at once.
        for number in range(min(self.jobs, len(hosts))):
            threading.Thread(
                target=self._worker, args=(waiting,), daemon=True, name=f"fleet {number}"
            ).start()

    def _collect(self, hosts: Sequence[Host]) -> Results:
        results: Results = {}
        while len(results) < len(hosts):
            event = self._events.get()
            if isinstance(event, _Stop):
                if self._stops > 1:
                    return self._abandoned(hosts, results)
                continue
            host, result = event
            results[host] = result
            if self._several:
                self.progress().finish(host.name, result.status)
        return results

    def _worker(self, waiting: SimpleQueue[Host]) -> None:
        with suppress(Empty):
            while True:
                host = waiting.get_nowait()
                self._events.put((host, self._one(host)))

    def _one(self, host: Host) -> HostResult:
        """Its result, come what may: `_collect` waits for one of each host, without an end."""
        try:
            return guarded(host.name, lambda: self._visit(host))
        except BaseException as error:  # noqa: BLE001 - a defect that one host brings out is that host's failure
            return HostResult(host=host.name, status="failed", error=_defect(error))

    def _visit(self, host: Host) -> HostResult:
        if self._interrupted():
            return _unbegun(host)
        transport = self.connect(host)
        with self._lock:
            self._open[host] = transport
        if self._interrupted():  # between the two: `_stop` has not seen this one
            transport.stop()
        try:
            self._reach(transport)
            return self.work(transport, host)
        finally:
            with self._lock:
                del self._open[host]
            # Paramiko's thread looks up every 0.1 s whether it is to end; neither the next host nor the report
            # need wait for that.
            threading.Thread(target=transport.close, daemon=True).start()

    def _reach(self, transport: Transport) -> None:
        try:
            transport.open()
        except ProvisionError as error:
            if self._interrupted():  # a sudo that asks on the terminal hears Ctrl-C as well, and fails
                raise StoppedError("interrupted before anything was begun") from error
            raise

    # Ctrl-C

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C becomes an event. As an exception it could come between two lines and lose a result."""
        before = signal.getsignal(signal.SIGINT)
        ours = threading.current_thread() is threading.main_thread()
        # A program that is started in the background of a script ignores SIGINT, and shall go on doing so.
        if not ours or before is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, lambda _number, _frame: self.interrupt())
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def interrupt(self) -> None:
        """What Ctrl-C does. May be called from a signal handler: takes no lock, and sends nothing itself."""
        self._stops += 1
        self._events.put(_Stop())
        threading.Thread(target=self._stop if self._stops == 1 else self._let_go, daemon=True).start()

    def _interrupted(self) -> bool:
        return self._stops > 0

    def _stop(self) -> None:
        self.progress().say("stopping: each host finishes the step it is in (Ctrl-C again ends at once)")
        for transport in self._running():
            threading.Thread(target=transport.stop, daemon=True).start()

    def _let_go(self) -> None:
        for transport in self._running():
            threading.Thread(target=transport.close, daemon=True).start()

    def _running(self) -> list[Transport]:
        """Whoever goes through them gives each a thread: one that is stuck must not hold up the others."""
        with self._lock:
            return list(self._open.values())

    def _abandoned(self, hosts: Sequence[Host], results: Results) -> Results:
        """What there is, and of each host that is still at work that it was left."""
        until = time.monotonic() + _PARTING
        with suppress(Empty):
            while len(results) < len(hosts):
                event = self._events.get(timeout=max(until - time.monotonic(), 0))
                if not isinstance(event, _Stop):
                    results[event[0]] = _left(*event)
        return {host: results.get(host) or _left(host) for host in hosts}


def _defect(error: BaseException) -> ProvisionError:
    try:
        return crash.explain(error)
    except BaseException as another:  # noqa: BLE001 - no memory, no file left: the host has failed all the same
        return HostError(
            f"an error nobody foresaw: {type(error).__name__}",
            cause=f"a defect of this tool, and explaining it met {type(another).__name__}",
            hint="please report it",
        )


def _held_back(host: Host, canaries: Sequence[HostResult]) -> HostResult:
    names = ", ".join(f"{canary.host} ({canary.status})" for canary in canaries)
    error = NotStartedError(
        "not started",
        cause=f"did not come out well before it: {names}",
        hint="Mend that first, or run without --canary.",
    )
    return HostResult(host=host.name, status="skipped", error=error)


def _unbegun(host: Host) -> HostResult:
    error = StoppedError("not started", cause="the run was interrupted before its turn came")
    return HostResult(host=host.name, status="interrupted", error=error)


def _left(host: Host, result: HostResult | None = None) -> HostResult:
    """The result of a host that was let go of, with the steps that were heard of; a good one stays."""
    if result and not isinstance(result.error, ConnectionLostError):
        return result
    error = StoppedError(
        "left in the middle, as Ctrl-C was pressed twice",
        cause="a step that runs there is finished there, and no other begun",
        hint="Run it again: it goes on from what is there.",
    )
    return replace(
        result or HostResult(host=host.name, status="interrupted"), status="interrupted", error=error
    )
