"""The findings of a builder, and the page that lists them."""

from __future__ import annotations

import re

from provision.builder.faults import AGAIN, FAULTS, fault, unreachable
from provision.certificates.life import DAY, Life
from provision.errors import HostError, UnreachableError
from provision.fix import Fix, run
from tests.lab.checkout import ROOT


def test_the_page_lists_every_finding_with_its_severity() -> None:
    page = (ROOT / "docs/builder.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (error|warning|info) \|", page, re.MULTILINE))
    assert rows == {name: each.severity for name, each in FAULTS.items()}


def test_the_consequence_names_the_platforms() -> None:
    assert "linux/arm64" in fault("node-platform", "seen", "linux/arm64").consequence


def test_a_node_that_is_not_reached_has_the_fix_of_its_error() -> None:
    """A command that runs on the host is words here: the report's own host is the builder."""
    by_words = UnreachableError("pi1: no", cause="refused", hint="Try this.")
    by_command = HostError("pi1: no", fix=Fix.by(run("ln", "-s", "/a", "/b"), words="there"))
    assert unreachable(by_words, "linux/arm64").fix.words == f"Try this; or {AGAIN}"
    assert unreachable(by_words, "linux/arm64").evidence == "pi1: no: refused"
    found = unreachable(by_command, "linux/arm64").fix
    assert (found.commands, found.words) == ((), f"ln -s /a /b, on that host; or {AGAIN}")


def test_certificates_are_late_before_they_end_and_due_before_they_are_late() -> None:
    life = Life(begin=0, end=30 * DAY)
    days = {day: (life.is_due(day * DAY), life.is_late(day * DAY)) for day in (19, 21, 24, 26)}
    assert days == {19: (False, False), 21: (True, False), 24: (True, False), 26: (True, True)}
