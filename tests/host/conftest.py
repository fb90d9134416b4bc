"""The parts of the host rung: a BuildKit release, a registry, as many fresh machines as a test asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.mirror import Mirror
from tests.lab.nspawn import Host, machine_table
from tests.lab.registry import Registry
from tests.lab.release import Release, publish
from tests.lab.rootfs import SUITE


@pytest.fixture(scope="session", autouse=True)
def untouched_machine() -> Iterator[None]:
    """Whatever a host does to its handlers, this machine's own stay as they were."""
    before = machine_table()
    yield
    assert machine_table() == before


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """The default BuildKit release in a mirror folder of this test's own, to be spoiled at will."""
    return publish(tmp_path / "mirror")


@pytest.fixture
def mirror(release: Release) -> Iterator[Mirror]:
    """The release's folder over HTTP; `/latest` is that release."""
    with Mirror(release.mirror, latest=release.version) as server:
        yield server


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """One for the run: tests keep apart by image name."""
    with Registry() as server:
        yield server


@pytest.fixture
def boot() -> Iterator[Callable[[str], Host]]:
    """Boots a bare Debian host of the given name; several make a fleet. All are gone after the test."""
    with ExitStack() as hosts:
        yield lambda name: hosts.enter_context(Host(name))


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """One bare Debian host; a test may name the release."""
    with Host("lab", suite=getattr(request, "param", SUITE)) as host:
        yield host
