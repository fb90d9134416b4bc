"""Endpoints over TLS, tried against a server of TLS on loopback with the certificates of a real authority."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from provision.builder import tls
from provision.builder.tls import Client, port_of, shake_hands
from provision.certificates.authority import Authority
from provision.certificates.pem import Issued
from provision.errors import HostError, UnreachableError
from provision.spec import Buildkit, Spec, Tls

OWN = Tls(cert="/c", key="/k", ca="/a", authority="own", names=("10.0.0.7",))


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    made = {name: Authority(folder=tmp_path_factory.mktemp(name)) for name in ("own", "other")}
    for each in made.values():
        each.make()
    return made


def write(folder: Path, authority: Authority, issued: Issued) -> Client:
    folder.mkdir()
    texts = (authority.servers, issued.certificate, issued.key.reveal())
    for name, text in zip(tls.FILES, texts, strict=True):
        (folder / name).write_text(text)
    return Client(folder=folder)


@contextmanager
def server(folder: Path, authority: Authority, issued: Issued) -> Iterator[int]:
    """Answers as an HTTP/2 server does whoever the authority knows."""
    files = write(folder, authority, issued).folder
    (files / "trusted.pem").write_text(authority.trusted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files / "trusted.pem")
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with (
                suppress(OSError),
                listening.accept()[0] as plain,
                context.wrap_socket(plain, True) as secured,
            ):
                secured.recv(100)
                secured.sendall(b"\0\0\0\4\0\0\0\0\0")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


Make = Callable[[dict[str, Authority]], Issued]
GOOD: Make = lambda known: known["own"].for_server("x", ("127.0.0.1",))  # noqa: E731


def test_whom_the_authority_knows_is_let_in(authorities: dict[str, Authority], tmp_path: Path) -> None:
    own = authorities["own"]
    issued = GOOD(authorities)
    client = write(tmp_path / "client", own, own.for_client("alice"))
    with server(tmp_path / "server", own, issued) as port:
        assert (
            shake_hands("x", f"tcp://127.0.0.1:{port}", client.options).split() == issued.certificate.split()
        )


@pytest.mark.parametrize(
    ("serving", "showing", "words"),
    [
        (GOOD, lambda known: known["other"].for_client("eve"), "lets this machine's certificate not in"),
        (GOOD, lambda known: known["own"].for_client("old", days=-0.02), "this machine's certificate has expired"),
        (lambda known: known["own"].for_server("x", ("pi1",)), None, "is for other names"),
        (lambda known: known["own"].for_server("x", ("127.0.0.1",), days=-0.02), None, "daemon's certificate has"),
        (lambda known: known["other"].for_server("x", ("127.0.0.1",)), None, "is of another authority"),
    ],
    ids=["foreign", "expired", "names", "server-expired", "server-foreign"],
)  # fmt: skip
def test_who_is_not_let_in_hears_why(
    authorities: dict[str, Authority], tmp_path: Path, serving: Make, showing: Make | None, words: str
) -> None:
    own = authorities["own"]
    shown = showing(authorities) if showing else own.for_client("alice")
    client = write(tmp_path / "client", own, shown)
    with (
        server(tmp_path / "server", own, serving(authorities)) as port,
        pytest.raises(HostError, match=words) as error,
    ):
        shake_hands("x", f"tcp://127.0.0.1:{port}", client.options)
    assert error.value.hint


def test_nobody_answers(authorities: dict[str, Authority], tmp_path: Path) -> None:
    client = write(tmp_path / "client", authorities["own"], authorities["own"].for_client("alice"))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(UnreachableError, match="nobody answers"):
        shake_hands("x", f"tcp://127.0.0.1:{port}", client.options)


@pytest.mark.parametrize(
    ("listen", "own", "port"),
    [
        (("tcp://0.0.0.0:1234",), OWN, 1234),
        (("tcp://127.0.0.1:1", "tcp://[fe80::1]:2"), OWN, 2),
        (("tcp://127.0.0.1:1",), OWN, None),
        (("tcp://127.0.0.1:1",), replace(OWN, names=("127.0.0.1",)), 1),
        (("tcp://0.0.0.0:1234",), replace(OWN, authority="files"), None),
        (("tcp://0.0.0.0:1234",), None, None),
        ((), OWN, None),
    ],
)
def test_where_a_host_listens_for_others(listen: tuple[str, ...], own: Tls | None, port: int | None) -> None:
    assert port_of(Spec(buildkit=Buildkit(listen=listen, tls=own))) == port
