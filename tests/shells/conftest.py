"""Fixtures of the shells rung: the same host three times, each with another shell and userland."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab import requirements
from tests.lab.namespace import Root
from tests.shells.machine import Machine

SHELLS = ("dash", "bash", "busybox")


@pytest.fixture(
    params=[SHELLS[0], *(pytest.param(shell, marks=pytest.mark.thorough) for shell in SHELLS[1:])]
)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A bare host: coreutils under dash and bash, nothing but busybox under its sh."""
    with closing(furnished(tmp_path, request.param)) as made:
        yield made


@pytest.fixture
def each_machine(tmp_path: Path) -> Iterator[tuple[Machine, ...]]:
    """One of every kind, to compare."""
    made = tuple(furnished(tmp_path, shell) for shell in SHELLS)
    yield made
    for machine in made:
        machine.close()


def furnished(folder: Path, shell: str) -> Machine:
    """A host in a folder of its own; without a private binfmt_misc the test cannot run here."""
    requirements.require("private-binfmt")
    return Machine(base=Root(folder / shell, shell))
