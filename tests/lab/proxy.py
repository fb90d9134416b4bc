"""A TCP proxy on loopback: a slow, counted, cuttable line to a server.

A turn is a change of direction, back to the client's: what a client that waits for answers pays in round
trips.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

Way = Literal["up", "down"]
_Late = queue.SimpleQueue[tuple[float, bytes]]
"""What has come, and when it is due."""


@dataclass(kw_only=True)
class Line:
    """What happened on the line so far, all its connections together."""

    connections: int = 0
    turns: int = 0
    bytes: dict[Way, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    last: Way = "down"


class Proxy:
    """`with Proxy(port, delay=0.025) as line:` listens on `line.port`. `delay` is seconds, each way.

    `cut_after` ends the connection once that many bytes went up; `cut()` ends it now; `stall()` swallows
    all that comes from now on, with the connection open.
    """

    def __init__(self, target: int, *, delay: float = 0.0, cut_after: int | None = None) -> None:
        self.line = Line()
        self._target = target
        self._delay = delay
        self._cut_after = cut_after
        self._stalled = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Proxy:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """Ends every connection, both ways, at once."""
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._sockets.clear()

    def stall(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        self._stalled.set()

    def _run(self, work: object, *args: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for each in (near, far):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets += [near, far]
                    self.line.connections += 1
                self._pump("up", near, far)
                self._pump("down", far, near)

    def _pump(self, way: Way, source: socket.socket, target: socket.socket) -> None:
        waiting: _Late = queue.SimpleQueue()
        self._run(self._read, way, source, waiting)
        self._run(self._write, waiting, target)

    def _read(self, way: Way, source: socket.socket, waiting: _Late) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            if data:
                self._count(way, len(data))
            if not data or not self._stalled.is_set():
                waiting.put((time.monotonic() + self._delay, data))

    def _count(self, way: Way, size: int) -> None:
        with self._lock:
            if way == "up" and self.line.last == "down":
                self.line.turns += 1
            self.line.last = way
            self.line.bytes[way] += size
            over = self._cut_after is not None and self.line.bytes["up"] > self._cut_after
        if over:
            self.cut()

    def _write(self, waiting: _Late, target: socket.socket) -> None:
        with suppress(OSError):
            while True:
                due, data = waiting.get()
                time.sleep(max(due - time.monotonic(), 0))
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
