"""What runs as process 1 of a lab host: its packages, how to tell that it is up, how an operator reboots it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Init:
    """One service manager as the lab boots it. `up` and `reboot` are shell text for the host."""

    name: str
    packages: tuple[str, ...]
    up: str
    """Succeeds once everything that starts at boot has started."""
    reboot: str
    kill_signal: str = "SIGRTMIN+3"
    """What makes it power off (systemd(1)); nspawn sends it."""


SYSTEMD: Final = Init(
    name="systemd",
    packages=("systemd", "systemd-sysv", "dbus"),
    up='[ "$(systemctl is-system-running --wait)" = running ]',
    reboot="systemctl --no-block reboot",
)
OPENRC: Final = Init(
    name="openrc",
    packages=("openrc", "sysvinit-core"),
    # OpenRC keeps the file while services of a runlevel start (RC_STARTING in its librc).
    up="[ ! -e /run/openrc/rc.starting ] && grep -qx default /run/openrc/softlevel",
    reboot="reboot",
    # sysvinit takes no signal for a poweroff, and the disk is thrown away.
    kill_signal="SIGKILL",
)
