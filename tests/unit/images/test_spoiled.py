"""The registry holds something else than it says: its files are changed on its disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from tests.lab.images import OCI_LAYER, Blob, File, Repository, archive, layer, sha256
from tests.lab.registry import Registry as Server
from tests.unit.images.conftest import Check, ids
from tests.unit.images.made import AMD64, ARM64, attestation, entry, index, of_entries, one, program, static

pytestmark = pytest.mark.needs("docker-registry")


@pytest.fixture
def server() -> Iterator[Server]:
    """One for each test: all repositories of a registry share its blobs."""
    with Server() as server:
        yield server


def spoil(server: Server, digest: str, data: bytes) -> None:
    server.stored(digest).write_bytes(data)


def test_a_truncated_layer(server: Server, repository: Repository, check: Check) -> None:
    data = layer({"app": program(ARM64), "x": File(content=hashlib.sha512(b"").digest() * 500)})
    name = one(repository, [data])
    spoil(server, sha256(data.data), data.data[:-100])
    result = check(name)
    assert ids(result) == [("content-size", ARM64)]
    assert f"has {len(data.data) - 100} bytes, not {len(data.data)}" in result.findings[0].evidence


def test_a_layer_that_is_longer(server: Server, repository: Repository, check: Check) -> None:
    data = layer({"app": program(ARM64)})
    name = one(repository, [data])
    spoil(server, sha256(data.data), data.data + bytes(5000))
    assert ids(check(name)) == [("content-size", ARM64)]


def test_a_layer_with_one_wrong_byte(server: Server, repository: Repository, check: Check) -> None:
    data = layer({"app": program(ARM64)})
    name = one(repository, [data])
    wrong = bytearray(data.data)
    wrong[4] ^= 1  # of gzip's time stamp: it unpacks all the same
    spoil(server, sha256(data.data), bytes(wrong))
    assert ids(check(name)) == [("content-digest", ARM64)]


def test_swapped_layers(server: Server, repository: Repository, check: Check) -> None:
    """Both blobs are good archives of the right size, and each is the other's."""
    first, second = (
        Blob(data=data, media_type=OCI_LAYER, diff_id=sha256(data))
        for data in (archive({name: program(ARM64)}) for name in "ab")
    )
    name = one(repository, [first, second])
    spoil(server, sha256(first.data), second.data)
    spoil(server, sha256(second.data), first.data)
    result = check(name)
    assert ids(result) == [("content-digest", ARM64)] * 2
    assert result.findings[0].evidence == f"layer {sha256(second.data)} is {sha256(first.data)}"


def test_a_layer_that_is_gone(server: Server, repository: Repository, check: Check) -> None:
    data = layer({"app": program(ARM64)})
    name = one(repository, [data])
    server.stored(sha256(data.data)).unlink()
    result = check(name)
    assert ids(result) == [("content-missing", ARM64)]
    assert result.images[0].checked is False


def test_a_manifest_that_is_gone(server: Server, repository: Repository, check: Check) -> None:
    gone = static(repository, AMD64)
    name = index(repository, amd64=gone, arm64=static(repository, ARM64))
    server.stored(gone.digest).unlink()
    result = check(name, [AMD64, ARM64])
    assert ids(result) == [("content-missing", AMD64)]
    assert [row.platform for row in result.images] == [ARM64]


def test_a_configuration_that_is_changed(server: Server, repository: Repository, check: Check) -> None:
    image = static(repository, ARM64)
    name = index(repository, arm64=image)
    digest = json.loads(server.stored(image.digest).read_bytes())["config"]["digest"]
    data = server.stored(digest).read_bytes()
    spoil(server, digest, data.replace(b"arm64", b"amd64"))
    assert ids(check(name)) == [("content-digest", ARM64)]


def test_an_attestation_that_is_gone(server: Server, repository: Repository, check: Check) -> None:
    image = static(repository, ARM64)
    about = attestation(repository, image.digest)
    name = of_entries(repository, entry(image, "arm64"), about)
    server.stored(about["digest"]).unlink()
    assert ids(check(name)) == [("content-missing", None)]
