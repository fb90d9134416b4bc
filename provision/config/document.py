"""The whole of `provision.toml` as Spec, Ssh and Inventory, with the rules that hold between its keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from provision import paths
from provision.buildkit import gc
from provision.buildkit.compatibility import conflicts
from provision.config import jumps, names
from provision.config.table import ANY, Table
from provision.spec import (
    LATEST,
    Buildkit,
    Buildx,
    Dns,
    Emulation,
    Host,
    Inventory,
    Log,
    Registry,
    Spec,
    Ssh,
    Tls,
)

_RESERVED: Final = frozenset({"all", "localhost"})


def spec(root: Table) -> Spec:
    """Platforms, `[emulation]`, `[buildkit]` and `[registry]`."""
    platforms = root.get("platforms")
    if platforms == ():
        root.fail("platforms", "is empty; leave it out to get every platform that QEMU runs")
    with root.table("emulation") as table:
        emulation = Emulation(**table.all())
    with root.table("registry") as table:
        registries = {name: _registry(table, name) for name in table.names()}
    return Spec(platforms=platforms, emulation=emulation, buildkit=_buildkit(root, registries))


def _registry(parent: Table, name: str) -> Registry:
    parent.check_name(name, names.registry)
    with parent.table(name, ANY) as table:
        registry = Registry(**table.all())
        if registry.http and registry.insecure:
            table.fail("insecure", "excludes http: plain HTTP has no certificate that could be ignored")
    return registry


def _buildkit(root: Table, registries: Mapping[str, Registry]) -> Buildkit:
    with root.table("buildkit") as table:
        values = table.all()
        if values["mirror"] and "://" not in values["mirror"]:
            values["mirror"] = _located(values["mirror"], table, "mirror")
        with table.table("labels") as labels:
            values["labels"] = labels.named(names.label_name)
        with table.table("log") as log:
            values["log"] = Log(**log.all())
        with table.table("sha256") as digests:
            values["sha256"] = digests.some()
        values |= {"tls": _tls(table), "dns": _dns(table), "gc": _gc(table), "registries": registries}
        buildkit = Buildkit(**values)
        _check_guarded(table, buildkit.tls, buildkit.listen)
        _check_version(table, buildkit)
    return buildkit


def buildx(root: Table) -> Buildx:
    """`[buildx]`."""
    with root.table("buildx") as table:
        values = table.all()
        if values["mirror"] and "://" not in values["mirror"]:
            values["mirror"] = _located(values["mirror"], table, "mirror")
        with table.table("sha256") as digests:
            values["sha256"] = digests.some()
        return Buildx(**values)


def _tls(parent: Table) -> Tls | None:
    if "tls" not in parent.names():
        return None
    with parent.table("tls") as table:
        values = table.all()
        if values["authority"] == "own":
            for key in ("cert", "key", "ca"):
                if key in table.names():
                    table.fail(key, 'excludes authority = "own", which brings files of its own')
            return Tls(**values | {"cert": paths.TLS_CERT, "key": paths.TLS_KEY, "ca": paths.TLS_CA})
        for key in ("cert", "key"):
            if key not in table.names():
                table.fail(key, "is missing: the path of a PEM file on the host")
        return Tls(**values | {"cert": values["cert"] or "", "key": values["key"] or ""})


def _dns(parent: Table) -> Dns:
    with parent.table("dns") as table:
        return Dns(
            nameservers=table.get("nameservers"),
            options=table.get("options"),
            search_domains=table.get("searchDomains"),
        )


def _gc(parent: Table) -> Mapping[str, Any]:
    with parent.table("gc") as table:
        limits = table.some()
        if not gc.is_ordered(limits):
            table.fail(
                gc.RESERVED,
                f"is above {gc.MAX_USED}, which would not hold: what is reserved is never collected",
            )
    return limits


def _check_guarded(table: Table, tls: Tls | None, listen: Iterable[str]) -> None:
    """Refuses a listener beyond loopback that does not know its clients: each of them is root on its host."""
    guarded = tls is not None and tls.ca is not None
    for address in listen:
        host, _ = names.host_port(address.removeprefix("tcp://"))
        if not guarded and not names.is_loopback(host):
            table.fail(
                "listen",
                f'{address} would let anyone who can connect become root; set authority = "own", or'
                " cert, key and ca, in [buildkit.tls], or listen on 127.0.0.1",
            )


def _check_version(table: Table, buildkit: Buildkit) -> None:
    """Refuses a version that the settings cannot be used with. `release.wanted_version` judges the latest."""
    if buildkit.version == LATEST:
        return
    for conflict in conflicts(buildkit, buildkit.version):
        *path, key = conflict.setting.split(".")
        place = table
        for part in path[1:]:
            place = place.table(part)
        place.fail(key, conflict.problem)


def ssh(root: Table) -> Ssh:
    """`[ssh]`."""
    with root.table("ssh") as table:
        values = table.all()
        files = {key: _located(values[key], table, key) for key in ("config", "known_hosts")}
        return Ssh(**values | files)


def _located(path: str | None, table: Table, key: str) -> str | None:
    """A local path made absolute: from a flag by the current folder, from the file by the file's."""
    if path is None:
        return None
    try:
        return str((table.folder(key) / Path(path).expanduser()).absolute())
    except RuntimeError:  # "~nobody"
        table.fail(key, f"names a home folder that is not there: {path}")
        return None


def inventory(root: Table, tls: Tls | None = None) -> Inventory:
    """`[hosts]` and `[groups]`. `tls` guards the listeners of hosts."""
    with root.table("hosts") as table:
        _check_reserved(table)
        described = {name: _host(table, name, tls) for name in table.names()}
        hosts = {name: _reached(table, host, described) for name, host in described.items()}
    with root.table("groups") as table:
        _check_reserved(table)
        groups = table.named(names.nickname)
    return Inventory(hosts=hosts, groups=groups)


def _host(parent: Table, name: str, tls: Tls | None) -> Host:
    parent.check_name(name, names.nickname)
    with parent.table(name, ANY) as table:
        host = Host(name=name, **table.all())
        if host.platforms == ():
            table.fail("platforms", "is empty; leave it out to get the platforms of the file")
        _check_guarded(table, tls, host.listen or ())
    return host


def _reached(table: Table, host: Host, described: Mapping[str, Host]) -> Host:
    """The host with its jump hosts written out."""
    try:
        return replace(host, jump=jumps.written_out(host, described))
    except ValueError as error:
        table.table(host.name, ANY).fail("jump", str(error))
    return host


def _check_reserved(table: Table) -> None:
    for name in table.names():
        if name in _RESERVED:
            table.fail(name, "is a word of --hosts; choose another name")
