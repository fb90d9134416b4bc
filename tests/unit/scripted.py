"""A web server on loopback that answers as a test says: redirects, refusals, lies."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, kw_only=True)
class Reply:
    """`length` is what Content-Length says, None for the truth; a body shorter than that is a cut link."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: `target` is the request line's, a whole URL where we are somebody's proxy."""

    target: str
    headers: Mapping[str, str]


class Server:
    """What a test sees of the server; `asked` fills as requests arrive."""

    def __init__(self, url: str, asked: list[Asked]) -> None:
        self.url = url
        self.asked = asked


@contextmanager
def serve(answer: Callable[[Asked], Reply], *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    asked: list[Asked] = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, answer, asked))
    if tls is not None:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Server(f"{'https' if tls else 'http'}://127.0.0.1:{httpd.server_port}", asked)
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, answer: Callable[[Asked], Reply], asked: list[Asked], *arguments: object) -> None:
        self._reply = answer
        self._asked = asked
        super().__init__(*arguments)  # type: ignore[arg-type]  # what socketserver hands over

    def do_GET(self) -> None:
        asked = Asked(target=self.path, headers=dict(self.headers.items()))
        self._asked.append(asked)
        reply = self._reply(asked)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        length = len(reply.body) if reply.length is None else reply.length
        self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            self.wfile.write(reply.body)
        except ConnectionError:
            self.close_connection = True
