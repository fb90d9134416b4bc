"""The flags of the tasks, with what `--help` says of them. Data only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class Option:
    """A flag of a task. What is None was not given; the configuration file or the default decides then."""

    help: str
    default: Any = None


REQUIRED: Final = inspect.Parameter.empty
"""The default of an argument that has to be given; it is taken by its place."""

COMMON: Final[Mapping[str, Option]] = {
    "hosts": Option(
        help="where: names, user@host:port, @group, all, !name; none = this machine", default=""
    ),
    "config": Option(
        help="the configuration file [./provision.toml, /etc/provision/provision.toml]", default=""
    ),
    "format": Option(
        help="table, or what is then alone on standard output: json, prometheus, junit, html",
        default="table",
    ),
    "jobs": Option(help="hosts at once [8]", default=""),
    "connect_timeout": Option(help="seconds to wait for a host to answer [10]", default=""),
    "timeout": Option(help="seconds that a host may take to apply the plan [1800]", default=""),
    "ssh_config": Option(help="an ssh_config file other than your own", default=""),
    "accept_new_host_keys": Option(
        help="add unknown host keys to known_hosts; a changed key is always refused", default=False
    ),
    "ask_sudo_password": Option(help="ask once for the sudo password of all remote hosts", default=False),
    "sudo_password_command": Option(
        help="a command that prints the sudo password, such as 'pass show ci'", default=""
    ),
}
SPEC: Final[Mapping[str, Option]] = {
    "platforms": Option(
        help="a,b: linux/amd64, arm64, arm/v7 … [all that the QEMU at hand runs]", default=""
    ),
    "interpreters": Option(help="'packages', or a path pattern such as /opt/qemu/qemu-{qemu}", default=""),
    "credentials": Option(
        help="let foreign setuid programs keep their privileges (flag C): opens a way to root", default=False
    ),
    "buildkit_version": Option(help="vX.Y.Z or latest [v0.32.2]", default=""),
    "mirror": Option(help="URL or folder that holds VERSION/ASSET instead of the release host", default=""),
    "group": Option(help="the group that may use buildkitd [buildkit]", default=""),
    "fetch": Option(help="who downloads the release: auto, host or controller", default=""),
    "allow_insecure_version": Option(help="install BuildKit below v0.12.5 all the same", default=False),
}
AGAIN: Final[Mapping[str, Option]] = {
    "only_failed": Option(
        help="repeat only the hosts that did not succeed in the last run of this command",
        default=False,
    ),
}
FLEET: Final[Mapping[str, Option]] = {
    **AGAIN,
    "canary": Option(help="how many hosts must succeed before the others begin [0]", default=""),
}
HEALTH: Final[Mapping[str, Option]] = {
    "platforms": SPEC["platforms"],
    "interpreters": SPEC["interpreters"],
    "buildkit_version": SPEC["buildkit_version"],
    "group": SPEC["group"],
    **AGAIN,
}
SEVERITY: Final = Option(
    help="exit 5 for findings as bad as this, or worse: error, warning, info", default="warning"
)
DEEP: Final = Option(
    help="also build for every platform through the daemon, and measure how slow emulation is", default=False
)
PLATFORM: Final = Option(
    help="as you call it: arm64, aarch64, linux/arm/v7, armhf, x86_64 …", default=REQUIRED
)
INTERVAL: Final = Option(help="seconds between two looks [2]", default="")
ONCE: Final = Option(help="look once instead of live; so it is where no terminal is", default=False)
_EXAMINE: Final = frozenset({"severity", "platform", "deep", "interval", "once"})
OWN: Final = frozenset({"hosts", "config", "format", "ssh_config", "ask_sudo_password", *FLEET, *_EXAMINE})
"""Options that are no keys of the configuration file."""
