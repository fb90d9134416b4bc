"""Downloads over a real link that is cut, lies, or is somebody else's."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import os
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provision.buildkit import download as module
from provision.buildkit.asset import EMPTY_FILE
from provision.buildkit.digest import Digest, pinned
from provision.buildkit.download import download
from provision.errors import ChecksumError, ReleaseError
from tests.lab.mirror import Mirror
from tests.unit.scripted import Asked, Reply, serve

CONTENT = b"\x1f\x8b" + os.urandom(3_000_000)
SUM = hashlib.sha256(CONTENT).hexdigest()
DIGEST = Digest(value=SUM, source="pinned")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "asset").write_bytes(CONTENT)
    with Mirror(tmp_path / "mirror") as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def get(mirror: Mirror, cache: Path, digest: Digest = DIGEST) -> Path:
    return download(f"{mirror.url}/asset", digest, cache, pause=0)


def refused(url: str, cache: Path) -> ReleaseError:
    with pytest.raises(ReleaseError) as caught:
        download(url, DIGEST, cache, pause=0)
    return caught.value


def ranges(mirror: Mirror) -> list[str | None]:
    return [request.range for request in mirror.requests]


def kept(cache: Path) -> list[str]:
    """What is in the cache, the lock aside: it is empty and stays."""
    return sorted(path.name.replace(SUM, "SUM") for path in cache.iterdir() if path.suffix != ".lock")


def test_fetched_once_and_used_again(mirror: Mirror, cache: Path) -> None:
    path = get(mirror, cache)
    assert path == cache / SUM
    assert path.read_bytes() == CONTENT
    assert kept(cache) == ["SUM"]
    assert get(mirror, cache) == path
    assert mirror.count("asset") == 1


def test_a_cached_file_is_not_trusted(mirror: Mirror, cache: Path) -> None:
    path = get(mirror, cache)
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert get(mirror, cache).read_bytes() == CONTENT
    assert mirror.count("asset") == 2


def test_progress(mirror: Mirror, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(f"{mirror.url}/asset", DIGEST, cache, lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_cut_is_resumed_where_it_was(mirror: Mirror, cache: Path) -> None:
    mirror.faults.cut_after = 1_000_000
    assert get(mirror, cache).read_bytes() == CONTENT
    assert ranges(mirror) == [None, "bytes=1000000-"]


def test_two_cuts_are_told_and_the_next_run_goes_on(mirror: Mirror, cache: Path) -> None:
    class Again:
        """Cuts each of the first two transfers."""

        left = 2

    whole = mirror.faults.spoil

    def spoil(content: bytes) -> bytes:
        if Again.left:
            Again.left -= 1
            mirror.faults.cut_after = 700_000
        return whole(content)

    mirror.faults.spoil = spoil  # type: ignore[method-assign]
    with pytest.raises(ReleaseError, match="cut") as caught:
        get(mirror, cache)
    assert "1400000 bytes are kept" in caught.value.hint
    assert kept(cache) == ["SUM.part"]
    assert get(mirror, cache).read_bytes() == CONTENT
    assert ranges(mirror) == [None, "bytes=700000-", "bytes=1400000-"]
    assert kept(cache) == ["SUM"]


def test_a_server_that_cannot_resume(mirror: Mirror, cache: Path) -> None:
    mirror.faults.ranges = False
    mirror.faults.cut_after = 1_000_000
    assert get(mirror, cache).read_bytes() == CONTENT


def test_a_part_that_is_whole_already(mirror: Mirror, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{SUM}.part").write_bytes(CONTENT)
    assert get(mirror, cache).read_bytes() == CONTENT
    assert mirror.requests == []


@pytest.mark.parametrize("part", [b"<html>" * 100, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_part_of_something_else_is_thrown_away(mirror: Mirror, cache: Path, part: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / f"{SUM}.part").write_bytes(part)
    assert get(mirror, cache).read_bytes() == CONTENT
    assert kept(cache) == ["SUM"]


def test_from_a_folder_too(mirror: Mirror, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{SUM}.part").write_bytes(CONTENT[:1000])
    assert download(str(mirror.folder / "asset"), DIGEST, cache).read_bytes() == CONTENT


def test_what_is_wrong_is_not_kept(mirror: Mirror, cache: Path) -> None:
    mirror.faults.corrupt = True
    with pytest.raises(ChecksumError, match=SUM) as caught:
        get(mirror, cache)
    assert hashlib.sha256(mirror.faults.spoil(CONTENT)).hexdigest() in caught.value.message
    assert "tampered" in caught.value.cause
    assert kept(cache) == []
    assert mirror.count("asset") == 1, "a wrong file is not a cut"


def test_truncated_at_the_source(mirror: Mirror, cache: Path) -> None:
    mirror.faults.truncate = 1000
    with pytest.raises(ChecksumError) as caught:
        get(mirror, cache)
    assert kept(cache) == []
    assert "cut short" in caught.value.cause


@pytest.mark.parametrize(("body", "words"), [(b"", "empty"), (b"<html>Log in</html>", "login")])
def test_the_likely_cause(cache: Path, body: bytes, words: str) -> None:
    with serve(lambda _: Reply(body=body)) as server, pytest.raises(ChecksumError) as caught:
        download(f"{server.url}/asset", DIGEST, cache, pause=0)
    assert words in caught.value.cause
    assert kept(cache) == []


def test_a_digest_of_another_version_is_named(mirror: Mirror, cache: Path) -> None:
    name = "buildkit-v0.31.0.linux-amd64.tar.gz"
    with pytest.raises(ChecksumError) as caught:
        get(mirror, cache, Digest(value=pinned()[name], source="user"))
    assert f"the digest you gave is that of {name}" in caught.value.cause


def test_the_empty_digest_is_never_accepted(cache: Path) -> None:
    with serve(lambda _: Reply()) as server:
        with pytest.raises(ChecksumError, match="empty file"):
            download(f"{server.url}/asset", Digest(value=EMPTY_FILE, source="user"), cache)
        assert server.asked == []


def test_a_file_without_end_does_not_fill_the_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1_000_000)
    with (
        serve(lambda _: Reply(body=CONTENT, length=1 << 40)) as server,
        pytest.raises(ChecksumError, match="does not end"),
    ):
        download(f"{server.url}/asset", DIGEST, cache, pause=0)
    assert kept(cache) == []


def test_a_busy_server_is_asked_once_more(cache: Path) -> None:
    replies = iter([Reply(status=503), Reply(body=CONTENT)])
    with serve(lambda _: next(replies)) as server:
        assert download(f"{server.url}/asset", DIGEST, cache, pause=0).read_bytes() == CONTENT


def test_a_dead_port(cache: Path) -> None:
    with serve(lambda _: Reply()) as server:
        pass
    error = refused(f"{server.url}/asset", cache)
    assert "does not answer" in error.message
    assert "refused" in error.cause
    assert "https_proxy" in error.hint


@pytest.mark.parametrize(("status", "words"), [(401, "wants a login"), (403, "forbids"), (418, "418")])
def test_refusals_are_not_repeated(cache: Path, status: int, words: str) -> None:
    with serve(lambda _: Reply(status=status)) as server:
        error = refused(f"{server.url}/asset", cache)
    assert "is not available" in error.message
    assert words in error.cause
    assert len(server.asked) == 1


def test_another_part_than_was_asked_for(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{SUM}.part").write_bytes(CONTENT[:1000])
    lie = Reply(status=206, headers={"Content-Range": f"bytes 5-9/{len(CONTENT)}"}, body=b"12345")
    with serve(lambda _: lie) as server, pytest.raises(ReleaseError, match="another part"):
        download(f"{server.url}/asset", DIGEST, cache, pause=0)


def test_many_hosts_one_transfer(mirror: Mirror, cache: Path) -> None:
    together = threading.Barrier(8)

    def one(_: int) -> Path:
        together.wait()
        return get(mirror, cache)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(8))) == {cache / SUM}
    assert mirror.count("asset") == 1


def test_a_cache_that_cannot_be_written(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReleaseError, match="cannot use"):
        get(mirror, tmp_path / "file" / "cache")


class TestRedirects:
    def test_followed_with_the_range(self, mirror: Mirror, cache: Path) -> None:
        mirror.faults.cut_after = 1_000_000
        to = Reply(status=302, headers={"Location": f"{mirror.url}/asset"})
        with serve(lambda _: to) as server:
            assert download(f"{server.url}/x", DIGEST, cache, pause=0).read_bytes() == CONTENT
        assert ranges(mirror) == [None, "bytes=1000000-"]

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_each_kind_is_followed(self, cache: Path, status: int) -> None:
        def answer(asked: Asked) -> Reply:
            return (
                Reply(body=CONTENT)
                if asked.target == "/y"
                else Reply(status=status, headers={"Location": "y"})
            )

        with serve(answer) as server:
            assert download(f"{server.url}/x", DIGEST, cache, pause=0).read_bytes() == CONTENT
        assert [asked.target for asked in server.asked] == ["/x", "/y"]

    @pytest.mark.parametrize("next_one", ["/x", "further"], ids=["to itself", "further and further"])
    def test_without_end(self, cache: Path, next_one: str) -> None:
        def answer(asked: Asked) -> Reply:
            to = next_one if next_one == "/x" else f"{asked.target}x"
            return Reply(status=301, headers={"Location": to})

        with serve(answer) as server, pytest.raises(ReleaseError, match="without end"):
            download(f"{server.url}/x", DIGEST, cache, pause=0)
        assert len(server.asked) == 5

    def test_the_page_of_a_redirect_is_not_read(self, cache: Path) -> None:
        """Urllib's own handler reads it whole, and this one would be waited for until the time is up."""
        hops = {"/x": Reply(status=302, headers={"Location": "/y"}, body=b"moved", length=1 << 40)}
        with serve(lambda asked: hops.get(asked.target, Reply(body=CONTENT))) as server:
            assert download(f"{server.url}/x", DIGEST, cache, pause=0).read_bytes() == CONTENT

    @pytest.mark.parametrize("to", ["http://[::1", "http://a:b/", "http://a..b/"])
    def test_to_what_is_no_address(self, cache: Path, to: str) -> None:
        with serve(lambda _: Reply(status=302, headers={"Location": to})) as server:
            error = refused(f"{server.url}/x", cache)
        assert "/x redirects to what is no address" in error.message
        assert error.cause

    def test_to_nowhere(self, cache: Path) -> None:
        with serve(lambda _: Reply(status=302)) as server:
            error = refused(f"{server.url}/x", cache)
        assert "does not say where" in error.message
        assert len(server.asked) == 1

    def test_not_to_a_file_of_this_machine(self, cache: Path) -> None:
        with (
            serve(lambda _: Reply(status=302, headers={"Location": "file:///etc/passwd"})) as server,
            pytest.raises(ReleaseError, match="refused"),
        ):
            download(f"{server.url}/x", DIGEST, cache, pause=0)

    def test_a_login_goes_to_its_own_host_alone(self, cache: Path) -> None:
        with serve(lambda _: Reply(body=CONTENT)) as other:
            hops = {"/x": "/y", "/y": f"{other.url}/z"}
            with serve(lambda asked: Reply(status=307, headers={"Location": hops[asked.target]})) as server:
                url = server.url.replace("://", "://me:p%40ss@")
                download(f"{url}/x", DIGEST, cache, pause=0)
        login = "Basic " + base64.b64encode(b"me:p@ss").decode()
        assert [asked.headers.get("Authorization") for asked in server.asked] == [login, login]
        assert other.asked[0].headers.get("Authorization") is None

    def test_a_login_goes_home_again(self, cache: Path) -> None:
        homes: list[str] = []
        with serve(lambda _: Reply(status=302, headers={"Location": f"{homes[0]}/z"})) as other:
            hops = {"/x": Reply(status=302, headers={"Location": f"{other.url}/y"})}
            with serve(lambda asked: hops.get(asked.target, Reply(body=CONTENT))) as server:
                homes.append(server.url)
                download(f"{server.url.replace('://', '://me:pw@')}/x", DIGEST, cache, pause=0)
        assert ["Authorization" in asked.headers for asked in server.asked] == [True, True]
        assert "Authorization" not in other.asked[0].headers

    def test_a_login_in_the_redirect_itself_is_not_taken_for_a_host(self, cache: Path) -> None:
        with serve(lambda _: Reply(body=CONTENT)) as other:
            to = f"{other.url.replace('://', '://you:secret@')}/y"
            with serve(lambda _: Reply(status=302, headers={"Location": to})) as server:
                download(f"{server.url}/x", DIGEST, cache, pause=0)
        assert "Authorization" not in other.asked[0].headers

    def test_a_login_is_in_no_message(self, cache: Path) -> None:
        for reply in (Reply(status=404), Reply(status=500), Reply(body=b"wrong"), Reply(status=302)):
            with serve(lambda _, reply=reply: reply) as server:  # type: ignore[misc]
                url = server.url.replace("://", "://me:secret@")
                error = refused(f"{url}/x", cache)
            assert "secret" not in f"{error.message} {error.cause} {error.hint}"


