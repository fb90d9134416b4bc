"""A host that answers nonsense is no defect of this tool: its answer is read as facts, or refused in words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import HostError
from tests.unit.recorded import lines, read

JUNK = st.sampled_from(["-1", "0x", "f", "9" * 30, "", "\N{BELL}", "abc", "1e9", "-", "\x00", "zz" * 40])
ANSWER = lines("provisioned")


@given(line=st.integers(0, len(ANSWER) - 1), place=st.integers(0, 12), junk=JUNK)
def test_any_field_may_be_anything(line: int, place: int, junk: str) -> None:
    fields = ANSWER[line].split("\t")
    fields[min(place, len(fields) - 1)] = junk
    with suppress(HostError):
        read([*ANSWER[:line], "\t".join(fields), *ANSWER[line + 1 :]])


@pytest.mark.parametrize("program", ["f", "xyz", "0x12"])
def test_what_cannot_be_read_is_said(program: str) -> None:
    answer = [line for line in ANSWER if not line.startswith("native\t")]
    with pytest.raises(HostError, match="makes no sense") as caught:
        read([f"native\t{program}", *answer])
    assert caught.value.hint


def test_a_part_of_less_than_nothing_is_nothing() -> None:
    assert read(["cached\tabc.part\t-5", *ANSWER]).cached["abc.part"] == 0
