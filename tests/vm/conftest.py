"""One fresh machine for the rung. It takes half a minute to boot, so the tests share it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import checkout
from tests.lab.vm import Machine

CHECKOUT = "provision-checkout"


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A machine as an installer leaves it, with a clone of this checkout in its user's home."""
    with Machine() as made:
        made.unpack(checkout.archive(), CHECKOUT)
        yield made
