"""Which keys `provision.toml` has: a row for each, by its place in the file.

Defaults are those of `spec`. Names inside `[buildkit.log]`, `.tls`, `.dns`, `.gc` and `[registry]` are the daemon's
own (buildkitd.toml). Help texts and docs/configuration.md tell the defaults as these rows do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from provision.architectures import parse_platform
from provision.buildkit import asset, gc, version
from provision.config import names, values
from provision.config.table import ANY, Setting
from provision.config.values import boolean, integer, list_of, one_of, seconds
from provision.spec import (
    LATEST,
    Buildkit,
    Emulation,
    Fetch,
    Log,
    LogFormat,
    LogLevel,
    NetworkMode,
    Registry,
    ServiceSetting,
    Source,
    Ssh,
    Tls,
)


def _platform(value: object) -> str:
    return parse_platform(values.text(value))


def _version(value: object) -> str:
    return LATEST if value == LATEST else version.canonical(values.text(value))


def _member(value: object) -> str:
    """A member of a group: a name of `[hosts]`, or where `ssh` would go."""
    name = values.text(value)
    if name.startswith("@"):
        raise ValueError(f"holds the group {values.shown(name)}; a group lists hosts")
    names.destination(name)
    return name


_EMULATION: Final = {
    "interpreters": Setting(values.interpreters, Emulation.interpreters),
    "credentials": Setting(boolean, Emulation.credentials),
}
_BUILDKIT: Final = {
    "version": Setting(_version, Buildkit.version),
    "mirror": Setting(names.mirror, unset="the release host"),
    **{f"sha256.{key}": Setting(values.digest, unset="the pinned table") for key in asset.digest_keys()},
    "group": Setting(names.group, Buildkit.group),
    "users": Setting(list_of(names.user), ()),
    "source": Setting(one_of(get_args(Source)), Buildkit.source),
    "service": Setting(one_of(get_args(ServiceSetting)), Buildkit.service),
    "fetch": Setting(one_of(get_args(Fetch)), Buildkit.fetch),
    "drain": Setting(values.duration, Buildkit.drain),
    "allow_insecure_version": Setting(boolean, Buildkit.allow_insecure_version),
    "max_parallelism": Setting(integer(1, 4096), unset="no limit"),
    "listen": Setting(list_of(names.listener), (), unset="the socket alone"),
    "network": Setting(one_of(get_args(NetworkMode)), Buildkit.network),
    f"labels.{ANY}": Setting(values.label),
    "log.level": Setting(one_of(get_args(LogLevel)), Log.level),
    "log.format": Setting(one_of(get_args(LogFormat)), Log.format),
    "tls.authority": Setting(one_of(("files", "own")), Tls.authority),
    "tls.days": Setting(integer(1, 3650), Tls.days),
    "tls.passphrase_command": Setting(values.command),
    "tls.cert": Setting(values.host_path),
    "tls.key": Setting(values.host_path),
    "tls.ca": Setting(values.host_path, unset="anyone who connects is let in"),
    "dns.nameservers": Setting(list_of(names.ip_address), (), unset="those of the host"),
    "dns.options": Setting(list_of(values.resolver_option), (), unset="those of the host"),
    "dns.searchDomains": Setting(list_of(names.nickname), (), unset="those of the host"),
    **{f"gc.{key}": Setting(values.size, unset="sized from the disk") for key in gc.KEYS},
}
_BUILDX: Final = {
    "mirror": Setting(names.mirror, unset="the release host"),
    **{f"sha256.{key}": Setting(values.digest, unset="buildx is built") for key in asset.digest_keys()},
}
_REGISTRY: Final = {
    "http": Setting(boolean, Registry.http),
    "insecure": Setting(boolean, Registry.insecure),
    "mirrors": Setting(list_of(names.registry_mirror), ()),
    "ca": Setting(list_of(values.host_path), (), unset="the host's authorities"),
}
_SSH: Final = {
    "config": Setting(values.local_path, unset="your own"),
    "known_hosts": Setting(values.local_path, unset="what the SSH configuration names"),
    "user": Setting(names.user, unset="what the SSH configuration names, else your own"),
    "accept_new_host_keys": Setting(boolean, Ssh.accept_new_host_keys),
    "connect_timeout": Setting(seconds(1, 600), unset="ConnectTimeout of the SSH configuration, else 10"),
    "timeout": Setting(seconds(1, 86400), Ssh.timeout),
    "keepalive": Setting(integer(1, 3600), Ssh.keepalive),
    "jobs": Setting(integer(1, 500), Ssh.jobs),
    "sudo_password_command": Setting(values.command),
}
_HOST: Final = {
    "host": Setting(names.host, unset="the name, which may be one of your SSH configuration"),
    "user": Setting(names.user, unset="what the SSH configuration names, else that of [ssh]"),
    "port": Setting(names.port, unset="what the SSH configuration names, else 22"),
    "jump": Setting(names.jump, unset="what the SSH configuration names"),
    "platforms": Setting(list_of(_platform), unset="those of the file"),
    "interpreters": Setting(values.interpreters, unset="those of [emulation]"),
    "service": Setting(one_of(get_args(ServiceSetting)), unset="that of [buildkit]"),
    "names": Setting(list_of(names.host), ()),
    "listen": Setting(list_of(names.listener), unset="that of [buildkit]"),
    "sudo": Setting(boolean, unset="sudo unless the login is root"),
    "sudo_password_command": Setting(values.command, unset="that of [ssh]"),
}

SETTINGS: Final[Mapping[str, Setting]] = {
    "platforms": Setting(list_of(_platform), unset="all that the QEMU at hand runs"),
    **{f"emulation.{key}": row for key, row in _EMULATION.items()},
    **{f"buildkit.{key}": row for key, row in _BUILDKIT.items()},
    **{f"buildx.{key}": row for key, row in _BUILDX.items()},
    **{f"registry.{ANY}.{key}": row for key, row in _REGISTRY.items()},
    **{f"ssh.{key}": row for key, row in _SSH.items()},
    **{f"hosts.{ANY}.{key}": row for key, row in _HOST.items()},
    f"groups.{ANY}": Setting(list_of(_member), ()),
}
"""Every key, in the order of the documentation."""
