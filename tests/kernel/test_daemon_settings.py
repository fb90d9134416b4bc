"""The real daemon takes the settings we write to mean what we meant, and we read its answer right.

It runs in a user namespace of its own, with nothing of the machine's in reach.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from provision.buildkit.daemon import render_config
from provision.buildkit.failures import meaning_of
from provision.buildkit.gc import in_bytes
from provision.buildkit.workers import Workers, parse_workers
from provision.config import values
from provision.fix import run as command
from provision.spec import Buildkit, Dns, Log, Registry
from tests.lab.release import VERSION, publish

# The daemon is compiled first.
pytestmark = [pytest.mark.needs("gcc", "libseccomp"), pytest.mark.thorough]

# The daemon ends with the namespace's first process, whatever becomes of the test.
_UNSHARE: Final = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child")
_ASK: Final = """
cd "$1"
export PATH="$1/bin:$PATH" TMPDIR="$1/tmp"
buildkitd --config "$1/buildkitd.toml" --root "$1/root" --addr "unix://$1/socket" --group 0 \\
  --otel-socket-path "$1/otel.sock" >log 2>&1 &
buildctl --addr "unix://$1/socket" --timeout 30 --wait debug workers --format json || { cat log >&2; false; }
"""
_UNREACHABLE: Final = """
cd "$1" && bin/buildctl --addr "unix://$1/socket" debug workers --format json
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds `bin`."""
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(publish(folder / "mirror").path) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def place(programs: Path, tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bin").symlink_to(programs / "bin")
    return tmp_path


def run(script: str, place: Path) -> subprocess.CompletedProcess[str]:
    command = [*_UNSHARE, "sh", "-c", script, "sh", str(place)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def ask(buildkit: Buildkit, disk: int, place: Path) -> Workers:
    (place / "buildkitd.toml").write_text(render_config(buildkit, VERSION, disk), encoding="utf-8")
    done = run(_ASK, place)
    assert done.returncode == 0, done.stderr
    return parse_workers(done.stdout)


def test_limits_and_labels_arrive(place: Path) -> None:
    label = 'x"\n[grpc]\naddress = ["tcp://0.0.0.0:1"]\t\\ \' é \u2028'
    buildkit = Buildkit(
        log=Log(level="debug", format="json"),
        dns=Dns(nameservers=("10.0.0.1",), search_domains=("lan",)),
        gc={"maxUsedSpace": "5GB"},
        max_parallelism=3,
        network="host",
        labels={"com.example/rack.7": label},
        registries={"registry.lan:5000": Registry(http=True, mirrors=("mirror.lan", "harbor.lan/proxy"))},
    )
    workers = ask(buildkit, 10**11, place)
    assert workers.version == VERSION
    assert workers.labels["com.example/rack.7"] == label
    assert workers.network == "host"
    assert workers.snapshotter is not None
    assert "linux/amd64" in workers.platforms or "linux/arm64" in workers.platforms
    general = workers.gc[-1]
    assert (general.reserved, general.max_used, general.min_free) == (None, 5 << 30, 20 * 10**9)
    assert workers.min_free == 20 * 10**9
    assert '"level":"debug"' in (place / "log").read_text()


def test_limits_from_the_disk_arrive(place: Path) -> None:
    general = ask(Buildkit(), 16 * 10**9, place).gc[-1]
    assert (general.reserved, general.max_used, general.min_free) == (16 * 10**8, 96 * 10**8, 32 * 10**8)


@pytest.mark.parametrize("size", [12 << 20, "12b", "1.5k", "10 gib", "2T", "30%", "100%"])
def test_a_limit_means_to_the_daemon_what_it_means_to_us(size: int | str, place: Path) -> None:
    assert values.size(size) == size
    general = ask(Buildkit(gc={"maxUsedSpace": size}), 0, place).gc[-1]
    if str(size).endswith("%"):
        disk = os.statvfs(place)
        assert general.max_used == in_bytes(size, disk.f_blocks * disk.f_frsize)
    else:
        assert general.max_used == in_bytes(size, 0)


@pytest.mark.parametrize("size", ["10gi", "10ib", "10 apples", "5.5%", "-5GB"])
def test_what_we_refuse_as_a_limit_the_daemon_refuses(size: str, place: Path) -> None:
    with pytest.raises(ValueError, match="must be bytes as a number above 0"):
        values.size(size)
    (place / "buildkitd.toml").write_text(render_config(Buildkit(gc={"maxUsedSpace": size}), VERSION, 0))
    done = run(
        'cd "$1" && bin/buildkitd --config buildkitd.toml --root root --addr "unix://$1/socket"'
        ' --otel-socket-path "$1/otel.sock"',
        place,
    )
    assert done.returncode == 1
    assert "failed to parse config" in done.stderr


def test_no_daemon(place: Path) -> None:
    done = run(_UNREACHABLE, place)
    assert done.returncode == 1
    meaning = meaning_of(done.stderr, command("restart", "it"))
    assert meaning
    assert "does not run" in meaning.cause
    assert "failed to list workers" in done.stderr
