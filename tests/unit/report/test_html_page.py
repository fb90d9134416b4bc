"""The page of `--format html`: what it holds, and how it behaves in a real browser, on a phone, and read aloud."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import ConfigError
from provision.fix import Fix, run
from provision.report import Report
from provision.report.html import render
from provision.result import Finding, HostResult, PlatformRow
from tests.lab.browser import Browser
from tests.unit.report.test_machine_formats import REPORT

NOW: Final = datetime(2026, 3, 4, 5, 6, tzinfo=timezone.utc)
VOID: Final = {"meta", "input", "br"}


class Strict(HTMLParser):
    """Elements that are opened and closed in order; collects ids, links and attributes that load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.loads: list[str] = []
        self.stack: list[str] = []
        self.feed(page)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.stack.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.targets.append(value or "")
            elif name in ("src", "srcset", "action", "data"):
                self.loads.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def test_it_is_whole_and_loads_nothing() -> None:
    page = render(REPORT, NOW)
    seen = Strict(page)
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.loads == []
    assert {target.removeprefix("#") for target in seen.targets} <= set(seen.ids)
    assert not re.search(r"https?://|url\(|@import", page)
    assert "2026-03-04 05:06 UTC" in page


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_a_host_says_becomes_markup(text: str) -> None:
    evil = f"<script>alert(1)</script>\"'{text}"
    fix = Fix.by(run(evil), words=evil)
    finding = Finding(id=evil, severity="error", platform=evil, evidence=evil, consequence=evil, fix=fix)
    host = HostResult(host=evil, status="unhealthy", findings=(finding, replace(finding, platform=None)))
    page = render(Report(command="health", hosts=(host,)), NOW)
    Strict(page)
    assert page.count("<script") == 1


def test_a_cell_has_all_that_is_known_of_its_platform() -> None:
    row = PlatformRow(
        platform="linux/arm64",
        mode="emulated",
        registered=True,
        handler="qemu-aarch64",
        flags="PF",
        interpreter="/usr/bin/qemu-aarch64",
        qemu="7.2.22",
        wanted=True,
        milliseconds=2.345,
        static=False,
        owner="container",
    )
    page = render(
        Report(command="health", hosts=(HostResult(host="pi", status="ok", platforms=(row,)),)), NOW
    )
    text = re.sub(r"<[^>]+>", "", page)
    assert "wantedyes" in text
    assert "emulated, its program started in 2.3 ms" in text
    assert "qemu-aarch64, flags PF, brought by a container" in text
    assert "/usr/bin/qemu-aarch64, QEMU 7.2.22, dynamic" in text


def test_a_run_that_failed_as_a_whole() -> None:
    page = render(Report(command="health", error=ConfigError("no <file>", hint="name another")), NOW)
    Strict(page)
    assert "no &lt;file&gt;" in page


in_chromium = pytest.mark.needs("chromedriver")
SHOWN: Final = "[...document.querySelectorAll('tbody tr')].filter(row => row.offsetParent)"
COLOURS: Final = """
const clear = e => getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)";
return [...document.querySelectorAll("a.cell, th, .when, .legend")].map(e => {
  let behind = e;
  while (clear(behind) && behind.parentElement) behind = behind.parentElement;
  return [getComputedStyle(e).color, getComputedStyle(behind).backgroundColor];
});
"""
HANDLER: Final = "a[aria-label^='linux/arm64 on pi1']"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "health.html"
    file.write_text(render(REPORT, NOW), encoding="utf-8")
    return file


@pytest.fixture
def browser(page: Path) -> Iterator[Browser]:
    with Browser() as made:
        made.open(page)
        yield made


@in_chromium
def test_a_cell_shows_evidence_and_fix_on_click(browser: Browser, tmp_path: Path) -> None:
    assert not browser.visible("dialog")
    browser.click(HANDLER)
    shown = browser.text("dialog")
    assert "linux/arm64 on pi1" in shown
    assert "handler-missing" in shown
    assert "Fix: provision provision" in shown
    picture = tmp_path / "dialog.png"
    browser.screenshot(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    browser.press("\ue00c")  # Escape
    assert not browser.visible("dialog")
    # Whoever works by keyboard is back where they were.
    assert browser.run("return document.activeElement.getAttribute('aria-label')").startswith(
        "linux/arm64 on pi1"
    )


@in_chromium
def test_by_keyboard_and_read_aloud(browser: Browser) -> None:
    browser.run("document.querySelector(\"a[aria-label^='host on pi1']\").focus()")
    browser.press("\ue007")  # Enter
    assert browser.label("dialog") == "host on pi1"
    assert browser.role("dialog") == "dialog"
    browser.press("\ue00c")
    assert browser.role("table") == "table"
    assert browser.role("tbody tr th") == "rowheader"
    assert browser.label(HANDLER) == "linux/arm64 on pi1: handler-missing"
    assert browser.role("h1") == "heading"
    assert browser.run("return document.documentElement.lang") == "en"


@in_chromium
def test_only_what_is_wrong(browser: Browser) -> None:
    browser.click("#wrong-only")
    names = browser.run(
        "return [...document.querySelectorAll('tbody tr')].filter(r => r.offsetParent).map(r => r.dataset.wrong)"
    )
    assert names == ["yes", "yes"]
    browser.click("#wrong-only")
    assert (
        browser.run("return [...document.querySelectorAll('tbody tr')].filter(r => r.offsetParent).length")
        == 3
    )


@in_chromium
def test_on_a_phone(browser: Browser, page: Path) -> None:
    """Nothing to scroll sideways, large enough for a thumb, and still a table to a screen reader."""
    browser.resize(360, 740)
    browser.open(page)
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    heights = browser.run(
        "return [...document.querySelectorAll('a.cell')].map(c => c.getBoundingClientRect().height)"
    )
    assert min(heights) >= 44
    assert "linux/arm64" in browser.run(
        "return [...document.querySelectorAll('a.cell')].map(c => getComputedStyle(c, '::before').content).join()"
    )
    assert browser.role("table") == "table"
    assert browser.role("tbody td") in ("cell", "gridcell")
    browser.click(HANDLER)
    box = browser.run(
        "const b = document.querySelector('dialog').getBoundingClientRect(); return [b.left, b.right]"
    )
    assert 0 <= box[0] < box[1] <= 360


@in_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(page: Path, *, dark: bool) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 in every cell, in light and in dark."""
    scheme = "dark" if dark else "light"
    with Browser() as browser:
        browser.emulate(scheme)
        browser.open(page)
        pairs = browser.run(COLOURS)
        for text, behind in pairs:
            assert contrast(text, behind) >= 4.5, (text, behind)


def contrast(one: str, other: str) -> float:
    """Of two CSS colours; a canvas without a colour is white or, in the dark, our own."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    """WCAG's relative luminance."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
