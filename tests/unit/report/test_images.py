"""What `verify` saw, in every format: a row for each platform, and what is wrong with it."""

from __future__ import annotations

import io
from typing import Final
from xml.etree import ElementTree as ET

from provision.fix import Fix
from provision.report import Report, Style, output
from provision.report.html import render as html
from provision.report.junit import render as junit
from provision.report.prometheus import render as prometheus
from provision.result import Finding, HostResult, HostStatus, ImageRow

WRONG: Final = Finding(
    id="entrypoint-architecture",
    severity="error",
    platform="linux/arm64",
    evidence="/app is of amd64",
    consequence="exec format error",
    fix=Fix(words="compile it"),
)
ROWS: Final = (
    ImageRow(
        platform="linux/amd64",
        digest="sha256:aa",
        size=31_200_000,
        layers=4,
        attestations=1,
        entrypoint=("/run", "/bin/sh"),
        libraries=1,
        checked=True,
    ),
    ImageRow(
        platform="linux/arm64", digest="sha256:bb", size=1000, layers=1, entrypoint=("/app",), checked=True
    ),
    ImageRow(platform="windows/amd64", digest="sha256:cc", size=5, layers=1),
)


def report(*findings: Finding, status: HostStatus = "ok") -> Report:
    host = HostResult(host="r.example/app:1", status=status, images=ROWS, findings=findings)
    return Report(command="verify", hosts=(host,))


def shown(made: Report) -> list[str]:
    out = io.StringIO()
    code = output(made, Style.of("table", out=out, err=io.StringIO()))
    assert code == made.exit_code
    return out.getvalue().splitlines()


def test_a_right_image_as_a_table() -> None:
    lines = shown(report())
    assert [line.split() for line in lines[:4]] == [
        ["PLATFORM", "SIZE", "LAYERS", "ATTESTED", "LINKED", "STARTS"],
        ["linux/amd64", "31.2", "MB", "4", "1", "1", "library", "/run", "→", "/bin/sh"],
        ["linux/arm64", "0.0", "MB", "1", "–", "static", "/app"],
        ["windows/amd64", "0.0", "MB", "1", "–", "–", "not", "checked"],
    ]
    assert lines[4:] == ["as it should be: 2 platforms checked"]


def test_a_wrong_image_as_a_table() -> None:
    made = report(WRONG, status="unhealthy")
    assert made.exit_code == 5
    assert shown(made)[4:] == [
        "✗ entrypoint-architecture linux/arm64",
        "    /app is of amd64",
        "    exec format error",
        "    fix: compile it",
    ]


def test_junit_has_a_case_for_each_platform() -> None:
    suite = ET.fromstring(junit(report(WRONG, status="unhealthy")))[0]  # noqa: S314 - our own
    cases = {case.get("name"): [each.tag for each in case] for case in suite}
    assert cases == {"host": [], "linux/amd64": [], "linux/arm64": ["failure"], "windows/amd64": []}


def test_the_page_has_a_cell_for_each_platform() -> None:
    page = html(report(WRONG, status="unhealthy"))
    assert "<title>Images: verify</title>" in page
    for words in ("entrypoint-architecture", "fine", "not checked", "linux/arm64 on r.example/app:1"):
        assert words in page


def test_prometheus_counts_findings() -> None:
    text = prometheus(report(WRONG, status="unhealthy"))
    assert 'provision_healthy{host="r.example/app:1"} 0' in text
    assert 'id="entrypoint-architecture"' in text
