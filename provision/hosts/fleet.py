"""Many hosts at once: a bounded number of workers; a host that fails does not stop the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, ClassVar, Final

from provision import crash
from provision.errors import ConnectionLostError, HostError, ProvisionError
from provision.hosts.interruption import Interruption
from provision.result import EXIT_CODES, HostResult, HostStatus
from provision.spec import Host
from provision.transport import StoppedError, Transport

if TYPE_CHECKING:  # rich is imported while hosts are waited for
    from provision.report.progress import Progress

Connect = Callable[[Host], Transport]
Work = Callable[[Transport, Host], HostResult]
"""Raises only what came before the first change to the host."""

_CANARY_SUCCEEDED: Final[tuple[HostStatus, ...]] = ("ok", "changed")
"""Statuses of a canary after which the other hosts begin."""
_ABANDON_SECONDS: Final = 1.0
"""Time for abandoned hosts to report the steps that they have done."""


class NotStartedError(HostError):
    """Nothing was done on this host, as a canary failed."""

    code: ClassVar[str] = "not-started"
    exit_code: ClassVar[int] = EXIT_CODES["skipped"]
    host_status = "skipped"


@dataclass(frozen=True, kw_only=True)
class _Stop:
    """The user pressed Ctrl-C, or a signal means the same."""


Event = tuple[Host, HostResult] | _Stop
Results = dict[Host, HostResult]


@dataclass(kw_only=True)
class Fleet:
    """Runs `work` on hosts, `jobs` at a time. Results come in the order of the hosts.

    With `canary`, so many hosts must succeed before any other begins. A first Ctrl-C lets each host finish the step
    it is in, and no other host begins. A second Ctrl-C abandons all hosts at once. SIGTERM and SIGHUP mean the same.
    """

    connect: Connect
    work: Work
    jobs: int
    progress: Callable[[], Progress]
    """Called once the first hosts are being connected to."""
    meanwhile: Callable[[], object] = lambda: None
    """Called while the first hosts are waited for: what can be done then."""
    canary: int = 0
    interruption: Interruption = field(default_factory=Interruption)
    _transports: dict[Host, Transport] = field(default_factory=dict)
    """Those in use."""
    _opening: set[Host] = field(default_factory=set)
    """Hosts that are being connected to: nothing was begun there."""
    _waiting: set[Host] = field(default_factory=set)
    """Hosts whose turn has not come."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stops: int = 0
    _several: bool = False
    _events: SimpleQueue[Event] = field(default_factory=SimpleQueue)

    def run(self, hosts: Sequence[Host]) -> tuple[HostResult, ...]:
        """The result of every host, also of those that were not begun."""
        canaries = self.canary or len(hosts)
        first, others = hosts[:canaries], hosts[canaries:]
        # As an exception, Ctrl-C could come between two lines and lose a result.
        with self.interruption.caught(), self.interruption.told(self.interrupt):
            self._begin(first)
            with self._progress_shown(hosts):
                results = self._collect(first)
                failed = [result for result in results.values() if result.status not in _CANARY_SUCCEEDED]
                if self._interrupted():
                    results |= {host: not_begun_result(host) for host in others}
                elif failed:
                    results |= {host: _held_back_result(host, failed) for host in others}
                else:
                    self._begin(others)
                    results |= self._collect(others)
        return tuple(results[host] for host in hosts)

    @contextmanager
    def _progress_shown(self, hosts: Sequence[Host]) -> Iterator[None]:
        self.meanwhile()
        self._several = len(hosts) > 1
        if self._several:
            self.progress().expect([host.name for host in hosts])
        with self.progress():
            yield

    def _begin(self, hosts: Sequence[Host]) -> None:
        waiting: SimpleQueue[Host] = SimpleQueue()
        self._waiting.update(hosts)
        for host in hosts:
            waiting.put(host)
        # Not a ThreadPoolExecutor: Python joins its threads at exit, and a second Ctrl-C must end at once.
        for number in range(min(self.jobs, len(hosts))):
            threading.Thread(
                target=self._work_off, args=(waiting,), daemon=True, name=f"fleet {number}"
            ).start()

    def _collect(self, hosts: Sequence[Host]) -> Results:
        results: Results = {}
        while len(results) < len(hosts):
            event = self._events.get()
            if isinstance(event, _Stop):
                if self._stops > 1:
                    return self._abandoned_results(hosts, results)
                # Who does not answer is not waited for, nor is whose turn comes only after such a host.
                with self._lock:
                    pairs = [(host, not_begun_result(host)) for host in (*self._opening, *self._waiting)]
            else:
                pairs = [event]
            for host, result in pairs:
                results.setdefault(host, result)
                if self._several and results[host] is result:
                    self.progress().finish(host.name, result.status)
        return results

    def _work_off(self, waiting: SimpleQueue[Host]) -> None:
        with suppress(Empty):
            while True:
                host = waiting.get_nowait()
                with self._lock:
                    self._waiting.discard(host)
                self._events.put((host, self._result_of(host)))

    def _result_of(self, host: Host) -> HostResult:
        """Returns a result whatever happens: `_collect` waits without an end for one of each host."""
        begun = time.monotonic()
        try:
            result = self._work_on(host)
        except ProvisionError as error:
            # One that comes later is in a result of the work (`Work`).
            result = replace(HostResult.of_error(host.name, error), untouched=True)
        except BaseException as error:  # noqa: BLE001 - a defect that one host triggers is that host's failure
            result = HostResult.of_error(host.name, _crash_error(error))
        return replace(result, seconds=time.monotonic() - begun)

    def _work_on(self, host: Host) -> HostResult:
        if self._interrupted():
            return not_begun_result(host)
        transport = self.connect(host)
        with self._lock:
            self._transports[host] = transport
            self._opening.add(host)
        if self._interrupted():  # just now, so that `_stop` did not see this transport
            transport.stop()
        try:
            self._open(transport, host)
            return self.work(transport, host)
        finally:
            with self._lock:
                del self._transports[host]
                self._opening.discard(host)
            # Paramiko's thread checks every 0.1 s whether it should end. Neither the next host nor the report has
            # to wait for that.
            threading.Thread(target=transport.close, daemon=True).start()

    def _open(self, transport: Transport, host: Host) -> None:
        try:
            transport.open()
        except ProvisionError as error:
            if self._interrupted():  # Ctrl-C also reaches a sudo that asks on the terminal, which then fails
                raise _never_begun_error() from error
            raise
        with self._lock:
            self._opening.discard(host)
            if self._interrupted():  # `_collect` may have given this host up already
                raise _never_begun_error()

    # Ctrl-C

    def interrupt(self) -> None:
        """Called for Ctrl-C and its kin, from a signal handler: takes no lock, and sends nothing itself."""
        self._stops += 1
        self._events.put(_Stop())
        threading.Thread(target=self._stop if self._stops == 1 else self._abandon, daemon=True).start()

    def _interrupted(self) -> bool:
        return self._stops > 0

    # A thread for each transport: one that is stuck must not hold up the others.

    def _stop(self) -> None:
        self.progress().say("stopping: each host finishes the step it is in (Ctrl-C again ends at once)")
        for transport in self._transports_in_use():
            threading.Thread(target=transport.stop, daemon=True).start()

    def _abandon(self) -> None:
        for transport in self._transports_in_use():
            threading.Thread(target=transport.close, daemon=True).start()

    def _transports_in_use(self) -> list[Transport]:
        with self._lock:
            return list(self._transports.values())

    def _abandoned_results(self, hosts: Sequence[Host], results: Results) -> Results:
        """Adds what comes in the next second, and marks every host that is still running as abandoned."""
        until = time.monotonic() + _ABANDON_SECONDS
        with suppress(Empty):
            while len(results) < len(hosts):
                event = self._events.get(timeout=max(until - time.monotonic(), 0))
                if not isinstance(event, _Stop):
                    results[event[0]] = _abandoned_result(*event)
        return {host: results.get(host) or _abandoned_result(host) for host in hosts}


