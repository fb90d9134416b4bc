"""A host that sends what it likes: it costs time and memory within bounds only, and its answer is called what it is."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from provision.errors import DeadlineError, HostError
from provision.transport import session
from provision.transport.local import Local
from tests.lab.patience import until

# Stands in place of the far sh. Its last argument is boot.sh, whose second word is the nonce.
HOSTILE = r"""
import os, sys, time
nonce = sys.argv[-1].split()[1]
def say(data):
    while data:
        data = data[os.write(1, data):]
def flood(data):
    while True:
        say(data)
mode = sys.argv[1]
if mode == "noise":
    flood(b"x" * 65536)
say(f"{nonce} ready\n".encode())
if mode == "unasked":
    flood(b"nobody asked\n" * 5000)
while f"#{nonce}\n{nonce}\n".encode() not in os.read(0, 1 << 20):
    pass
if mode == "line":
    flood(b"x" * 65536)
if mode == "empty":
    flood(b"\n" * 65536)
if mode == "errors":
    while True:
        os.write(2, b"x" * 65536)
if mode == "endless":
    for _ in range(100 * 16):
        say((b"x" * 65535 + b"\n"))
    mode = "0 ended"
if mode == "chatter":
    while True:
        say(b"a record" * 4000 + b"\n")
say(f"\0{nonce} {mode}\n".encode())
time.sleep(60)
"""


@pytest.fixture
def memory() -> Iterator[None]:
    """This process may not grow by more than what an answer may have, in its two forms."""
    process = psutil.Process()
    before = process.memory_info().rss
    most = [before]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    over.set()
    watcher.join()
    assert (max(most) - before) >> 20 < 200


def hostile(mode: str) -> Local:
    return Local(become=False, within=(sys.executable, "-c", HOSTILE, mode))


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("noise", "more than 1 MiB"),
        ("line", "makes no sense"),
        ("empty", "more than 64 MiB"),
        ("errors", "more than 64 MiB"),
    ],
)
def test_a_flood_ends_at_its_bound(mode: str, told: str) -> None:
    with pytest.raises(HostError) as caught, hostile(mode) as host:
        host.ask("echo well", timeout=30)
    assert told in caught.value.message
    assert caught.value.hint


@pytest.mark.usefixtures("memory")
def test_a_log_that_grows_for_ever_is_kept_nowhere() -> None:
    seen = 0

    def count(line: str) -> None:
        nonlocal seen
        seen += len(line) + 1

    with hostile("endless") as host:
        answer = host.ask("echo well", timeout=60, on_record=count, endless=True)
    assert (answer.status, answer.records, seen) == (0, (), 100 << 20)


@pytest.mark.parametrize(
    "mark", ["0x ended", "-1 ended", "0 ended junk", "ended", "1234567 ended", "0 maybe"]
)
def test_a_mark_that_is_none_is_no_defect_of_ours(mark: str) -> None:
    with hostile(mark) as host, pytest.raises(HostError, match="makes no sense") as caught:
        host.ask("echo well", timeout=10)
    assert "mark" in caught.value.cause


def test_the_time_is_up_also_while_it_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_GRACE", 0.5)
    with hostile("chatter") as host, pytest.raises(DeadlineError, match="time is up"):
        # So that there is always one more to work off.
        host.ask("echo well", timeout=0.5, on_record=lambda _: time.sleep(0.02))


@pytest.mark.usefixtures("memory")
def test_what_nobody_asked_for_waits_at_the_host() -> None:
    with hostile("unasked"):
        time.sleep(2)


def test_what_nobody_asked_for_is_no_answer() -> None:
    """A program that a script left behind, with its output open. It ends where nobody takes that any more."""
    with Local(become=False) as host:
        begun = host.ask("(while echo late; do sleep 0.01; done 2>/dev/null) & echo $!", timeout=10)
        (left_behind,) = (int(record) for record in begun.records if record.isdecimal())
        try:
            time.sleep(0.5)
            answer = host.ask("echo well", timeout=10)
        finally:
            os.kill(left_behind, signal.SIGKILL)
    assert "well" in answer.records
    assert len(answer.records) < 20


def test_nothing_stays_of_a_host_that_was_left() -> None:
    before = threading.active_count()
    with hostile("unasked"):
        time.sleep(0.3)
    assert until(lambda: threading.active_count() <= before)
