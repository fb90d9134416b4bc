"""The wish to end, heard while this machine works alone: downloads, locks and builds; and what counts as a wish."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from provision.buildkit.digest import Digest
from provision.buildkit.download import download
from provision.buildkit.go.command import Go
from provision.buildkit.go.store import Store
from provision.commands.build import BuildProgress
from provision.hosts.interruption import EndError, Interruption
from provision.report.progress import Progress
from provision.transport import StoppedError
from tests.lab.patience import until

DIGEST = Digest(value=hashlib.sha256(b"never").hexdigest(), source="user")


def serve(server: socket.socket, interruption: Interruption, begin: bytes) -> None:
    """Answers one request, stands still, and then the user has had enough."""
    peer, _ = server.accept()
    with peer, suppress(OSError):
        peer.recv(65536)
        peer.sendall(begin)
        interruption.number = signal.SIGTERM
        peer.recv(65536)  # until the client goes, as it does with the test


@pytest.mark.parametrize("sent", [0, 5000])
def test_a_download_that_stands_still_is_not_waited_for(sent: int, tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n" if sent else b""
    interruption = Interruption()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server, interruption, head + b"x" * sent), daemon=True).start()
        place = f"http://127.0.0.1:{server.getsockname()[1]}/archive"
        with pytest.raises(StoppedError):
            interruption.while_none(lambda: download(place, DIGEST, tmp_path))
    part = tmp_path / f"{DIGEST.value}.part"
    if sent:
        assert until(lambda: part.is_file() and part.stat().st_size == sent), "what has arrived is kept"


def test_a_download_that_another_process_makes_is_not_waited_for(tmp_path: Path) -> None:
    interruption = Interruption()
    with (tmp_path / f"{DIGEST.value}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.2, setattr, (interruption, "number", signal.SIGINT)).start()
        with pytest.raises(StoppedError):
            interruption.while_none(lambda: download("/none", DIGEST, tmp_path))


def test_what_comes_of_the_work_is_told() -> None:
    assert Interruption().while_none(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        Interruption().while_none(lambda: 1 / 0)
    with pytest.raises(StoppedError):
        Interruption(number=signal.SIGHUP).while_none(lambda: 7)


def wants_to_end(after: Callable[[], object]) -> BuildProgress:
    """The watch of a build whose user has had enough as soon as `after` is true."""
    interruption = Interruption()

    def wait() -> None:
        until(after, 60)
        interruption.number = signal.SIGTERM

    threading.Thread(target=wait, daemon=True).start()
    return BuildProgress(host="pi1", progress=Progress(), interruption=interruption)


def test_go_that_waits_for_a_proxy_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "go"
    program.write_text("#!/bin/sh\necho $$ >pid.new\nmv pid.new pid\nexec sleep 300\n")
    program.chmod(0o755)
    pid = tmp_path / "pid"
    watch = wants_to_end(pid.exists)
    go = Go(program=str(program), environment=os.environ, purpose="x", go_on=watch.go_on)
    with pytest.raises(StoppedError):
        go(tmp_path, "list")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_build_that_waits_for_another_is_ended(tmp_path: Path) -> None:
    store = Store(cache=tmp_path)
    store.folder.mkdir(parents=True)
    with (store.folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoppedError), store.building(wants_to_end(lambda: True)):
            pass


@pytest.mark.parametrize(
    ("numbers", "wishes"),
    [
        ([signal.SIGINT], 1),
        ([signal.SIGINT, signal.SIGINT], 2),
        # timeout(1) sends it to its child and to the child's group; a closed terminal and its shell send one each.
        ([signal.SIGTERM, signal.SIGTERM], 1),
        ([signal.SIGHUP, signal.SIGHUP], 1),
        # A CI system that loses patience.
        ([signal.SIGINT, signal.SIGTERM], 2),
    ],
    ids=str,
)
def test_what_counts_as_a_wish(numbers: list[signal.Signals], wishes: int) -> None:
    interruption, told = Interruption(), []
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with interruption.caught(), interruption.told(lambda: told.append(True)):
        for number in numbers:
            os.kill(os.getpid(), number)
    assert (len(told), interruption.number) == (wishes, numbers[0])
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_without_a_listener_it_is_raised() -> None:
    with Interruption().caught(), pytest.raises(EndError) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM
