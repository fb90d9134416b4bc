"""A release mirror on loopback that can be made to misbehave the ways real ones do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit


@dataclass(kw_only=True)
class Faults:
    """What goes wrong.

    `cut_after`: the link breaks once after N bytes; `at_cut` is called before that.
    `truncate`: every file ends after N bytes and says so. `corrupt`: one byte in the middle is another.
    `ranges`: whether a part can be asked for. `missing`: names answered with 404.
    """

    cut_after: int | None = None
    at_cut: Callable[[], None] = lambda: None
    truncate: int | None = None
    corrupt: bool = False
    ranges: bool = True
    missing: set[str] = field(default_factory=set)

    def spoil(self, content: bytes) -> bytes:
        content = content if self.truncate is None else content[: self.truncate]
        if not self.corrupt or not content:
            return content
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it arrived, and the bytes of body it was given."""

    method: str
    path: str
    range: str | None
    sent: int


class Mirror:
    """Serves `folder` over HTTP. `latest` is the version that `/latest` redirects to, as GitHub's does."""

    def __init__(self, folder: Path, *, latest: str | None = None) -> None:
        self.folder = folder
        self.latest = latest
        self.faults = Faults()
        self.requests: list[Request] = []
        handler: Callable[..., BaseHTTPRequestHandler] = partial(_Handler, self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def count(self, end: str = "", *, method: str = "GET") -> int:
        """How many requests of `method` were for a path that ends so."""
        return sum(1 for one in self.requests if one.method == method and one.path.endswith(end))

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, mirror: Mirror, *arguments: object) -> None:
        self._mirror = mirror
        super().__init__(*arguments)  # type: ignore[arg-type]  # what socketserver hands over

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Not on stderr: `Mirror.requests` is the log."""

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        name = path.rsplit("/", 1)[-1]
        file = (self._mirror.folder / path.lstrip("/")).resolve()
        if name == "latest" and self._mirror.latest:
            self._empty(HTTPStatus.FOUND, Location=f"{self._mirror.url}/tag/{self._mirror.latest}")
        elif (
            not file.is_relative_to(self._mirror.folder.resolve())
            or not file.is_file()
            or name in self._mirror.faults.missing
        ):
            self._empty(HTTPStatus.NOT_FOUND)
        else:
            self._send(self._mirror.faults.spoil(file.read_bytes()), body=body)

    def _empty(self, status: HTTPStatus, **headers: str) -> None:
        self._note(0)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes, *, body: bool) -> None:
        faults, total, start = self._mirror.faults, len(content), 0
        asked = self.headers.get("Range", "")
        # Only the form that resuming clients send: "bytes=N-".
        if faults.ranges and asked.startswith("bytes=") and asked.endswith("-"):
            start = int(asked.removeprefix("bytes=")[:-1])
            if start >= total:
                self._empty(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, Content_Range=f"bytes */{total}")
                return
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(total - start))
        if faults.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self._body(content[start:] if body else b"")

    def _body(self, content: bytes) -> None:
        faults, cut = self._mirror.faults, False
        if faults.cut_after is not None and content:
            content, faults.cut_after = content[: faults.cut_after], None
            self.close_connection = cut = True
        self._note(len(content))
        try:
            self.wfile.write(content)
            if cut:
                self.wfile.flush()
                faults.at_cut()
        except ConnectionError:
            # The client went away: the tests of interrupted downloads do that.
            self.close_connection = True

    def _note(self, sent: int) -> None:
        asked = self.headers.get("Range")
        request = Request(method=self.command, path=self.path, range=asked, sent=sent)
        self._mirror.requests.append(request)
