"""`logs`: what one wants to see after a failed build, of one host; or its log as it grows."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TextIO

from provision.commands import LOG_LINES, MOST_LINES, SINCE_LINES
from provision.commands.ask import ask_facts_and_clock
from provision.commands.bundle import Parts
from provision.commands.inspect import place_of
from provision.facts import Facts
from provision.facts.managers import service_manager
from provision.logs import answer, question
from provision.logs.masking import masked
from provision.logs.since import Since
from provision.plain import clean
from provision.report.streams import Steady
from provision.result import HostResult
from provision.spec import Spec
from provision.transport import Transport

TIMEOUT: Final = 120.0
"""Seconds for all of it: the journal of a small Pi on an SD card takes some."""
_AS_LONG_AS_WANTED: Final = 365 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for."""

    lines: int | None = None
    since: Since | None = None
    bundle: bool = False
    """Whether a bundle is made, which has more in it."""

    @property
    def count(self) -> int:
        """Lines of the log."""
        return self.lines or (SINCE_LINES if self.since else LOG_LINES)


def show(transport: Transport, spec: Spec, wanted: Wanted, keep: Callable[[Parts], None]) -> HostResult:
    """The logs of one host. `keep` is given what a bundle needs besides. Two requests."""
    facts = ask_facts_and_clock(transport, spec)
    said = transport.ask(_script(spec, facts, wanted, following=False), timeout=TIMEOUT)
    found = answer.read(spec, facts, said.records, count=wanted.count, since=wanted.since)
    keep(Parts(facts=facts, environment=found.environment))
    return HostResult(
        host=transport.name, status="ok", logs=found.logs, notes=found.notes, place=place_of(facts)
    )


def follow(transport: Transport, spec: Spec, wanted: Wanted, printer: Printer) -> HostResult:
    """Prints the log of one host as it grows, until Ctrl-C."""
    facts = ask_facts_and_clock(transport, spec)
    script = _script(spec, facts, wanted, following=True)

    def line(text: str) -> None:
        if not printer.line(transport.name, text):
            transport.stop()

    transport.ask(script, timeout=_AS_LONG_AS_WANTED, on_record=line, endless=True)
    return HostResult(host=transport.name, status="ok")


def _script(spec: Spec, facts: Facts, wanted: Wanted, *, following: bool) -> str:
    # The lines of a file are chosen by their time once they are here.
    from_file = wanted.since and service_manager(spec, facts).name != "systemd"
    return question.script(
        spec,
        facts,
        count=MOST_LINES if from_file and not following else wanted.count,
        since=None if following else wanted.since,
        following=following,
        settings=wanted.bundle,
    )


@dataclass(kw_only=True)
class Printer:
    """Prints lines of several hosts as they come, each whole."""

    out: TextIO | Steady
    several: bool
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _gone: bool = False

    def line(self, host: str, text: str) -> bool:
        """False if nobody reads any more."""
        prefix = f"{clean(host)}: " if self.several else ""
        with self._lock:
            if self._gone:
                return False
            out = Steady.of(self.out)
            out.write(f"{prefix}{clean(masked(text))}\n")
            out.flush()
            self._gone = out.gone
            return not self._gone


def may_become_root() -> bool:
    """Whether this machine's root is to be had without a question: a user of the group sees what that user may."""
    if os.geteuid() == 0:
        return True
    if shutil.which("sudo") is None:
        return False
    asked = subprocess.run(
        ["sudo", "-n", "true"], check=False, capture_output=True, stdin=subprocess.DEVNULL
    )
    return asked.returncode == 0
