"""The documentation names what there is: the settings it shows load, and its tables hold every error."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from pathlib import Path

import provision
from provision import errors
from provision.config.load import load
from provision.errors import ProvisionError

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


def test_the_example_shows_every_setting() -> None:
    """A key that the code asks for and the page lacks would be a secret."""
    package = Path(errors.__file__).parent
    source = (package / "config/settings.py").read_text(encoding="utf-8")
    asked = set(re.findall(r'\.get\(\s*"(\w+)"', source))
    assert len(asked) > 30
    shown = set(re.findall(r"^(\w+) = ", example(), re.MULTILINE))
    assert asked <= shown


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


def test_the_toml_of_the_page_is_toml() -> None:
    assert tomllib.loads(example())["buildkit"]["version"] == "v0.32.2"
