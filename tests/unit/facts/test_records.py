"""The record format, read at once and line by line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provision.facts.records import RecordReader, records


def test_a_record_its_fields_and_its_text() -> None:
    first, second = records(["|a banner", "kind\ta\t\tc", "|one", "||two", "|", "end"])
    assert (first.kind, first.fields, first.text) == ("kind", ("a", "", "c"), "one\n|two\n\n")
    assert (first[2], first[3]) == ("c", "")
    assert (second.kind, second.fields, second.text) == ("end", (), "")


def test_a_record_is_known_at_its_first_line_and_its_text_grows() -> None:
    reader = RecordReader()
    begun = reader.read("step\tx")
    assert begun
    assert begun.text == ""
    assert reader.read("|more") is None
    assert begun.text == "more\n"
    assert reader.read("step\ty") is not begun
    reader.read("|other")
    assert begun.text == "more\n"


@given(st.lists(st.text(st.characters(exclude_characters="\n"))))
def test_no_line_is_lost(lines: list[str]) -> None:
    """But for text before the first record: it is a login script's."""
    found = records(lines)
    heads = [line for line in lines if not line.startswith("|")]
    texts = [line[1:] for line in lines if line.startswith("|")]
    assert ["\t".join((each.kind, *each.fields)) for each in found] == heads
    kept = [line for each in found for line in each.lines]
    assert kept == texts[len(texts) - len(kept) :]
