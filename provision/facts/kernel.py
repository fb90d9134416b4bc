"""Kernels that can emulate, and those that are refused before anything changes. Pure."""

from __future__ import annotations

import re
from typing import Final

from provision import paths
from provision.errors import KernelError
from provision.facts import Facts

MINIMUM: Final = (4, 8)
"""The F flag came with Linux 4.8 (commit 948b701a607f)."""
ARGV0: Final = (5, 12)
"""From here on the kernel tells the emulator that P is set (AT_FLAGS, commit 2347961b11d4)."""


def version(release: str) -> tuple[int, int]:
    """(major, minor) of what `uname -r` prints; (0, 0) when there is no number in it."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def refuse(facts: Facts) -> None:
    """Raise KernelError where emulation cannot work: nothing must be changed on such a host."""
    release = facts.system.kernel
    if version(release) < MINIMUM:
        raise KernelError(
            f"kernel {release} is too old",
            cause="handlers that work inside containers need the F flag of binfmt_misc, from Linux 4.8 on",
            hint="upgrade the kernel to 4.8 or newer",
        )
    if facts.binfmt.fix_binary is False:
        raise KernelError(
            f"kernel {release} refused a handler with the F flag ({facts.binfmt.trial_error})",
            cause="its version says it could; this build of it does not",
            hint="boot the distribution's own kernel, 4.8 or newer",
        )
    if facts.binfmt.mounted == "binfmt_misc" and "ro" in facts.binfmt.options:
        raise KernelError(
            f"{paths.BINFMT} is read-only",
            cause="this is a container; handlers belong to the machine it runs on",
            hint="provision the machine itself",
        )