def _crash_error(error: BaseException) -> ProvisionError:
    try:
        return crash.explain(error)
    except BaseException as another:  # noqa: BLE001 - no memory, no file left: the host has failed all the same
        return HostError(
            f"unexpected error: {type(error).__name__}",
            cause=f"a defect of this tool; explaining it raised {type(another).__name__}",
            hint="please report it",
        )


def _held_back_result(host: Host, canaries: Sequence[HostResult]) -> HostResult:
    names = ", ".join(f"{canary.host} ({canary.status})" for canary in canaries)
    error = NotStartedError(
        "not started",
        cause=f"failed first: {names}",
        hint="Fix that first, or run without --canary.",
    )
    return HostResult.of_error(host.name, error)


def _never_begun_error() -> StoppedError:
    return StoppedError("interrupted before anything was begun")


def not_begun_result(host: Host) -> HostResult:
    """The result of a host whose turn had not come when the run was interrupted."""
    error = StoppedError(
        "not started",
        cause="the run was interrupted before anything was begun here",
        hint="Run it again.",
    )
    return HostResult.of_error(host.name, error)


def _abandoned_result(host: Host, result: HostResult | None = None) -> HostResult:
    """The result of a host abandoned after a second Ctrl-C, with the steps reported so far.

    A result that is no broken connection is returned unchanged.
    """
    if result and not isinstance(result.error, ConnectionLostError):
        return result
    error = StoppedError(
        "abandoned: the run was interrupted twice",
        cause="the host finishes the step in progress and begins no other",
        hint="Run it again: finished steps are kept.",
    )
    abandoned = HostResult.of_error(host.name, error)
    return replace(result, status=abandoned.status, error=error) if result else abandoned
