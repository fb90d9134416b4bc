"""What a host does with binfmt_misc at boot. Pure."""

from __future__ import annotations

from provision import paths
from provision.facts import Facts


def mounted_at_boot(facts: Facts) -> bool:
    """Whether systemd will mount binfmt_misc by itself, or when something opens it."""
    automount, mount = facts.unit(paths.BINFMT_AUTOMOUNT), facts.unit(paths.BINFMT_MOUNT)
    # An automount that was masked after the boot works until the next one.
    by_looking = automount.active == "active" and automount.file_state != "masked"
    return by_looking or mount.file_state in ("enabled", "generated")
