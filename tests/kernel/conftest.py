"""Fixtures of the kernel rung."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.namespace import Namespace, private_table


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A user and mount namespace with an empty binfmt_misc of its own; the machine's is untouched."""
    with private_table() as made:
        yield made
