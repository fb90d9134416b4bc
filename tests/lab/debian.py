"""Root file systems of Debian for images, as tar archives, made from packages."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.lab.apt import source
from tests.lab.cache import Cache, fingerprint
from tests.lab.rootfs import SUITE

PACKAGES: Final = ("base-files", "bash", "busybox", "coreutils", "libc-bin", "libc6", "perl-base")


def debian(architecture: str, *, cache: Cache | None = None) -> Path:
    """A few packages of any of Debian's architectures, unpacked and not set up: nothing of it is executed."""

    def build(target: Path) -> None:
        include = f"--include={','.join(PACKAGES)}"
        options = [f"--architectures={architecture}", "--variant=extract", "--format=tar", include]
        _run(["mmdebstrap", "--quiet", *options, SUITE, str(target), source(SUITE)])

    return (cache or Cache.default()).get(f"debian-{architecture}", fingerprint(SUITE, *PACKAGES), build)


def installed(*, cache: Cache | None = None) -> Path:
    """The essential packages of this machine's architecture, set up: /usr merged, alternatives, ld.so.conf."""

    def build(target: Path) -> None:
        _run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=essential",
                "--format=tar",
                SUITE,
                str(target),
                source(SUITE),
            ]
        )

    return (cache or Cache.default()).get("debian-installed", fingerprint(SUITE), build)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
