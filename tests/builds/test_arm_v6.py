"""A daemon built from source for a processor that no release is made for: ARMv6, as in a Raspberry Pi Zero.

QEMU is that processor (an ARM1136), and the daemon runs in a user namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from provision.buildkit.go.build import build
from provision.buildkit.workers import parse_workers
from provision.spec import Buildkit
from tests.lab.programs import hello
from tests.lab.release import runc, workshop

pytestmark = pytest.mark.needs("qemu-aarch64-static", "gcc", "libseccomp")

PLATFORM: Final = "linux/arm/v6"
# QEMU's user mode may hang or crash when a program with threads forks, more so when signals interrupt it; the
# Dockerfile of BuildKit tries again for the same reason (moby/buildkit#4491). One start in five did here, before
# the second line; some still may, so there are several tries.
_CPU: Final = {**os.environ, "QEMU_CPU": "arm1136"}
_CALM: Final = {**_CPU, "GOMAXPROCS": "1", "GODEBUG": "asyncpreemptoff=1"}
_TRIES: Final = 6
# The daemon ends with the namespace's first process, whatever becomes of the test.
_UNSHARE: Final = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child")
_ASK: Final = """
cd "$1"
export TMPDIR="$1/tmp"
run() { program=$1; shift; qemu-arm-static "bin/$program" "$@"; }
run buildkitd --root "$1/root" --addr "unix://$1/socket" --group 0 >log 2>&1 &
tries=0
until [ -S socket ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat log >&2; exit 1; }
    sleep 0.2
done
run buildctl --addr "unix://$1/socket" --timeout 60 debug workers --format json
"""


@pytest.fixture(autouse=True)
def _kept_between_tests() -> None:
    """The modules come from where this machine gets its own, as Go's variables say."""


def ask(place: Path, tries: int = _TRIES) -> subprocess.CompletedProcess[str]:
    """What the daemon in `place` answers."""
    shutil.rmtree(place / "root", ignore_errors=True)
    (place / "socket").unlink(missing_ok=True)
    command = [*_UNSHARE, "sh", "-c", _ASK, "sh", str(place)]
    # buildkitd looks for the program that starts its steps on PATH; that one is this machine's own.
    env = {**_CALM, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    asked = subprocess.run(command, env=env, capture_output=True, text=True, timeout=150, check=False)
    return ask(place, tries - 1) if asked.returncode and tries > 1 else asked


def test_a_daemon_for_armv6_answers(tmp_path: Path) -> None:
    version = Buildkit().version
    with tarfile.open(build(version, PLATFORM, workshop()).archive) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "tmp").mkdir()
    shutil.copy(runc(), tmp_path / "bin" / "buildkit-runc")
    asked = ask(tmp_path)
    assert asked.returncode == 0, asked.stderr
    workers = parse_workers(asked.stdout)
    assert workers.version == version
    assert PLATFORM in workers.platforms
    assert "linux/arm/v7" not in workers.platforms, "this is no ARMv6"


def test_that_processor_refuses_what_releases_are_built_for() -> None:
    programs = (hello("arm", variant=level) for level in ("6", "7"))
    ended = [
        subprocess.run(["qemu-arm-static", each], env=_CPU, capture_output=True, check=False).returncode
        for each in programs
    ]
    assert ended[0] == 0
    assert ended[1] != 0
