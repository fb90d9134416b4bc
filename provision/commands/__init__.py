"""What the tasks do on a host: ask, decide, apply, judge."""

from __future__ import annotations

from typing import Final

INTERVAL: Final = 2.0
"""Seconds between two measurements of `top`, where none are given."""

LOG_LINES: Final = 100
"""Lines of the log that `logs` shows where nothing else is asked for."""
SINCE_LINES: Final = 10_000
"""Lines since a moment, where no number is given."""
MOST_LINES: Final = 100_000
"""A line is about 200 bytes, and a host may answer with 64 MiB."""
