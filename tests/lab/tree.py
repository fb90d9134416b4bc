"""All files of a host, to compare."""

from __future__ import annotations

import subprocess
from typing import Final, Protocol


class Shell(Protocol):
    """A test host of any kind."""

    def run(self, script: str, /) -> subprocess.CompletedProcess[str]:
        """What the shell text printed there. Raises AssertionError if it fails."""


# Without what others write: logs, caches, the database of packages, and the copies that shadow's tools make.
_ALL: Final = """
cd / && find . -xdev \\( -path ./proc -o -path ./sys -o -path ./run -o -path ./tmp -o -path ./var/log \\
  -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./home -o -path ./root \\
  -o -path ./var/lib/systemd -o -path ./var/tmp -o -path ./etc/.pwd.lock \\
  -o -path ./etc/group- -o -path ./etc/gshadow- \\) -prune -o \\
  \\( -type f -exec sha256sum {} + -o -type l -printf '%p -> %l\\n' -o -printf '%p %M\\n' \\) | sort
"""


def tree(host: Shell) -> list[str]:
    """A line for each file, folder and link: its path with its mode, content or target."""
    return host.run(_ALL).stdout.splitlines()
