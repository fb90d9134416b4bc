"""The findings of a builder, and the page that lists them."""

from __future__ import annotations

import re

from provision.builder.faults import FAULTS, fault
from tests.lab.checkout import ROOT


def test_the_page_lists_every_finding_with_its_severity() -> None:
    page = (ROOT / "docs/builder.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (error|warning|info) \|", page, re.MULTILINE))
    assert rows == {name: each.severity for name, each in FAULTS.items()}


def test_the_consequence_names_the_platforms() -> None:
    assert "linux/arm64" in fault("node-platform", "seen", "linux/arm64").consequence
