"""The daemon's history, as buildctl v0.32.2 printed it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from provision.logs.builds import parse_builds
from provision.result.logs import BuildRow

FAILED: dict[str, Any] = {
    "type": 1,
    "record": {
        "Ref": "jd72k1",
        "Frontend": "dockerfile.v0",
        "FrontendAttrs": {"platform": "linux/amd64,linux/arm64", "build-arg:TOKEN": "abc"},
        "error": {"code": 2, "message": 'process "/bin/false" did not complete successfully: exit code: 1'},
        "CreatedAt": {"seconds": 1000, "nanos": 500_000_000},
        "CompletedAt": {"seconds": 1012},
        "numCachedSteps": 1,
        "numTotalSteps": 4,
    },
}


def test_a_build_that_failed() -> None:
    (row,) = parse_builds([json.dumps(FAILED)], {"jd72k1": ("#5 0.1 no",)})
    assert row == BuildRow(
        ref="jd72k1",
        status="failed",
        created=1000.5,
        seconds=11.5,
        platforms=("linux/amd64", "linux/arm64"),
        steps=4,
        cached=1,
        error='process "/bin/false" did not complete successfully: exit code: 1',
        output=("#5 0.1 no",),
    )
    assert "abc" not in str(row)


def record(**changes: object) -> str:
    """A line as Go's encoding/json writes it."""
    return json.dumps({"type": 1, "record": {**FAILED["record"], **changes}}, separators=(",", ":"))


def test_how_builds_end() -> None:
    lines = [
        record(Ref="c", CreatedAt={"seconds": 3}, error={"code": 1, "message": "context canceled"}),
        record(Ref="b", CreatedAt={"seconds": 2}, error=None),
        record(Ref="a", CreatedAt={"seconds": 1}, error=None, CompletedAt=None),
    ]
    assert [(row.ref, row.status) for row in parse_builds(lines, {})] == [
        ("a", "running"),
        ("b", "completed"),
        ("c", "canceled"),
    ]


def test_an_error_may_quote_a_whole_script() -> None:
    (row,) = parse_builds([record(error={"code": 2, "message": "x" * 100_000})], {})
    assert len(row.error) == 2000


def test_what_is_no_record_is_left_out() -> None:
    broken = [
        "",
        "null",
        "[]",
        "{}",
        '{"record": 1}',
        record(Ref="../x"),
        record(Ref="\x1b[31m"),
        "[" * 99_999,
    ]
    assert parse_builds(broken, {}) == ()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(
                [
                    "Ref",
                    "error",
                    "CreatedAt",
                    "seconds",
                    "nanos",
                    "CompletedAt",
                    "FrontendAttrs",
                    "message",
                    "platform",
                ]
            ),
            inner,
        ),
    )
)
def test_nothing_that_a_host_sends_ends_in_a_traceback(value: object) -> None:
    parse_builds(
        [json.dumps({"record": {"Ref": "a", "x": value} | (value if isinstance(value, dict) else {})})], {}
    )
