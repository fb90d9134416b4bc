"""Since when, and which lines of buildkitd's own log are newer."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from provision.logs.since import Since, later, read_since

NOON = datetime(2026, 5, 31, 12, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("10m", NOON - 600),
        ("2h30m", NOON - 9000),
        ("3d", NOON - 3 * 86_400),
        ("45s", NOON - 45),
        ("2026-05-31T11:00Z", NOON - 3600),
        ("2026-05-31T13:00:00.5+02:00", NOON - 3600 + 0.5),
        ("2026-05-31T11:00:00.123456789Z", NOON - 3600 + 0.123456),
    ],
)
def test_what_is_typed(typed: str, moment: float) -> None:
    assert read_since(typed).moment(NOON) == pytest.approx(moment, abs=1e-5)


def test_a_time_without_a_zone_is_this_machines() -> None:
    assert read_since("2026-05-31T11:00").at == datetime(2026, 5, 31, 11).astimezone().timestamp()


@pytest.mark.parametrize(
    "typed", ["yesterday", "10", "-10m", "10m ", "1w", "", "2026-13-01", "9" * 400 + "d"]
)
def test_what_cannot_be_meant(typed: str) -> None:
    if typed.strip() != typed:
        assert read_since(typed) == Since(ago=600.0)
        return
    with pytest.raises(ValueError, match=r"^must be a duration"):
        read_since(typed)


LINES = (
    "=== buildkitd starts, v0.32.2, 2026-05-31T11:00:00Z",
    'time="2026-05-31T11:00:01Z" level=info msg="first"',
    "main.main",
    'time="2026-05-31T13:30:00+02:00" level=info msg="half past"',
    '{"level":"info","msg":"json","time":"2026-05-31T11:45:00.5Z"}',
    "a line without a time",
)


@pytest.mark.parametrize(("minutes", "first"), [(0, 0), (-1, 0), (0.01, 1), (10, 3), (35, 4), (46, None)])
def test_lines_from_a_moment_on(minutes: float, first: int | None) -> None:
    moment = NOON - 3600 + minutes * 60
    assert later(LINES, moment) == (LINES[first:] if first is not None else ())


def test_a_line_that_only_looks_like_a_time_is_none() -> None:
    assert later(('time="2026-99-99T99:99:99Z" x',), 0) == ()
