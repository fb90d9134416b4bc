"""Where things live on a host. Nothing else in the code spells these paths."""

from __future__ import annotations

from typing import Final

RELEASES: Final = "/opt/buildkit"
CURRENT: Final = "/opt/buildkit/current"
BUILDCTL: Final = "/usr/local/bin/buildctl"
CONFIG: Final = "/etc/buildkit/buildkitd.toml"
UNIT: Final = "/etc/systemd/system/buildkit.service"
TMPFILES: Final = "/etc/tmpfiles.d/buildkit.conf"
MODULES: Final = "/etc/modules-load.d/binfmt_misc.conf"
LOADER: Final = "/etc/systemd/system/systemd-binfmt.service.d/provision.conf"
RULES: Final = "/etc/binfmt.d"
CACHE: Final = "/var/cache/provision"
STATE: Final = "/var/lib/buildkit"
SCRATCH: Final = "/var/lib/buildkit/tmp"
"""TMPDIR of the service (templates/buildkit.service)."""
SOCKET: Final = "/run/buildkit/buildkitd.sock"
BINFMT: Final = "/proc/sys/fs/binfmt_misc"

SERVICE: Final = "buildkit.service"
BINFMT_MOUNT: Final = "proc-sys-fs-binfmt_misc.mount"
BINFMT_AUTOMOUNT: Final = "proc-sys-fs-binfmt_misc.automount"
SYSTEMD_BINFMT: Final = "systemd-binfmt.service"
UNITS: Final = (SERVICE, BINFMT_MOUNT, BINFMT_AUTOMOUNT, SYSTEMD_BINFMT)


def rule(qemu: str) -> str:
    """The binfmt.d file of a handler: it overrides the distribution's of the same name (binfmt.d(5))."""
    return f"{RULES}/qemu-{qemu}.conf"


def interpreter(qemu: str, sha256: str) -> str:
    """The path of an emulator that was sent: named by its content, so a new one never replaces one in use."""
    return f"/usr/local/lib/provision/{sha256[:12]}/qemu-{qemu}"


def release(version: str, sha256: str) -> str:
    """The folder of an unpacked release. Its name holds the archive's digest: one folder, one content."""
    return f"{RELEASES}/{version}-{sha256[:12]}"
