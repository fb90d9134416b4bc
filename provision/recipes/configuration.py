"""A Spec as the text of a provision.toml that means the same: the version, platforms, what is not as by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Final

from provision.render import toml, toml_key
from provision.spec import Spec

_ALWAYS: Final = frozenset({"platforms", "version"})
_MOVED: Final = {"registries": "registry"}
"""Tables that stand at the top of the file, by the field of the Spec."""


_DAEMONS: Final = {"search_domains": "searchDomains"}
"""Keys that are spelled as the daemon spells them."""


def written(spec: Spec) -> str:
    """The text; `load` reads the same Spec from it."""
    root, moved = _table(spec), dict[str, Any]()
    for field, name in _MOVED.items():
        if found := root.get("buildkit", {}).pop(field, None):
            moved[name] = found
    return "\n".join(_lines({**root, **moved}, ())) + "\n"


def _table(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not as they are by default."""
    found = {}
    for field in fields(value):
        held = getattr(value, field.name)
        usual = held == _default(field) and not is_dataclass(held) and field.name not in _ALWAYS
        if held is not None and not usual:
            found[_DAEMONS.get(field.name, field.name)] = _plain(held)
    return {name: held for name, held in found.items() if held not in ({}, ())}


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _table(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Plain values before the tables below them, as TOML wants it."""
    tables = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    if path and (len(tables) < len(table) or not table):
        yield ""
        yield f"[{'.'.join(map(toml_key, path))}]"
    for name, value in table.items():
        if name not in tables:
            yield f"{toml_key(name)} = {toml(value)}"
    for name, value in tables.items():
        yield from _lines(value, (*path, name))
