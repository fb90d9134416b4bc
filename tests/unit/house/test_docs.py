"""The documentation names what there is: its settings, defaults and flags are the product's, and so are its errors."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import provision
from provision.cli.options import COMMON, SPEC
from provision.config.load import load
from provision.config.settings import SETTINGS
from provision.config.table import ANY
from provision.errors import ProvisionError
from provision.spec import DEFAULT_VERSION

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).resolve().parents[3] / "docs"


def example() -> str:
    """The whole provision.toml of the configuration page."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    found = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1].replace("…64 hex…", "ab" * 32)


def test_the_example_loads(tmp_path: Path) -> None:
    file = tmp_path / "provision.toml"
    file.write_text(example(), encoding="utf-8")
    config = load(file)
    assert config.spec.buildkit.registries["registry.example:5000"].mirrors == ("mirror.example",)
    assert config.inventory.groups["runners"] == ("pi1", "ci2")


@dataclass(frozen=True)
class Shown:
    """A key of the example: its value, and what its comment says."""

    value: object
    comment: str


def shown_settings() -> dict[str, Shown]:
    """Each setting that the example shows, by its place among the rows."""
    found: dict[str, Shown] = {}
    table = key = ""
    for line in example().splitlines():
        code, _, comment = (part.strip() for part in line.partition("#"))
        if code.startswith("["):
            table = code.strip("[]")
        elif code:
            ((key, value),) = tomllib.loads(code).items()
            if isinstance(value, dict):
                ((name, value),) = value.items()
                key = f"{key}.{name}"
            found[row(table, key)] = Shown(value, comment)
        elif comment:
            found[row(table, key)] = Shown(
                found[row(table, key)].value, f"{found[row(table, key)].comment} {comment}"
            )
    return found


def row(table: str, key: str) -> str:
    """The place of a key's row: the names that the user chooses are no part of it."""
    place = f"{table}.{key}" if table else key
    if place in SETTINGS:
        return place
    first, _, _ = table.partition(".")
    return f"{table}.{ANY}" if table in ("groups", "buildkit.labels") else f"{first}.{ANY}.{key}"


def test_the_example_shows_every_setting_and_no_other() -> None:
    digests = {place for place in SETTINGS if ".sha256." in place}
    not_shown = digests - shown_settings().keys()
    assert {place.partition(".")[0] for place in digests - not_shown} == {"buildkit", "buildx"}
    assert len(digests - not_shown) == 2
    assert shown_settings().keys() == SETTINGS.keys() - not_shown


@pytest.mark.parametrize("place", shown_settings())
def test_the_example_tells_each_default(place: str) -> None:
    """As the value that it shows, or in the comment and then in the words of the help."""
    shown, setting = shown_settings()[place], SETTINGS[place]
    told = [part.removeprefix("default: ") for part in shown.comment.split("; ") if "default: " in part]
    if setting.unset:
        assert told == [setting.unset]
    else:
        assert told == []
        assert setting.default in (None, ()) or shown.value == setting.default


def test_the_example_names_each_flag_at_its_setting() -> None:
    expected = {
        option.setting: f"--{name.replace('_', '-')}"
        for name, option in {**COMMON, **SPEC}.items()
        if option.setting
    }
    seen = {place: re.findall(r"--[a-z-]+", each.comment) for place, each in shown_settings().items()}
    del seen[f"groups.{ANY}"]  # where a group is used
    assert {place: flags for place, flags in seen.items() if flags} == {
        place: [flag] for place, flag in expected.items()
    }


def test_every_error_has_its_row() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (\d+) \|", page, re.MULTILINE))
    # A class counts once its module is loaded.
    for module in pkgutil.walk_packages(provision.__path__, "provision."):
        importlib.import_module(module.name)
    assert {kind.code: str(kind.exit_code) for kind in shown(ProvisionError)} == rows


def shown(kind: type[ProvisionError]) -> list[type[ProvisionError]]:
    """The kinds of error that a user meets under a code of their own."""
    own = [kind] if "code" in vars(kind) and kind is not ProvisionError else []
    return own + [each for child in kind.__subclasses__() for each in shown(child)]


def test_the_default_version_stands_in_one_place() -> None:
    """A new default is one line; what names a version in passing takes it from there."""
    package = Path(provision.__file__).parent
    found = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and DEFAULT_VERSION.removeprefix("v") in node.value
    ]
    assert found == ["spec.py"]
