"""Where this machine's apt gets its packages from, for apt of our own with other architectures or releases."""

from __future__ import annotations

import subprocess
from typing import Final

KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"


def source(suite: str) -> str:
    """The line of sources.list for a release of Debian. Raises RuntimeError where apt knows no mirror of it."""
    return f"deb [signed-by={KEYRING}] {_mirror()} {suite} main"


def _mirror() -> str:
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Component: main",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    mirror = next((uri for uri in found if uri.rstrip("/").endswith("/debian")), None)
    if mirror is None:
        raise RuntimeError("apt of this machine knows no mirror of Debian")
    return mirror
