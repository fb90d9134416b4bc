"""One architecture on one host: what its probe's exit status means, and which file the kernel runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.architectures import of_platform
from provision.facts import Facts
from provision.facts.view import ArchitectureOnHost, meaning, view
from tests.unit.recorded import SPEC, facts, settled, with_probe

SETTLED = settled()


def arm64(seen: Facts) -> ArchitectureOnHost:
    return view(of_platform("linux/arm64"), SPEC, seen)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (42, "its program ran"),
        (41, "its arguments arrive shifted: the P flag does not fit the emulator"),
        (43, "its arguments arrive shifted: the P flag does not fit the emulator"),
        (126, "its emulator cannot be started inside a container"),
        (127, "its emulator cannot be started inside a container"),
        (255, "its emulator refused the program"),
        (139, "its emulator was ended by signal 11"),
        (7, "its program ended with status 7 instead of 42"),
        (-2, "its program was not run"),
    ],
)
def test_what_an_exit_status_means(status: int, words: str) -> None:
    assert meaning(status, 42).startswith(words)
    # The same of a host, as long as a handler is there.
    assert arm64(with_probe(SETTLED, "aarch64", status=status)).outcome.startswith(words)


@given(st.integers(-2, 255), st.integers(3, 99))
def test_every_status_means_something_and_only_the_right_one_is_good(status: int, expected: int) -> None:
    said = meaning(status, expected)
    assert said.startswith(("its ", "the "))
    assert (said == "its program ran") == (status == expected)


def test_without_a_handler_that_is_the_reason() -> None:
    assert arm64(facts("bare")).outcome == "no handler is registered for it"
    assert arm64(replace(facts("bare"), probes={})).outcome == "its program was not run"
