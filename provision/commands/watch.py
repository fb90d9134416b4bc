"""`top`, live on a terminal until Ctrl-C, or once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group
from rich.live import Live

from provision.commands.top import sample
from provision.config.values import shown
from provision.errors import UsageError
from provision.report import Report, Style, cells
from provision.report.console import console, interactive
from provision.report.output import TABLE
from provision.result import HostResult

INTERVAL: Final = 2.0
ONCE: Final = 0.5
"""Seconds of a single look."""


def run(command: str, host: str, style: Style, options: Mapping[str, Any]) -> Report:
    """The report of the last look; on a terminal, after every look has been shown. Raises UsageError."""
    seconds = interval(str(options["interval"]))
    live = style.format == TABLE and interactive(style.out) and not options["once"]
    if not live:
        return _report(command, host, seconds or ONCE)
    with Live(console=console(style.out), screen=True, auto_refresh=False) as screen:
        try:
            while True:
                seen = sample(seconds or INTERVAL)
                screen.update(Group(*cells.processes(seen)), refresh=True)
        except KeyboardInterrupt:
            pass
    return _report(command, host, ONCE)


def _report(command: str, host: str, seconds: float) -> Report:
    return Report(command=command, hosts=(HostResult(host=host, status="ok", processes=sample(seconds)),))


def interval(text: str) -> float | None:
    """Seconds, from a tenth to an hour; None if not given. Raises UsageError."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or not 0.1 <= float(text) <= 3600:
        raise UsageError(f"--interval must be seconds, 0.1 to 3600, not {shown(text)}")
    return float(text)
