"""Layers are unpacked as they come, whoever packed them, and never without end."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import subprocess
from collections.abc import Callable
from typing import TypeVar

import pytest

from provision.images import compression
from provision.images.compression import Unpacked, UnpackError
from provision.images.faults import FaultError
from provision.images.streams import drain

DATA = random.Random(1).randbytes(300_000) + bytes(700_000)


def packed(data: bytes = DATA) -> bytes:
    """By zstd(1), which the package and the program must both read."""
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.fixture(params=["module", "program"])
def zstd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two ways to unpack zstd."""
    if request.param == "program":
        monkeypatch.setattr(compression, "_module", lambda: None)
    return str(request.param)


T = TypeVar("T", bound=Callable[..., None])


def in_both_ways(test: T) -> T:
    """A test of zstd."""
    marked: T = pytest.mark.needs("zstd")(pytest.mark.usefixtures("zstd")(test))
    return marked


class Trickle:
    """A stream that gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, 777))


def whole(data: bytes) -> bytes:
    stream = Unpacked(Trickle(data))
    try:
        parts = []
        while part := stream.read(1 << 16):
            assert len(part) <= 1 << 16
            parts.append(part)
        return b"".join(parts)
    finally:
        stream.close()


def test_plain() -> None:
    assert whole(DATA) == DATA
    assert whole(b"") == b""
    assert whole(b"\x1f") == b"\x1f"


def test_gzip_in_one_piece_and_in_many() -> None:
    assert whole(gzip.compress(DATA)) == DATA
    # pigz and eStargz write many members.
    assert whole(gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:])) == DATA


@in_both_ways
def test_zstd_in_one_piece_and_in_many() -> None:
    assert whole(packed()) == DATA
    skippable = b"\x5e\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"toc!"  # as zstd:chunked adds
    assert whole(skippable + packed(DATA[:1000]) + packed(DATA[1000:]) + skippable) == DATA


@pytest.mark.parametrize("end", [5, 500, -5])
def test_gzip_that_is_cut_short(end: int) -> None:
    with pytest.raises(FaultError, match="cannot be unpacked") as caught:
        whole(gzip.compress(DATA)[:end])
    assert caught.value.name == "layer-damaged"


@in_both_ways
@pytest.mark.parametrize("end", [5, 500, -5])
def test_zstd_that_is_cut_short(end: int) -> None:
    with pytest.raises(FaultError, match="cannot be unpacked") as caught:
        whole(packed()[:end])
    assert caught.value.name == "layer-damaged"


@in_both_ways
def test_damage_in_the_middle() -> None:
    for data in (gzip.compress(DATA), packed()):
        broken = data[:1000] + bytes(byte ^ 0x55 for byte in data[1000:1100]) + data[1100:]
        with pytest.raises(FaultError):
            whole(broken)


def test_garbage_behind_gzip() -> None:
    with pytest.raises(FaultError):
        whole(gzip.compress(DATA) + b"garbage")
    assert whole(gzip.compress(DATA) + bytes(512)) == DATA


@in_both_ways
def test_a_bomb_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "PLAUSIBLE", 1 << 20)
    zeros = bytes(8 << 20)
    for data in (gzip.compress(zeros), packed(zeros)):
        with pytest.raises(FaultError, match="out of") as caught:
            whole(data)
        assert caught.value.name == "layer-hostile"


def test_a_layer_may_not_be_larger_than_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "LARGEST", len(DATA))
    assert whole(gzip.compress(DATA)) == DATA
    with pytest.raises(FaultError, match="unpacks to"):
        whole(gzip.compress(DATA + b"!"))


@in_both_ways
def test_what_feeds_it_may_fail() -> None:
    class Failing(Trickle):
        def read(self, size: int) -> bytes:
            data = super().read(size)
            if not data:
                raise FaultError("content-size", "from below")
            return data

    stream = Unpacked(Failing(packed()[:50_000]))
    with pytest.raises(FaultError, match="from below"):
        drain(stream)
    stream.close()


@in_both_ways
def test_a_stream_may_be_left_in_the_middle() -> None:
    stream = Unpacked(Trickle(packed()))
    assert stream.read(10) == DATA[:10]
    stream.close()


def test_without_any_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_module", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(UnpackError) as caught:
        whole(b"\x28\xb5\x2f\xfd rest")
    assert "apt-get install zstd" in caught.value.hint
