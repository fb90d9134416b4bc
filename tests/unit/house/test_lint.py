"""The linters, as tests: a change that any of them refuses does not pass."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.lab.checkout import ROOT, files

# The interpreter's own folder: shellcheck and ruff come with the dev extra.
BIN: Final = Path(sys.executable).parent


def accept(*command: str | Path, given: str | None = None, name: str = "") -> None:
    """Run a linter in the checkout; what it objects to is the failure's text."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(
            f"{name or command[-1]}: {command[0]} exits {done.returncode}\n{done.stdout}", pytrace=False
        )


def test_ruff_check() -> None:
    accept(BIN / "ruff", "check", "--no-fix", ".")


def test_ruff_format() -> None:
    accept(BIN / "ruff", "format", "--check", "--diff", ".")


def test_mypy_strict() -> None:
    accept(sys.executable, "-m", "mypy")


def test_the_arrows_between_rooms() -> None:
    # Its own cache folder would be one more thing in the checkout, and saves less than a second.
    accept(BIN / "lint-imports", "--no-cache")


def shell_scripts() -> list[Path]:
    """What a shell reads as it stands: by its first line, templates aside."""
    found = []
    for path in files():
        with path.open("rb") as file:
            first = file.readline(64)
        if (
            re.match(rb"#! ?/(usr/)?bin/(env )?(sh|bash)\b", first)
            and ROOT / "templates" not in path.parents
        ):
            found.append(path)
    return found


def test_bootstrap_and_ci_are_among_the_scripts() -> None:
    assert {ROOT / "inv", ROOT / ".ci/run"} <= set(shell_scripts())


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck(script: Path) -> None:
    accept(BIN / "shellcheck", script)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_bootstrap_parses(shell: str) -> None:
    accept(shell, "-n", ROOT / "inv")


def test_scripts_are_executable() -> None:
    # What tests read in and write elsewhere need not be.
    ours = [path for path in shell_scripts() if ROOT / "tests" not in path.parents]
    plain = [path for path in ours if not path.stat().st_mode & stat.S_IXUSR]
    assert plain == []


# A path that means something on one machine alone. Spelt in pieces, so that this file is clean.
PRIVATE: Final = re.compile(
    rb"/" + rb"work/(main|shared|\.)"
    rb"|/" + rb"root/\.pyenv"
    rb"|/" + rb"tmp/(contract|lab-api)"
    rb"|/" + rb"home/(?!(user|me|alice|builder|ci|vagrant|pi)\b)[a-z]+/"
    rb"|pkg" + rb"\.dev/"
)


def test_no_paths_of_one_machine() -> None:
    strange = {
        str(path.relative_to(ROOT)): found.group().decode()
        for path in files()
        if (found := PRIVATE.search(path.read_bytes()))
    }
    assert strange == {}


def test_no_symlink_and_no_large_file() -> None:
    bad = [path for path in files() if path.is_symlink() or path.stat().st_size > 512 * 1024]
    assert bad == []
