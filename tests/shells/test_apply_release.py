"""A release reaches a host whole, verified and harmless, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision import paths
from provision.apply import Upload, uploads
from provision.plan.steps import SendInterpreter
from tests.shells import archives, steps
from tests.shells.archives import HARMLESS, NOT_A_RELEASE, STRIPPED, plain, sha256
from tests.shells.machine import WITHOUT_APPLETS, Applied, Machine

GOOD = plain()
FORMER = f"{paths.RELEASES}/v0.31.2-0123456789ab"


def folder(data: bytes) -> str:
    return paths.release(archives.VERSION, sha256(data))


@pytest.fixture
def with_former(machine: Machine) -> Machine:
    """A host that runs an earlier release."""
    machine.write(f"{FORMER}/bin/buildkitd", "former", 0o755)
    machine.write(f"{FORMER}/.digest", "0123456789ab\n")
    machine.at(paths.CURRENT).symlink_to(FORMER)
    return machine


def install(
    machine: Machine, tmp_path: Path, data: bytes, *, digest: str = "", sent: bytes | None = None
) -> Applied:
    """Send and unpack an archive, from where the host has it. `sent`, if it is not what was promised."""
    step = steps.release(folder(data), digest or sha256(data), archive="buildkit.tar.gz")
    file = archives.save(tmp_path, data if sent is None else sent)
    cache = machine.at(paths.CACHE)
    cached = {each.name: each.stat().st_size for each in cache.iterdir()} if cache.exists() else {}
    return machine.apply(step, sending=uploads((step,), cached, lambda: file))


def former_is_current(machine: Machine) -> bool:
    current = machine.at(paths.CURRENT)
    return (
        str(current.readlink()) == FORMER
        and machine.listing(paths.RELEASES) == ["current", Path(FORMER).name]
        and machine.at(f"{FORMER}/bin/buildkitd").read_text() == "former"
    )


@pytest.mark.parametrize("name", HARMLESS)
def test_a_release_is_unpacked(with_former: Machine, tmp_path: Path, name: str) -> None:
    machine, data = with_former, HARMLESS[name]
    assert install(machine, tmp_path, data).states == ["done"]
    unpacked = machine.at(folder(data))
    assert (unpacked / ".digest").read_text() == f"{sha256(data)}\n"
    for each in (unpacked, unpacked / "bin", *(unpacked / "bin").iterdir()):
        status = each.stat()
        assert (status.st_mode & 0o7777, status.st_uid) == (0o755, os.getuid()), each
    for path, content in archives.PLAIN.items():
        assert (unpacked / path).read_bytes() == content
    assert machine.listing(paths.CACHE) == []
    assert str(machine.at(paths.CURRENT).readlink()) == FORMER  # another step switches
    assert machine.facts().releases[folder(data)] == sha256(data)


def test_what_is_no_release_leaves_the_former_one(with_former: Machine, tmp_path: Path) -> None:
    machine = with_former
    victim = machine.write("/opt/victim", "unharmed", 0o600)
    for name, (data, reason) in NOT_A_RELEASE.items():
        if name == STRIPPED and machine.shell == "busybox":
            continue
        applied = install(machine, tmp_path, data)
        assert applied.only.status == "failed", name
        assert reason in applied.only.detail.split("\n")[0], (name, applied.only.detail)
        assert former_is_current(machine), (name, machine.listing(paths.RELEASES))
        assert machine.listing(paths.CACHE) == [], name
        assert machine.listing("/opt") == ["buildkit", "victim"], name
        assert (victim.read_text(), victim.stat().st_mode & 0o7777) == ("unharmed", 0o600), name


def test_the_bytes_come_in_pieces_with_a_script_behind_them(machine: Machine, tmp_path: Path) -> None:
    """Two files in one stream, with lengths around dd's block: no byte of the one is the other's."""
    for size in (1, 65_535, 65_536, 65_537, 300_000):
        emulator = os.urandom(size)
        file = archives.save(tmp_path, emulator)
        path = paths.interpreter("arm", sha256(emulator))
        send = steps.send(file, path, sha256(emulator))
        unpack = steps.release(folder(GOOD), sha256(GOOD))
        made = uploads((send, unpack), {}, lambda: archives.save(tmp_path, GOOD))
        applied = machine.apply(send, unpack, sending=made)
        assert applied.states == ["done", "done"], (size, applied)
        assert machine.at(path).read_bytes() == emulator
        assert machine.at(path).stat().st_mode & 0o7777 == 0o755
        assert machine.listing(paths.CACHE) == []


@WITHOUT_APPLETS
def test_a_dd_that_reads_ahead_is_not_used(machine: Machine, tmp_path: Path) -> None:
    """Uutils before 0.1 takes 8 KiB more than it is asked for, and they are lost."""
    real = 'exec /host/usr/bin/dd "$@"'
    machine.base.place("dd", f'#!/bin/sh\ncase "$*" in *bs=1\\ *) cat >/dev/null ;; *) {real} ;; esac\n')
    send = sent(tmp_path)
    refused = machine.apply(send, sending=uploads((send,), {}, lambda: tmp_path))
    assert "no dd of this host copies as many bytes as it is told" in refused.only.detail
    machine.fake("gnudd", real)
    assert machine.apply(send, sending=uploads((send,), {}, lambda: tmp_path)).states == ["done"]
    assert "gnudd" in [name for name, *_ in machine.calls()]


def sent(folder: Path) -> SendInterpreter:
    emulator = os.urandom(100_000)
    path = paths.interpreter("arm", sha256(emulator))
    return steps.send(archives.save(folder, emulator), path, sha256(emulator))


def test_an_emulator_that_was_sent_gets_the_label_of_its_place(machine: Machine, tmp_path: Path) -> None:
    """SELinux: a file that was moved keeps the label that it had in /var, which may not be run at boot."""
    machine.fake("restorecon")
    send = sent(tmp_path)
    assert machine.apply(send, sending=uploads((send,), {}, lambda: tmp_path)).states == ["done"]
    assert machine.calls() == [["restorecon", "-F", "-R", paths.EMULATORS]]


def test_no_program_can_eat_the_bytes(machine: Machine, tmp_path: Path) -> None:
    big = plain(more=os.urandom(2_000_000))
    machine.fake("groupadd", "cat >/lab/eaten")
    unpack = steps.release(folder(big), sha256(big))
    made = uploads((unpack,), {}, lambda: archives.save(tmp_path, big))
    assert machine.apply(steps.group("buildkit"), unpack, sending=made).states == ["done", "done"]
    assert machine.at("/lab/eaten").read_bytes() == b""


@pytest.mark.parametrize("there", [1, 65_536, 100_000, len(GOOD)], ids=["one", "block", "much", "all"])
def test_what_an_earlier_run_left_is_gone_on_from(machine: Machine, tmp_path: Path, there: int) -> None:
    big = plain(more=os.urandom(200_000))
    there = len(big) if there == len(GOOD) else there
    machine.write(f"{paths.CACHE}/{sha256(big)}.part", big[:there])
    step = steps.release(folder(big), sha256(big))
    file = archives.save(tmp_path, big)
    (part,) = uploads((step,), {f"{sha256(big)}.part": there}, lambda: file)
    assert part == Upload(step="release", file=file, offset=there, length=len(big) - there)
    assert machine.apply(step, sending=(part,)).states == ["done"]
    assert machine.listing(paths.CACHE) == []


def test_what_is_cached_whole_is_not_sent_again(machine: Machine, tmp_path: Path) -> None:
    machine.write(f"{paths.CACHE}/{sha256(GOOD)}", GOOD)
    step = steps.release(folder(GOOD), sha256(GOOD))
    assert uploads((step,), {sha256(GOOD): len(GOOD)}, lambda: tmp_path / "not needed") == ()
    assert machine.apply(step).states == ["done"]


def test_a_wrong_digest_is_said_and_nothing_is_kept(with_former: Machine, tmp_path: Path) -> None:
    applied = install(with_former, tmp_path, GOOD, digest="f" * 64)
    assert applied.only.status == "failed"
    assert applied.only.detail == "buildkit.tar.gz is not the file it should be: its sha256 differs"
    assert with_former.listing(paths.CACHE) == []
    assert former_is_current(with_former)


@pytest.mark.parametrize("there", ["wrong bytes", "too many", "a broken whole"])
def test_a_bad_cache_costs_one_run(with_former: Machine, tmp_path: Path, there: str) -> None:
    """Whatever lies there, the run after the one that found it succeeds."""
    name = sha256(GOOD) if there == "a broken whole" else f"{sha256(GOOD)}.part"
    content = {"wrong bytes": b"x" * 1000, "too many": GOOD + b"x", "a broken whole": GOOD[:-1]}[there]
    with_former.write(f"{paths.CACHE}/{name}", content)
    applied = install(with_former, tmp_path, GOOD)
    assert applied.only.status == "failed"
    assert "its sha256 differs" in applied.only.detail
    assert with_former.listing(paths.CACHE) == []
    assert former_is_current(with_former)
    assert install(with_former, tmp_path, GOOD).states == ["done"]


def test_when_the_disk_is_full_it_says_so(with_former: Machine, tmp_path: Path) -> None:
    big = plain(more=os.urandom(200_000))
    with_former.at(paths.CACHE).mkdir()
    with_former.open(f"mount -t tmpfs -o size=64k tmpfs {paths.CACHE}")
    applied = install(with_former, tmp_path, big)
    assert applied.only.status == "failed"
    assert "No space left on device" in applied.only.detail.split("\n")[0]
    assert former_is_current(with_former)


def test_when_there_is_no_room_to_unpack_nothing_stays(machine: Machine, tmp_path: Path) -> None:
    big = plain(more=os.urandom(200_000))
    machine.at(paths.RELEASES).mkdir()
    machine.open(f"mount -t tmpfs -o size=64k tmpfs {paths.RELEASES}")
    applied = install(machine, tmp_path, big)
    assert applied.only.status == "failed"
    assert "No space left on device" in applied.only.detail
    assert machine.space.run(f"ls -A {paths.RELEASES}") == ""


def test_an_unpacked_release_with_another_digest_is_replaced(machine: Machine, tmp_path: Path) -> None:
    machine.write(f"{folder(GOOD)}/bin/old", "x")
    assert install(machine, tmp_path, GOOD).states == ["done"]
    assert machine.listing(f"{folder(GOOD)}/bin") == ["buildctl", "buildkit-runc", "buildkitd"]