class TestProxy:
    def test_the_environments(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with serve(lambda _: Reply(body=CONTENT)) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            download("http://mirror.invalid/x", DIGEST, cache, pause=0)
        assert proxy.asked[0].target == "http://mirror.invalid/x"

    def test_no_proxy(self, mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert get(mirror, cache).read_bytes() == CONTENT

    def test_its_login_stays_there(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Urllib would send it to whom a redirect leads to, past the proxy."""
        with serve(lambda _: Reply(body=CONTENT)) as other:
            to = Reply(status=302, headers={"Location": f"{other.url}/asset"})
            with serve(lambda _: to) as proxy:
                monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://me:secret@"))
                monkeypatch.setenv("no_proxy", "127.0.0.1")
                download("http://mirror.invalid/x", DIGEST, cache, pause=0)
        assert "Proxy-Authorization" in {name.title() for name in proxy.asked[0].headers}
        assert "Proxy-Authorization" not in {name.title() for name in other.asked[0].headers}


class TestTls:
    def test_verified(self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server_side, authority = self._certificate(tmp_path)
        with serve(lambda _: Reply(body=CONTENT), tls=server_side) as server:
            error = refused(f"{server.url}/x", cache)
            assert "is not trusted" in error.message
            assert "SSL_CERT_FILE" in error.hint
            monkeypatch.setenv("SSL_CERT_FILE", str(authority))
            assert download(f"{server.url}/x", DIGEST, cache, pause=0).read_bytes() == CONTENT

    def test_a_redirect_may_not_leave_it(
        self, tmp_path: Path, cache: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server_side, authority = self._certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        away = Reply(status=302, headers={"Location": f"{mirror.url}/asset"})
        with serve(lambda _: away, tls=server_side) as server:
            error = refused(f"{server.url}/x", cache)
        assert "refused" in error.message
        assert "leave TLS" in error.cause
        assert mirror.requests == []

    def _certificate(self, folder: Path) -> tuple[ssl.SSLContext, Path]:
        """A certificate for 127.0.0.1 that signed itself, and the file to trust it by."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mirror")])
        now = dt.datetime.now(dt.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        public, private = folder / "cert.pem", folder / "key.pem"
        public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(public, private)
        return context, public


def test_what_is_sent(cache: Path) -> None:
    """A compressed transfer would be another file, and some proxies refuse Python's own name."""

    def answer(asked: Asked) -> Reply:
        assert asked.headers["Accept-Encoding"] == "identity"
        assert asked.headers["User-Agent"].startswith("provision/")
        return Reply(body=CONTENT)

    with serve(answer) as server:
        download(f"{server.url}/x", DIGEST, cache, pause=0)
