"""Many hosts at once: a bounded number of workers, and a host that fails never spoils the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from provision.converge import guarded
from provision.result import HostResult
from provision.spec import Host
from provision.transport import Transport

Connect = Callable[[Host], Transport]
Work = Callable[[Transport, Host], HostResult]


@dataclass(kw_only=True)
class Fleet:
    """Runs `work` on hosts, `jobs` at a time. Results come in the order of the hosts."""

    connect: Connect
    work: Work
    jobs: int
    _open: dict[str, Transport] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def run(self, hosts: Sequence[Host]) -> tuple[HostResult, ...]:
        """Every host's result. Ctrl-C lets hosts finish the step they are in and begins no other host."""
        with ThreadPoolExecutor(max_workers=max(1, min(self.jobs, len(hosts)))) as pool:
            futures = [pool.submit(self._one, host) for host in hosts]
            self._wait(futures)
        return tuple(future.result() for future in futures)

    def _wait(self, futures: Sequence[Future[HostResult]]) -> None:
        while True:
            try:
                wait(futures)
            except KeyboardInterrupt:
                if self._stopped:
                    raise
                self._stop()
            else:
                return

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            running = list(self._open.values())
        for transport in running:
            transport.stop()

    def _one(self, host: Host) -> HostResult:
        return guarded(host.name, lambda: self._visit(host))

    def _visit(self, host: Host) -> HostResult:
        transport = self.connect(host)
        with self._lock:
            if self._stopped:
                return HostResult(host=host.name, status="interrupted")
            self._open[host.name] = transport
        try:
            with transport:
                return self.work(transport, host)
        finally:
            with self._lock:
                del self._open[host.name]
