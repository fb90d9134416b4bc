"""The daemon's files: buildkitd.toml, its unit, and the folder of its socket. All three are pure texts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from provision import paths
from provision.buildkit.compatibility import LIMITS_SINCE
from provision.buildkit.gc import MAX_USED, RESERVED, Size, limits, lowers_reserve, sized, steady
from provision.buildkit.version import at_least
from provision.render import render
from provision.spec import Buildkit, Log

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]


CAPABILITIES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "CAP_CHOWN": 0,
        "CAP_DAC_OVERRIDE": 1,
        "CAP_FOWNER": 3,
        "CAP_FSETID": 4,
        "CAP_KILL": 5,
        "CAP_SETGID": 6,
        "CAP_SETUID": 7,
        "CAP_SETPCAP": 8,
        "CAP_NET_BIND_SERVICE": 10,
        "CAP_NET_RAW": 13,
        "CAP_SYS_CHROOT": 18,
        "CAP_SYS_ADMIN": 21,
        "CAP_MKNOD": 27,
        "CAP_AUDIT_WRITE": 29,
        "CAP_SETFCAP": 31,
    }
)
"""What a build step is given (defaultUnixCaps in containerd's pkg/oci/spec.go), and what runc needs to start it
(CAP_SYS_ADMIN), by their numbers (linux/capability.h)."""


def render_config(buildkit: Buildkit, version: str, disk_bytes: int, *, before: str = "") -> str:
    """The text of buildkitd.toml for the daemon of `version`, which suits the settings (`compatibility.conflicts`).

    `disk_bytes` is the size of the filesystem that holds the daemon's state, 0 if unknown; limits the user
    leaves open follow from it (`gc.sized`). Addresses are in the unit: one --addr overrides them all. `before` is the
    text on the host, whose limits stay where they fit (`gc.steady`).
    """
    return render(
        "buildkitd.toml",
        version=version,
        log=_log(buildkit.log),
        tls=buildkit.tls,
        dns=buildkit.dns,
        gc=_gc(buildkit, version, disk_bytes, before),
        max_parallelism=buildkit.max_parallelism,
        # "auto" is what the daemon does anyway.
        network=None if buildkit.network == "auto" else buildkit.network,
        labels=buildkit.labels,
        registries=buildkit.registries,
    )


def read_config(text: str) -> Mapping[str, Any] | None:
    """The settings in a buildkitd.toml; None if it is no TOML: then the daemon does not start with it."""
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return found


def render_unit(buildkit: Buildkit, version: str, generation: str) -> str:
    """The text of buildkit.service.

    `generation` names what the daemon is started from; a later run reads it from the daemon's environment.
    """
    return render(
        "buildkit.service",
        version=version,
        generation=generation,
        group=buildkit.group,
        addresses=addresses(buildkit),
        paths=paths,
    )


def addresses(buildkit: Buildkit) -> tuple[str, ...]:
    """All that the daemon listens on."""
    return (f"unix://{paths.SOCKET}", *buildkit.listen)


def render_tmpfiles(buildkit: Buildkit) -> str:
    """The text of tmpfiles.d/buildkit.conf."""
    return render("buildkit.tmpfiles.conf", group=buildkit.group, paths=paths)


def warnings(buildkit: Buildkit, disk_bytes: int) -> tuple[str, ...]:
    """What is allowed and dangerous, or not done as it was wanted, a sentence each. `disk_bytes` as above."""
    return (*_exposed(buildkit), *_reserve(buildkit, disk_bytes))


def _exposed(buildkit: Buildkit) -> tuple[str, ...]:
    exposed = buildkit.listen and (buildkit.tls is None or buildkit.tls.ca is None)
    if not exposed or buildkit.network == "bridge":
        return ()
    warning = (
        f"Every build step shares the host's network: without TLS it can reach {buildkit.listen[0]} and "
        'become root on this machine. Set buildkit.network = "bridge", or buildkit.tls.'
    )
    return (warning,)


def _reserve(buildkit: Buildkit, disk_bytes: int) -> tuple[str, ...]:
    if not lowers_reserve(buildkit.gc, disk_bytes):
        return ()
    reserved, maximum = buildkit.gc[RESERVED], buildkit.gc[MAX_USED]
    warning = (
        f"On this disk buildkit.gc.{RESERVED} ({reserved}) is above {MAX_USED} ({maximum}), and would beat it: "
        f"{maximum} is written for both."
    )
    return (warning,)


def _log(log: Log) -> dict[str, str]:
    """Defaults are not written, because an older daemon does not know these keys."""
    wanted = {"format": (log.format, Log.format), "level": (log.level, Log.level)}
    return {key: value for key, (value, default) in wanted.items() if value != default}


def _gc(buildkit: Buildkit, version: str, disk_bytes: int, before: str) -> dict[str, Size]:
    stood = ((read_config(before) or {}).get("worker") or {}).get("oci") or {}
    if at_least(version, LIMITS_SINCE):
        return limits(buildkit.gc, disk_bytes, stood)
    maximum = sized(disk_bytes).get(MAX_USED)
    # The one limit there was then: what is above it is collected.
    return {} if maximum is None else steady({"gckeepstorage": maximum}, stood)
