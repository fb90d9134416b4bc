"""One member of somebody's file is changed; what that person wrote around it stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.registry.json_edits import with_member, without_member

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["auths", "a", 'q"', "é", ""])
OBJECTS = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=3), max_size=4)


@given(before=OBJECTS, key=KEYS, value=VALUES, indent=st.sampled_from([None, 1, "\t"]))
def test_a_member_is_set_or_removed(
    before: dict[str, Any], key: str, value: object, indent: int | str | None
) -> None:
    text = json.dumps(before, indent=indent)
    assert json.loads(with_member(text, (key,), value)) == {**before, key: value}
    assert json.loads(without_member(text, (key,))) == {k: v for k, v in before.items() if k != key}


@given(before=OBJECTS, key=KEYS, value=VALUES, indent=st.sampled_from([None, 2]))
def test_a_member_of_a_member(before: dict[str, Any], key: str, value: object, indent: int | None) -> None:
    inner = before.get("auths", {})
    text = json.dumps(before, indent=indent)
    if not isinstance(inner, dict):
        with pytest.raises(ValueError, match="no JSON object"):
            with_member(text, ("auths", key), value)
        assert without_member(text, ("auths", key)) == text
        return
    after = json.loads(with_member(text, ("auths", key), value))
    assert after == {**before, "auths": {**inner, key: value}}
    gone = json.loads(without_member(json.dumps(after, indent=indent), ("auths", key)))
    assert gone == {**before, "auths": {k: v for k, v in inner.items() if k != key}}


FILE = """{
\t"auths": {
\t\t"https://index.docker.io/v1/":   {"auth": "YTpi"},
\t\t"other" : { }
\t},

\t"HttpHeaders": {"User-Agent":"mine"},  "number": 1.0e2
}
"""


def test_the_rest_stays_to_the_byte() -> None:
    added = with_member(FILE, ("auths", "new:5000"), {"auth": "eA=="})
    assert added == FILE.replace('"other" : { }', '"other" : { },\n\t\t"new:5000": {"auth": "eA=="}')
    assert without_member(added, ("auths", "new:5000")) == FILE
    changed = with_member(FILE, ("auths", "https://index.docker.io/v1/"), {"auth": "eA=="})
    assert changed == FILE.replace("YTpi", "eA==")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a" 1}', '{"a": 1 "b": 2}', "{1: 2}", '{"a": }', '{"a": 1,']
)
def test_what_is_no_object(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever says so
        with_member(text, ("b",), 1)
