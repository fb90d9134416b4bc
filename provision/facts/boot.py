"""What a host does with binfmt_misc at boot. Pure."""

from __future__ import annotations

from provision import paths
from provision.facts import Facts


def mounted_at_boot(facts: Facts) -> bool:
    """Whether systemd will mount binfmt_misc by itself, or when somebody looks into it."""
    automount = facts.units.get(paths.BINFMT_AUTOMOUNT, {})
    # One that was masked since the last boot still works, for now.
    by_looking = automount.get("ActiveState") == "active" and automount.get("UnitFileState") != "masked"
    mount = facts.units.get(paths.BINFMT_MOUNT, {})
    return by_looking or mount.get("UnitFileState") in ("enabled", "generated")
