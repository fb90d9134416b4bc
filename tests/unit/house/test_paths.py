"""Paths on a host stand in one file."""

from __future__ import annotations

import re
import shlex
from typing import Final

import pytest

from provision import paths
from tests.lab.checkout import ROOT

PATHS: Final = {
    value
    for name, constant in vars(paths).items()
    if name.isupper()
    for value in (constant if isinstance(constant, tuple) else (constant,))
    if value.startswith("/")
}
# A path ends where a name does; "/etc/buildkit" is none of them, "/etc/buildkit/buildkitd.toml" is.
SPELLED: Final = re.compile("(?:" + "|".join(map(re.escape, PATHS)) + r")(?![\w-])")
# Docstrings, comments and files that users read may name them.
PROSE: Final = re.compile(r'"""[\s\S]*?"""|^\s*#.*$|\s#\s.*$', re.MULTILINE)
SOURCES: Final = sorted(
    path
    for folder, kinds in (("provision", "*.py"), ("templates", "*.*"))
    for path in (ROOT / folder).rglob(kinds)
    if path.name != "paths.py"
)


def test_each_is_one_word_of_sh_as_it_stands() -> None:
    """Templates use them without quotes, also inside patterns."""
    assert {path for path in PATHS if shlex.quote(path) != path} == set()
    assert all(shlex.quote(unit) == unit for unit in (*paths.UNITS, paths.DIGEST))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_file_spells_a_path_of_a_host(path: str) -> None:
    text = PROSE.sub("", (ROOT / path).read_text(encoding="utf-8"))
    assert SPELLED.findall(text) == []
