"""Servers on loopback that are no SSH server, each in its own way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


@contextmanager
def listener(first: bytes | None) -> Iterator[int]:
    """A port that says `first` to whoever connects and waits; None: says nothing; b"": hangs up."""
    kept: list[socket.socket] = []

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = server.accept()
                if first is not None:
                    peer.sendall(first)
                if first == b"":
                    peer.close()
                else:
                    kept.append(peer)

    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for each in kept:
                each.close()


@contextmanager
def full() -> Iterator[int]:
    """A port whose connections are never made: its queue is full, as if packets were dropped."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield server.getsockname()[1]


@contextmanager
def deaf_agent(path: str) -> Iterator[None]:
    """A socket like an agent's that takes requests and answers none."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(8)
        yield
