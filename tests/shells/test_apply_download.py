"""A host that downloads a release itself: real curl, wget and busybox wget, a mirror that misbehaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision import paths
from tests.lab.mirror import Mirror
from tests.shells import archives, steps
from tests.shells.archives import plain, sha256
from tests.shells.machine import Applied, Machine

BIG = plain(more=os.urandom(600_000))
PART = f"{paths.CACHE}/{sha256(BIG)}.part"
FOLDER = paths.release(archives.VERSION, sha256(BIG))
CLIENTS = [
    pytest.param("dash", "curl", marks=pytest.mark.needs("curl"), id="curl"),
    pytest.param("bash", "wget", marks=pytest.mark.needs("wget"), id="wget"),
    pytest.param("busybox", "wget", id="busybox"),
]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/a.tar.gz").write_bytes(BIG)
    with Mirror(tmp_path / "mirror") as server:
        yield server


def install(machine: Machine, url: str, *, digest: str = sha256(BIG)) -> Applied:
    return machine.apply(steps.release(FOLDER, digest, url=url))


with_each = pytest.mark.parametrize(("machine", "client"), CLIENTS, indirect=["machine"])
# busybox's has one exit status for everything.
with_good_statuses = pytest.mark.parametrize(("machine", "client"), CLIENTS[:2], indirect=["machine"])


@with_each
def test_it_is_fetched_once_and_unpacked(machine: Machine, client: str, mirror: Mirror) -> None:
    machine.base.borrow(client)
    assert install(machine, f"{mirror.url}/a.tar.gz").states == ["done"]
    assert mirror.count("a.tar.gz") == 1
    assert machine.listing(FOLDER) == [".digest", ".manifest", "bin"]
    assert machine.listing(paths.CACHE) == []


@with_each
def test_after_a_cut_it_goes_on(machine: Machine, client: str, mirror: Mirror) -> None:
    machine.base.borrow(client)
    mirror.faults.cut_after = 250_000
    assert install(machine, f"{mirror.url}/a.tar.gz").states == ["done"]
    assert [each.range for each in mirror.requests] == [None, "bytes=250000-"]


@with_each
@pytest.mark.parametrize("there", ["a part", "all", "more", "wrong"])
def test_what_an_earlier_run_left(machine: Machine, client: str, mirror: Mirror, there: str) -> None:
    """A part is gone on from, all of it needs no server, and what is no part of it costs no more than a run."""
    machine.base.borrow(client)
    content = {"a part": BIG[:70_000], "all": BIG, "more": BIG + b"x", "wrong": b"x" * 70_000}[there]
    machine.write(PART, content)
    applied = install(machine, f"{mirror.url}/a.tar.gz")
    ranges = [each.range for each in mirror.requests]
    if there == "a part":
        assert (applied.states, ranges) == (["done"], ["bytes=70000-"])
    elif there == "all":
        assert (applied.states, ranges) == (["done"], [])
    elif applied.states != ["done"]:
        assert "its sha256 differs" in applied.only.detail
        assert machine.listing(paths.CACHE) == []
        assert install(machine, f"{mirror.url}/a.tar.gz").states == ["done"]


@with_each
def test_a_server_that_cannot_go_on_sends_all(machine: Machine, client: str, mirror: Mirror) -> None:
    machine.base.borrow(client)
    machine.write(PART, BIG[:70_000])
    mirror.faults.ranges = False
    applied = install(machine, f"{mirror.url}/a.tar.gz")
    assert applied.states == ["done"], applied
    assert sum(each.sent == len(BIG) for each in mirror.requests) >= 1


@with_each
@pytest.mark.parametrize("fault", ["truncate", "corrupt", "missing"])
def test_what_is_not_the_file_is_not_kept(machine: Machine, client: str, mirror: Mirror, fault: str) -> None:
    machine.base.borrow(client)
    if fault == "truncate":
        mirror.faults.truncate = 100_000
    elif fault == "corrupt":
        mirror.faults.corrupt = True
    else:
        mirror.faults.missing = {"a.tar.gz"}
    applied = install(machine, f"{mirror.url}/a.tar.gz")
    assert applied.only.status == "failed"
    first = applied.only.detail.split("\n")[0]
    if fault == "missing":
        assert first.startswith(f"the download of {mirror.url}/a.tar.gz failed: ")
        assert "404" in first
    else:
        assert first == "a.tar.gz is not the file it should be: its sha256 differs"
    assert machine.listing(paths.CACHE) == []
    assert not machine.at(paths.RELEASES).exists()


@with_good_statuses
def test_when_nobody_answers_what_is_there_is_kept(machine: Machine, client: str, mirror: Mirror) -> None:
    machine.base.borrow(client)
    machine.write(PART, BIG[:70_000])
    applied = install(machine, "http://127.0.0.1:9/a.tar.gz")
    assert applied.only.status == "failed"
    assert "127.0.0.1" in applied.only.detail.split("\n")[0]
    assert machine.at(PART).stat().st_size == 70_000
    assert mirror.requests == []


def test_the_address_is_one_word(machine: Machine) -> None:
    url = "http://h/$(: >/lab/pwned)/`: >/lab/pwned`/a'b\"c d?x=1&y"
    machine.fake("curl")
    install(machine, url)
    words = ["curl", "-fsSL", "--retry", "3", "-C", "-", "-o", PART, url]
    assert [call for call in machine.calls() if call[0] == "curl"] == [words]
    assert not machine.at("/lab/pwned").exists()
