"""A registry that misbehaves: the client ends with words that help, and sends no login where none belongs."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.errors import ConfigError, ProvisionError
from provision.registry import client as clients
from provision.registry.auth import challenges
from provision.registry.client import Client
from provision.registry.credentials import Credentials
from provision.registry.errors import (
    AbsentError,
    RegistryError,
    RegistryLoginError,
    RegistrySilentError,
)
from provision.registry.web import Web
from provision.spec import Registry
from tests.lab.authority import make
from tests.lab.listeners import listener

LOGIN = Credentials(user="me", password="pw", source="a file")
DIGEST = f"sha256:{'0' * 64}"


class Request(BaseHTTPRequestHandler):
    """One request; a test's function answers it."""

    protocol_version = "HTTP/1.1"
    answer: Callable[[Request], None]
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        type(self).answer(self)

    def say(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(
    answer: Callable[[Request], None], *, tls: tuple[Path, Path] | None = None
) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Address and requests of a server whose every answer is the function's."""
    seen: list[tuple[str, str | None]] = []
    handler = type("Handler", (Request,), {"answer": answer, "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def client(
    address: str, credentials: Credentials | None = None, registries: Mapping[str, Registry] | None = None
) -> Client:
    return Client(web(address, registries), "app", credentials)


OPEN: list[Web] = []


def web(address: str, registries: Mapping[str, Registry] | None = None) -> Web:
    OPEN.append(Web(address, registries or {}, connect_timeout=5))
    return OPEN[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def failure(address: str, credentials: Credentials | None = None) -> ProvisionError:
    with pytest.raises(ProvisionError) as caught:
        client(address, credentials).manifest("1")
    assert caught.value.hint or caught.value.fix
    return caught.value


def test_a_manifest_with_its_type() -> None:
    with serving(lambda r: r.say(200, b"{}", Content_Type="application/x; charset=utf-8")) as (
        address,
        seen,
    ):
        found = client(address).manifest("1")
    assert (found.data, found.media_type) == (b"{}", "application/x")
    assert seen == [("/v2/app/manifests/1", None)]


def test_there_is_no_such_image() -> None:
    body = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
    with serving(lambda r: r.say(404, body)) as (address, _):
        error = failure(address)
    assert isinstance(error, AbsentError)
    assert error.message == f"there is no {address}/app:1"
    assert error.cause == "it answered 404: manifest unknown"


@pytest.mark.parametrize(
    "body", [b"<html>", b"[" * 3000, b"{}", b'{"errors": 3}', b'{"errors": [3]}', b"\xff"]
)
def test_errors_that_are_none(body: bytes) -> None:
    with serving(lambda r: r.say(500, body)) as (address, _):
        assert failure(address).cause.startswith("it answered 500")


def test_a_login_is_wanted_or_refused() -> None:
    with serving(lambda r: r.say(401, WWW_Authenticate='Basic realm="x"')) as (address, seen):
        assert failure(address).message == f"{address} wants a login"
        error = failure(address, LOGIN)
    assert isinstance(error, RegistryLoginError)
    assert (error.message, error.cause) == (f"{address} refuses the login", "it comes from a file")
    assert [each for _, each in seen] == [None, None, "Basic bWU6cHc="]


def test_a_login_that_may_not_read() -> None:
    with serving(lambda r: r.say(403)) as (address, _):
        assert failure(address, LOGIN).message == f"{address} does not let me read app"
        assert "without a login" in failure(address).message


def test_a_login_of_an_unknown_kind() -> None:
    with serving(lambda r: r.say(401, WWW_Authenticate="Negotiate")) as (address, _):
        assert failure(address, LOGIN).cause == "negotiate"


def test_a_token_of_the_configuration_is_shown_as_it_is() -> None:
    def answer(request: Request) -> None:
        known = request.headers.get("Authorization") == "Bearer abc"
        request.say(200 if known else 401, b"{}", WWW_Authenticate='Bearer realm="http://127.0.0.1:1/"')

    with serving(answer) as (address, _):
        client(address, Credentials(bearer_token="abc")).manifest("1")


def test_a_token_service_that_is_no_address() -> None:
    with (
        serving(lambda r: r.say(401, WWW_Authenticate='Bearer realm="file:///etc/passwd"')) as (address, _),
        pytest.raises(RegistryError, match="names no token service"),
    ):
        client(address).manifest("1")


def test_a_login_is_not_sent_to_a_token_service_without_tls(tmp_path: Path) -> None:
    authority, own = make(tmp_path)
    challenge = 'Bearer realm="http://127.0.0.1:1/token",service="s"'
    tls = (own.certificate, own.key)
    with serving(lambda r: r.say(401, WWW_Authenticate=challenge), tls=tls) as (address, _):
        trusted = {address: Registry(ca=(str(authority),))}
        with pytest.raises(RegistryLoginError, match="without TLS, which is refused"):
            client(address, LOGIN, trusted).manifest("1")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a \\"b\\", c"', [("basic", {"realm": 'a "b", c'})]),
        (
            'Bearer realm="https://a/t",service="s s",scope="repository:a:pull,push"',
            [("bearer", {"realm": "https://a/t", "service": "s s", "scope": "repository:a:pull,push"})],
        ),
        ("BASIC realm=x, Bearer realm=y", [("basic", {"realm": "x"}), ("bearer", {"realm": "y"})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("", []),
        ("=", []),
    ],
)
def test_challenges(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(each.scheme, each.parameters) for each in challenges(header)] == expected


def test_a_store_elsewhere_gets_no_login() -> None:
    with serving(lambda r: r.say(200, b"blob")) as (store, at_store):

        def answer(request: Request) -> None:
            if request.headers.get("Authorization") is None:
                request.say(401, WWW_Authenticate="Basic")
            elif request.path.endswith("/local"):
                request.say(307, Location=f"http://{store}/signed?secret=1")
            else:
                request.say(307, Location="/v2/local")

        with serving(answer) as (address, seen):
            assert client(address, LOGIN).blob(DIGEST).read(100) == b"blob"
    assert at_store == [("/signed?secret=1", None)]
    assert seen[-1] == ("/v2/local", "Basic bWU6cHc=")


def test_redirects_without_end_and_out_of_tls(tmp_path: Path) -> None:
    with serving(lambda r: r.say(302, Location=r.path)) as (address, _):
        assert "redirects without end" in failure(address).message
    authority, own = make(tmp_path)
    plain = "http://127.0.0.1:1/x?signature=secret"
    with (
        serving(lambda r: r.say(302, Location=plain), tls=(own.certificate, own.key)) as (address, _),
        pytest.raises(RegistryError, match="which is refused") as caught,
    ):
        client(address, None, {address: Registry(ca=(str(authority),))}).manifest("1")
    assert "secret" not in caught.value.message


def test_a_busy_registry_is_asked_again(no_waiting: list[float]) -> None:
    answers = iter([503, 429, 200])
    with serving(lambda r: r.say(next(answers), b"{}", Retry_After="3")) as (address, _):
        assert client(address).manifest("1").data == b"{}"
    assert no_waiting == [3.0, 3.0]


def test_a_registry_that_stays_busy(no_waiting: list[float]) -> None:
    with serving(lambda r: r.say(429, Retry_After="86400")) as (address, seen):
        assert "too many requests" in failure(address).message
    assert no_waiting == [10.0, 10.0]
    assert len(seen) == 3


def test_a_manifest_without_end() -> None:
    with (
        serving(lambda r: r.say(200, bytes(clients.LARGEST_MANIFEST + 1))) as (address, _),
        pytest.raises(RegistryError, match="does not end"),
    ):
        client(address).manifest("1")


DATA = bytes(range(256)) * 1000


def test_a_broken_transfer_goes_on_where_it_broke() -> None:
    def answer(request: Request) -> None:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        part = DATA[start : start + 100_000]
        request.say(206 if start else 200, part, length=len(DATA) - start)
        request.close_connection = True

    with serving(answer) as (address, seen):
        blob = client(address).blob(DIGEST)
        assert b"".join(iter(lambda: blob.read(4096), b"")) == DATA
    assert len(seen) == 3


def test_a_broken_transfer_of_a_server_that_begins_anew() -> None:
    def answer(request: Request) -> None:
        request.say(200, DATA if "Range" in request.headers else DATA[:70_000], length=len(DATA))
        request.close_connection = True

    with serving(answer) as (address, _):
        blob = client(address).blob(DIGEST)
        assert b"".join(iter(lambda: blob.read(4096), b"")) == DATA


def test_a_transfer_that_breaks_every_time() -> None:
    def answer(request: Request) -> None:
        request.say(206, b"", length=10)
        request.close_connection = True

    with serving(answer) as (address, seen):
        blob = client(address).blob(DIGEST)
        with pytest.raises(RegistrySilentError, match="broke the connection"):
            blob.read(10)
    assert len(seen) == 1 + clients.RESUMES


def test_a_server_that_announced_more_than_it_has() -> None:
    def answer(request: Request) -> None:
        if "Range" in request.headers:
            return request.say(416)
        request.say(200, b"short", length=10)
        request.close_connection = True
        return None

    with serving(answer) as (address, _):
        blob = client(address).blob(DIGEST)
        assert b"".join(iter(lambda: blob.read(10), b"")) == b"short"


def test_nobody_is_there() -> None:
    error = failure("127.0.0.1:1")
    assert isinstance(error, RegistrySilentError)
    assert (error.message, error.exit_code) == ("127.0.0.1:1 does not answer", 4)


def test_somebody_who_hangs_up() -> None:
    with listener(b"") as port:
        assert isinstance(failure(f"127.0.0.1:{port}"), RegistrySilentError)


def test_plain_http_where_tls_is_expected() -> None:
    with serving(lambda r: r.say(200)) as (address, _), pytest.raises(RegistrySilentError) as caught:
        client(address, None, {address: Registry(insecure=True)}).manifest("1")
    assert f'http = true under [registry."{address}"]' in caught.value.hint


def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    _, own = make(tmp_path)
    other, _ = make(tmp_path / "other")
    gone = str(tmp_path / "gone.pem")
    with serving(lambda r: r.say(200, b"{}"), tls=(own.certificate, own.key)) as (address, _):
        trusted = Registry(ca=(str(other), gone))
        with pytest.raises(RegistrySilentError, match="is not trusted") as caught:
            client(address, None, {address: trusted}).manifest("1")
        assert f"{gone} of its ca is not on this machine" in caught.value.cause
        client(address, None, {address: Registry(insecure=True)}).manifest("1")


def test_an_expired_certificate(tmp_path: Path) -> None:
    authority, own = make(tmp_path, days=-1)
    with (
        serving(lambda r: r.say(200, b"{}"), tls=(own.certificate, own.key)) as (address, _),
        pytest.raises(RegistrySilentError) as caught,
    ):
        client(address, None, {address: Registry(ca=(str(authority),))}).manifest("1")
    assert "expired" in caught.value.cause


def test_an_authority_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="holds no authority"):
        client("registry.example", None, {"registry.example": Registry(ca=(str(tmp_path / "ca.pem"),))})


def test_a_proxy_of_the_environment_with_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str | None] = []

    def answer(request: Request) -> None:
        lines.append(request.headers.get("Proxy-Authorization"))
        request.say(200, b"{}")

    with serving(answer) as (proxy, seen):
        monkeypatch.setenv("http_proxy", f"http://us%40er:p%3Aw@{proxy}")
        monkeypatch.setenv("no_proxy", "inside.example")
        far = web("registry.example", {"registry.example": Registry(http=True)})
        assert Client(far, "app", None).manifest("1").data == b"{}"
    assert seen == [("http://registry.example/v2/app/manifests/1", None)]
    assert lines == ["Basic dXNAZXI6cDp3"]


def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(lambda r: r.say(200, b"{}")) as (address, _):
        client(address).manifest("1")


def test_a_mirror_is_told_whose_image_it_is() -> None:
    with serving(lambda r: r.say(200, b"{}")) as (address, seen):
        Client(web(address), "library/debian", None, mirrored="docker.io").manifest("12")
    assert seen == [("/v2/library/debian/manifests/12?ns=docker.io", None)]


def test_one_connection_serves_all_requests() -> None:
    ports = set()

    def answer(request: Request) -> None:
        ports.add(request.client_address[1])
        known = "Authorization" in request.headers
        request.say(200 if known else 401, b"{}", WWW_Authenticate="Basic")

    with serving(answer) as (address, _):
        one = client(address, LOGIN)
        for _ in range(3):
            one.manifest("1")
    assert len(ports) == 1
