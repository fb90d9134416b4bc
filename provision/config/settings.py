"""Which tables and keys `provision.toml` has. Names inside `[buildkit.log]`, `.tls`, `.dns`, `.gc` and
`[registry]` are the daemon's own (buildkitd.toml).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

from provision.architectures import parse_platform
from provision.buildkit import asset, version
from provision.config import jumps, names, values
from provision.config.names import destination
from provision.config.table import Section
from provision.spec import (
    LATEST,
    Buildkit,
    Dns,
    Emulation,
    Fetch,
    Host,
    Inventory,
    Log,
    LogFormat,
    LogLevel,
    NetworkMode,
    Registry,
    Spec,
    Ssh,
    Tls,
)

_RESERVED: Final = frozenset({"all", "localhost"})


def _platform(value: object) -> str:
    return parse_platform(values.text(value))


def _version(value: object) -> str:
    return LATEST if value == LATEST else version.canonical(values.text(value))


def _located(path: str | None, section: Section, key: str) -> str | None:
    """A local path made absolute: from a flag by the current folder, from the file by the file's."""
    if path is None:
        return None
    try:
        return str((section.folder(key) / Path(path).expanduser()).absolute())
    except RuntimeError:  # "~nobody"
        section.fail(key, f"names a home folder that is not there: {path}")
        return None


def spec(root: Section) -> Spec:
    """Platforms, `[emulation]`, `[buildkit]` and `[registry]`."""
    default = Emulation()
    platforms = root.get("platforms", values.list_of(_platform), None)
    if platforms == ():
        root.fail("platforms", "is empty; leave it out to get every platform that QEMU runs")
    with root.table("emulation") as section:
        emulation = Emulation(
            interpreters=section.get("interpreters", values.interpreters, default.interpreters),
            credentials=section.get("credentials", values.boolean, default.credentials),
        )
    with root.table("registry") as section:
        registries = {name: _registry(section, name) for name in section.names()}
    return Spec(platforms=platforms, emulation=emulation, buildkit=_buildkit(root, registries))


def _registry(parent: Section, name: str) -> Registry:
    parent.check_name(name, names.host_port)
    with parent.table(name) as section:
        registry = Registry(
            http=section.get("http", values.boolean, False),
            insecure=section.get("insecure", values.boolean, False),
            mirrors=section.get("mirrors", values.list_of(names.registry_mirror), ()),
            ca=section.get("ca", values.list_of(values.host_path), ()),
        )
        if registry.http and registry.insecure:
            section.fail("insecure", "excludes http: plain HTTP has no certificate that could be ignored")
    return registry


def _buildkit(root: Section, registries: Mapping[str, Registry]) -> Buildkit:
    default = Buildkit()
    with root.table("buildkit") as section:
        mirror = section.get("mirror", values.mirror, default.mirror)
        if mirror and "://" not in mirror:
            mirror = _located(mirror, section, "mirror")
        buildkit = Buildkit(
            version=section.get("version", _version, default.version),
            mirror=mirror,
            sha256=_some(section, "sha256", values.digest, asset.keys()),
            group=section.get("group", names.group, default.group),
            users=section.get("users", values.list_of(names.user), default.users),
            fetch=section.get("fetch", values.one_of(get_args(Fetch)), default.fetch),
            allow_insecure_version=section.get(
                "allow_insecure_version", values.boolean, default.allow_insecure_version
            ),
            max_parallelism=section.get("max_parallelism", values.integer(1, 4096), default.max_parallelism),
            labels=_labels(section),
            log=_log(section),
            listen=section.get("listen", values.list_of(names.listener), default.listen),
            tls=_tls(section),
            network=section.get("network", values.one_of(get_args(NetworkMode)), default.network),
            dns=_dns(section),
            gc=_some(section, "gc", values.size, ("reservedSpace", "maxUsedSpace", "minFreeSpace")),
            registries=registries,
        )
        _check_listeners(section, buildkit)
    return buildkit


def _some(parent: Section, key: str, reader: values.Reader[Any], known: Sequence[str]) -> dict[str, Any]:
    """A table with some of the known names."""
    with parent.table(key) as section:
        values = {name: section.get(name, reader, None) for name in known}
    return {name: value for name, value in values.items() if value is not None}


def _labels(parent: Section) -> dict[str, str]:
    with parent.table("labels") as section:
        for name in section.names():
            section.check_name(name, values.label_name)
        return {name: section.get(name, values.label, "") for name in section.names()}


