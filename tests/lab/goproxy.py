"""A Go proxy on loopback, which can send other bytes than the ones that were published.

The protocol: https://go.dev/ref/mod#goproxy-protocol. A module's checksum: golang.org/x/mod/sumdb/dirhash.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

MODULE = "github.com/moby/buildkit"

_PROGRAM = """package main

import (
	"os"

	"{module}/version"
)

func main() {{ os.Stdout.WriteString("{name} {module} " + version.Version + "\\n") }}
"""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One version of a module."""

    version: str
    files: Mapping[str, str]
    module: str = MODULE

    @property
    def zip(self) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, text in self._named.items():
                archive.writestr(zipfile.ZipInfo(name), text)
        return made.getvalue()

    @property
    def sums(self) -> str:
        """Both lines of go.sum."""
        mod = _hash({"go.mod": self.files["go.mod"]})
        return (
            f"{self.module} {self.version} {_hash(self._named)}\n{self.module} {self.version}/go.mod {mod}\n"
        )

    @property
    def _named(self) -> Mapping[str, str]:
        return {f"{self.module}@{self.version}/{name}": text for name, text in self.files.items()}


def small_buildkit(version: str = "v0.99.9", **changed: str) -> Published:
    """A BuildKit whose commands do nothing but say their version; `changed` files have another text."""
    files = {
        "go.mod": f"module {MODULE}\n\ngo 1.21\n",
        "version/version.go": 'package version\n\nvar Version = "v0.0.0+unknown"\n',
        **{
            f"cmd/{name}/main.go": _PROGRAM.format(name=name, module=MODULE)
            for name in ("buildctl", "buildkitd")
        },
    }
    return Published(version=version, files=files | changed)


def _hash(files: Mapping[str, str]) -> str:
    lines = (
        f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(files.items())
    )
    return f"h1:{base64.b64encode(hashlib.sha256(''.join(lines).encode()).digest()).decode()}"


@dataclass(kw_only=True)
class GoProxy:
    """`with GoProxy(published=(…,)) as proxy:` serves them at `proxy.url`.

    `upstream` answers what is not published here. `spoil` may change any answer: it gets path and body. `broken`
    are parts of paths whose transfer ends in the middle.
    """

    published: tuple[Published, ...] = ()
    upstream: str | None = None
    spoil: Callable[[str, bytes], bytes] = lambda _path, body: body
    broken: tuple[str, ...] = ()
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> bytes | None:
        """The body for a path, None for 404."""
        self.requests.append(path)
        body = self._own(path)
        if body is None and self.upstream:
            body = self._asked(f"{self.upstream}{path}")
        return None if body is None else self.spoil(path, body)

    def _own(self, path: str) -> bytes | None:
        for each in self.published:
            base = f"/{each.module}/@v/{each.version}"
            if path == f"{base}.info":
                return json.dumps({"Version": each.version, "Time": "2026-01-01T00:00:00Z"}).encode()
            if path == f"{base}.mod":
                return each.files["go.mod"].encode()
            if path == f"{base}.zip":
                return each.zip
        listed = [each.version for each in self.published if path == f"/{each.module}/@v/list"]
        return "\n".join(listed).encode() if listed else None

    @staticmethod
    def _asked(url: str) -> bytes | None:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the Go proxy of this machine
                return bytes(answer.read())
        except urllib.error.HTTPError:
            return None

    def __enter__(self) -> GoProxy:
        handler: Callable[..., BaseHTTPRequestHandler] = partial(_Handler, self)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, proxy: GoProxy, *arguments: object) -> None:
        self._proxy = proxy
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        body = self._proxy.answer(self.path)
        self.send_response(404 if body is None else 200)
        body = body or b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = any(part in self.path for part in self._proxy.broken)
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass
