"""One member of a JSON object changed in its text: all other bytes stay as somebody wrote them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, kw_only=True)
class _Member:
    key: str
    start: int
    """Of the key."""
    value: int
    end: int


def with_member(text: str, path: tuple[str, ...], value: object) -> str:
    """The text of an object with `value` under the keys of `path`; objects on the way are made if missing.

    Raises ValueError for a text that is no JSON object, or has something else on the way.
    """
    start = _skip(text, 0)
    members, end = _members(text, start)
    found = _last(members, path[0])
    if len(path) > 1:
        inner = text[found.value : found.end] if found else "{}"
        written = with_member(inner, path[1:], value)
    else:
        written = json.dumps(value)
    if found:
        return text[: found.value] + written + text[found.end :]
    return _inserted(text, start, members, end, f"{json.dumps(path[0])}: {written}")


def without_member(text: str, path: tuple[str, ...]) -> str:
    """The text without what is under the keys of `path`; the same if there is nothing. Raises ValueError."""
    start = _skip(text, 0)
    members, end = _members(text, start)
    found = _last(members, path[0])
    if found is None:
        return text
    if len(path) > 1:
        inner = text[found.value : found.end]
        if not inner.startswith("{"):
            return text
        return text[: found.value] + without_member(inner, path[1:]) + text[found.end :]
    at = members.index(found)
    if at:  # with the comma before it
        return text[: members[at - 1].end] + text[found.end :]
    if len(members) > 1:
        return text[: found.start] + text[members[1].start :]
    return text[: start + 1] + text[end:]


def _inserted(text: str, start: int, members: list[_Member], end: int, member: str) -> str:
    """As the last member, indented as the others are."""
    if members:
        last = members[-1]
        before = text[(members[-2].end if len(members) > 1 else start + 1) : last.start]
        return f"{text[: last.end]},{before.lstrip(',') or ' '}{member}{text[last.end :]}"
    return f"{text[: start + 1]}{member}{text[end:]}"


def _last(members: list[_Member], key: str) -> _Member | None:
    """Where a key stands twice, readers take the last."""
    return next((each for each in reversed(members) if each.key == key), None)


def _members(text: str, at: int) -> tuple[list[_Member], int]:
    """The members of the object that begins here, and where its closing brace is."""
    if text[at : at + 1] != "{":
        raise ValueError("it is no JSON object")
    members: list[_Member] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        if members:
            if text[at : at + 1] != ",":
                raise ValueError(f"a comma is missing at {at}")
            at = _skip(text, at + 1)
        start = at
        if text[at : at + 1] != '"':
            raise ValueError(f"a key is missing at {at}")
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError(f"a colon is missing at {at}")
        value = _skip(text, at + 1)
        _, end = _DECODER.raw_decode(text, value)
        members.append(_Member(key=key, start=start, value=value, end=end))
        at = _skip(text, end)
    return members, at


def _skip(text: str, at: int) -> int:
    found: Any = _SPACE.match(text, at)
    return int(found.end())