def _log(parent: Section) -> Log:
    default = Log()
    with parent.table("log") as section:
        return Log(
            level=section.get("level", values.one_of(get_args(LogLevel)), default.level),
            format=section.get("format", values.one_of(get_args(LogFormat)), default.format),
        )


def _tls(parent: Section) -> Tls | None:
    if "tls" not in parent.names():
        return None
    with parent.table("tls") as section:
        for key in ("cert", "key"):
            if key not in section.names():
                section.fail(key, "is missing: the path of a PEM file on the host")
        return Tls(
            cert=section.get("cert", values.host_path, ""),
            key=section.get("key", values.host_path, ""),
            ca=section.get("ca", values.host_path, None),
        )


def _dns(parent: Section) -> Dns:
    with parent.table("dns") as section:
        return Dns(
            nameservers=section.get("nameservers", values.list_of(names.ip_address), ()),
            options=section.get("options", values.list_of(values.resolver_option), ()),
            search_domains=section.get("searchDomains", values.list_of(names.nickname), ()),
        )


def _check_listeners(section: Section, buildkit: Buildkit) -> None:
    """Whoever can talk to buildkitd is root on its host, so beyond loopback it must know its clients."""
    guarded = buildkit.tls is not None and buildkit.tls.ca is not None
    for address in buildkit.listen:
        host, _ = names.host_port(address.removeprefix("tcp://"))
        if not guarded and not names.is_loopback(host):
            section.fail(
                "listen",
                f"{address} would let anyone who can connect become root; set cert, key and ca"
                " in [buildkit.tls], or listen on 127.0.0.1",
            )


def ssh(root: Section) -> Ssh:
    """`[ssh]`."""
    default = Ssh()
    with root.table("ssh") as section:
        files = {key: section.get(key, values.local_path, None) for key in ("config", "known_hosts")}
        return Ssh(
            config=_located(files["config"], section, "config"),
            known_hosts=_located(files["known_hosts"], section, "known_hosts"),
            user=section.get("user", names.user, default.user),
            accept_new_host_keys=section.get(
                "accept_new_host_keys", values.boolean, default.accept_new_host_keys
            ),
            connect_timeout=section.get("connect_timeout", values.seconds(1, 600), default.connect_timeout),
            timeout=section.get("timeout", values.seconds(1, 86400), default.timeout),
            keepalive=section.get("keepalive", values.integer(1, 3600), default.keepalive),
            jobs=section.get("jobs", values.integer(1, 500), default.jobs),
            sudo_password_command=section.get(
                "sudo_password_command", values.command, default.sudo_password_command
            ),
        )


def inventory(root: Section) -> Inventory:
    """`[hosts]` and `[groups]`."""
    with root.table("hosts") as section:
        described = {name: _host(section, name) for name in section.names()}
        hosts = {name: _reached(section, host, described) for name, host in described.items()}
    with root.table("groups") as section:
        for name in section.names():
            _check_name(section, name)
        groups = {name: section.get(name, values.list_of(_member), ()) for name in section.names()}
    return Inventory(hosts=hosts, groups=groups)


def _host(parent: Section, name: str) -> Host:
    _check_name(parent, name)
    with parent.table(name) as section:
        platforms = section.get("platforms", values.list_of(_platform), None)
        if platforms == ():
            section.fail("platforms", "is empty; leave it out to get the platforms of the file")
        return Host(
            name=name,
            host=section.get("host", names.host, None),
            user=section.get("user", names.user, None),
            port=section.get("port", names.port, None),
            jump=section.get("jump", names.jump, None),
            platforms=platforms,
            interpreters=section.get("interpreters", values.interpreters, None),
            sudo=section.get("sudo", values.boolean, None),
            sudo_password_command=section.get("sudo_password_command", values.command, None),
        )


def _reached(section: Section, host: Host, described: Mapping[str, Host]) -> Host:
    """The host with its jump hosts written out."""
    try:
        return replace(host, jump=jumps.written_out(host, described))
    except ValueError as error:
        section.table(host.name).fail("jump", str(error))
    return host


def _check_name(section: Section, name: str) -> None:
    section.check_name(name, names.nickname)
    if name in _RESERVED:
        section.fail(name, "is a word of --hosts; choose another name")


def _member(value: object) -> str:
    """A member of a group: a name of `[hosts]`, or where `ssh` would go."""
    name = values.text(value)
    if name.startswith("@"):
        raise ValueError(f"holds the group {values.shown(name)}; a group lists hosts")
    destination(name)
    return name
