"""The faults of what buildkitd stands on, on today's Debian sid."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bare.test_faults import (
    Bench,
    provisioned,
    pytestmark,
    test_a_fault_is_exactly_its_finding,
    test_a_sound_host_has_none,
    test_and_none_at_the_end,
)

__all__ = [
    "pytestmark",
    "test_a_fault_is_exactly_its_finding",
    "test_a_sound_host_has_none",
    "test_and_none_at_the_end",
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with provisioned("sid", tmp_path_factory.mktemp("bench")) as made:
        yield made
