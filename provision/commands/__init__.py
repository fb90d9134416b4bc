"""What the tasks do on a host: ask, decide, apply, judge."""

from __future__ import annotations

from typing import Final

INTERVAL: Final = 2.0
"""Seconds between two measurements of `top`, where none are given."""
