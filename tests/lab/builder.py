"""A BuildKit daemon in namespaces of its own, for builds that execute nothing: FROM and COPY."""

from __future__ import annotations

import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.release import publish

_START: Final = """
mount -t proc proc /proc
export PATH="$1/bin:$PATH" TMPDIR="$1/tmp"
exec buildkitd --root "$1/root" --addr "unix://$1/socket" --oci-worker-snapshotter native --containerd-worker=false \\
  --otel-socket-path "$1/otel.sock"
"""
_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Builds, as a user of the daemon does."""

    folder: Path

    def build(self, context: Path, *arguments: str, home: Path | None = None) -> None:
        """`buildctl build` of a folder's Dockerfile, with the logins of a home. Raises RuntimeError with its words."""
        places = ("--local", f"context={context}", "--local", f"dockerfile={context}")
        self.run("build", "--progress=plain", "--frontend=dockerfile.v0", *places, *arguments, home=home)

    def run(self, *arguments: str, home: Path | None = None) -> str:
        command = [str(self.folder / "bin/buildctl"), "--addr", f"unix://{self.folder}/socket", *arguments]
        environment = {**os.environ, **({"HOME": str(home)} if home else {})}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        return done.stdout


@contextmanager
def builder(folder: Path) -> Iterator[Builder]:
    """The daemon, its state and its programs are in the folder; it ends with the block, or with this process."""
    with tarfile.open(publish(folder / "mirror").path) as archive:
        archive.extractall(folder, filter="data")
    (folder / "tmp").mkdir()
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen([*unshare, "sh", "-c", _START, "sh", folder], stdout=log, stderr=log)
    try:
        made = Builder(folder=folder)
        _wait(made, daemon)
        yield made
    finally:
        daemon.kill()  # unshare --fork does not end by SIGTERM, and takes its child along
        daemon.wait()


def _wait(made: Builder, daemon: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _SECONDS
    while not (made.folder / "socket").exists():
        if daemon.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"buildkitd did not start:\n{(made.folder / 'log').read_text()}")
        time.sleep(0.05)
    made.run("--wait", "debug", "workers")
