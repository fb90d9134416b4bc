"""The help of a command teaches: what it does, how it is typed, its own options first, and what values are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from provision.cli import tasks as cli
from provision.cli.options import COMMON
from tests.lab.cli import provision

TASKS: dict[str, Any] = {task.name: task for task in cli.namespace().tasks.values()}
FRAMEWORK = ("Docstring", "core-opts", "other tasks", "STRING", "=INT", "=BOOL")


@pytest.mark.parametrize("name", TASKS)
def test_two_examples_that_are_commands_of_its_own(name: str) -> None:
    examples = TASKS[name].examples
    assert len(examples) == 2
    for example in examples:
        assert example.split()[0] == name
        flags = {word.partition("=")[0] for word in example.split() if word.startswith("--")}
        known = {f"--{key.replace('_', '-')}" for key in TASKS[name].options}
        assert flags <= known


@pytest.mark.parametrize("name", TASKS)
def test_each_value_is_named(name: str) -> None:
    unnamed = [
        key
        for key, option in TASKS[name].options.items()
        if option.default is not False and not option.value
    ]
    assert unnamed == []
    assert not [
        option.value for option in TASKS[name].options.values() if option.value != option.value.upper()
    ]


def test_the_whole_of_one(tmp_path: Path) -> None:
    seen = provision("health", "--help", cwd=tmp_path, env={"COLUMNS": "80"})
    assert (seen.code, seen.err) == (0, "")
    lines = seen.out.splitlines()
    assert lines[0] == "Usage: provision health [--options]"
    assert lines[2].startswith("Will the next build work, and after the next reboot too?")
    assert (
        lines.index("Examples:") < lines.index("Its own options:") < lines.index("Options of every command:")
    )
    assert re.search(r"^  --severity SEVERITY +exit 5", seen.out, re.MULTILINE)
    own, _, common = seen.out.partition("Options of every command:")
    for key in COMMON:
        flag = f"  --{key.replace('_', '-')}"
        assert flag in common
        assert flag not in own
    assert max(map(len, lines)) <= 80
    assert not [word for word in FRAMEWORK if word in seen.out]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("explain", ("Usage: provision explain PLATFORM [--options]", "  PLATFORM  as you call it")),
        ("login", ("  -u, --username USER", "  --password-stdin  ")),
        ("logs", ("  --since TIME", "  --bundle FILE", "  --follow")),
        ("hosts", ("Options of every command:",)),
    ],
)
def test_parts_of_others(name: str, lines: tuple[str, ...], tmp_path: Path) -> None:
    seen = provision(name, "--help", cwd=tmp_path).out
    assert [line for line in lines if line not in seen] == []


def test_a_narrow_terminal(tmp_path: Path) -> None:
    seen = provision("provision", "--help", cwd=tmp_path, env={"COLUMNS": "20"})
    assert seen.code == 0
    assert "--hosts HOSTS" in seen.out
