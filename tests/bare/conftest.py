"""The root that the tests of this rung run in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.bare import SUITES, BareRoot
from tests.lab.nspawn import machine_table


@pytest.fixture(scope="session", autouse=True)
def untouched_machine() -> Iterator[None]:
    """Whatever is done in a root, the handlers of this machine stay as they were."""
    before = machine_table()
    yield
    assert machine_table() == before


@pytest.fixture(params=SUITES)
def bare_root(request: pytest.FixtureRequest) -> Iterator[BareRoot]:
    """A root that nobody has touched, of each Debian; a test may name one by `parametrize(…, indirect=True)`."""
    with BareRoot(request.param) as root:
        yield root
