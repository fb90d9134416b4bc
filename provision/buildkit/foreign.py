"""A buildkitd.toml of somebody else: what it sets, and the lines of provision.toml that say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from provision.buildkit.daemon import read_config
from provision.render import toml, toml_key

_SAME: Final[Mapping[tuple[str, ...], tuple[str, str]]] = {
    ("worker", "oci", "max-parallelism"): ("buildkit", "max_parallelism"),
    ("worker", "oci", "networkMode"): ("buildkit", "network"),
    ("worker", "oci", "reservedSpace"): ("buildkit.gc", "reservedSpace"),
    ("worker", "oci", "maxUsedSpace"): ("buildkit.gc", "maxUsedSpace"),
    ("worker", "oci", "minFreeSpace"): ("buildkit.gc", "minFreeSpace"),
    ("grpc", "tls", "cert"): ("buildkit.tls", "cert"),
    ("grpc", "tls", "key"): ("buildkit.tls", "key"),
    ("grpc", "tls", "ca"): ("buildkit.tls", "ca"),
    ("log", "level"): ("buildkit.log", "level"),
    ("log", "format"): ("buildkit.log", "format"),
    ("dns", "nameservers"): ("buildkit.dns", "nameservers"),
    ("dns", "options"): ("buildkit.dns", "options"),
    ("dns", "searchDomains"): ("buildkit.dns", "searchDomains"),
}
"""The daemon's keys, and the table and key of provision.toml that mean the same (docs/configuration.md)."""
_OF_A_REGISTRY: Final = ("http", "insecure", "mirrors", "ca")


def lost(theirs: str, ours: str) -> tuple[str, ...]:
    """What a text of somebody else sets and ours does not, or otherwise: `key = value`."""
    found = read_config(theirs)
    if found is None:
        return ("it is no TOML, so the daemon does not start with it",)
    kept = dict(_flat(read_config(ours) or {}))
    return tuple(
        f"{'.'.join(map(toml_key, key))} = {_literal(value)}"
        for key, value in _flat(found)
        if kept.get(key) != value
    )


def state_of(theirs: str) -> str:
    """The folder where a daemon with that text keeps its state; empty if it says nothing of it."""
    root = (read_config(theirs) or {}).get("root")
    return root.rstrip("/") if isinstance(root, str) else ""


def adopted(theirs: str) -> tuple[str, ...]:
    """The lines for provision.toml that keep what it has a setting for."""
    tables: dict[str, list[str]] = {}
    for key, value in _flat(read_config(theirs) or {}):
        for table, line in _lines(key, value):
            tables.setdefault(table, []).append(line)
    # A table comes before those in it.
    return tuple(line for name in sorted(tables) for line in (f"[{name}]", *tables[name]))


def _lines(key: tuple[str, ...], value: Any) -> Iterator[tuple[str, str]]:
    if key in _SAME:
        table, name = _SAME[key]
        yield table, f"{toml_key(name)} = {_literal(value)}"
    elif key[:3] == ("worker", "oci", "labels"):
        yield "buildkit.labels", f"{toml_key(key[3])} = {_literal(value)}"
    elif key[0] == "registry" and len(key) == 3 and key[2] in _OF_A_REGISTRY:
        yield f"registry.{toml_key(key[1])}", f"{key[2]} = {_literal(value)}"
    elif key == ("grpc", "address") and (addresses := [each for each in value if each.startswith("tcp://")]):
        yield "buildkit", f"listen = {_literal(addresses)}"
    elif key == ("debug",) and value is True:
        yield "buildkit.log", 'level = "debug"'


def _flat(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, (*above, key))
        else:
            yield (*above, key), value


def _literal(value: Any) -> str:
    """TOML where this tool writes it, else as Python shows it: a table in a list, a float."""
    try:
        return toml(value)
    except TypeError:
        return repr(value)
