"""What other programs read: Prometheus text by Prometheus' own parser, JUnit XML by its structure."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from provision import crash
from provision.errors import ConfigError, HostError, UnreachableError
from provision.fix import PROVISION, Fix, run
from provision.report import Report, Style, output
from provision.report.junit import render as junit
from provision.report.prometheus import render as prometheus
from provision.result import ChainLink, CheckLine, Finding, HostResult, PlatformRow
from provision.transport import StoppedError

ROWS: Final = (
    PlatformRow(platform="linux/amd64", mode="native", registered=None, listed=True),
    PlatformRow(platform="linux/arm64", mode="none", registered=False, listed=False, builds=False),
)
MISSING: Final = Finding(
    id="handler-missing",
    severity="error",
    platform="linux/arm64",
    evidence='no "handler"\n\\ here',
    consequence="exec format error",
    fix=Fix.by(PROVISION),
)
FULL: Final = Finding(
    id="disk-low", severity="warning", evidence="1 GB", consequence="soon", fix=Fix(words="prune")
)
KNOW: Final = Finding(
    id="emulator-replaced",
    severity="info",
    platform="linux/amd64",
    evidence="same",
    consequence="room",
    fix=Fix(words="x"),
)
REPORT: Final = Report(
    command="health",
    hosts=(
        HostResult(
            host="pi1", status="unhealthy", platforms=ROWS, findings=(MISSING, FULL, KNOW), seconds=0.4
        ),
        HostResult(host="ci2", status="ok", platforms=ROWS[:1], seconds=0.25),
        HostResult(host="gone", status="unreachable", error=UnreachableError("no answer", hint="ssh gone")),
    ),
)


def samples(text: str) -> dict[tuple[str, str, str], float]:
    """(metric, host, whatever tells it apart) -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.timestamp is None
            labels = sample.labels
            rest = labels.get("platform") or labels.get("severity") or labels.get("id") or ""
            key = (sample.name.removeprefix("provision_"), labels.get("host", ""), rest)
            assert key not in found or family.name == "provision_finding"
            found[key] = sample.value
    return found


def test_prometheus_text() -> None:
    text = prometheus(REPORT)
    assert text.endswith("\n")
    found = samples(text)
    assert found["exit_code", "", ""] == 4
    assert [found["up", host, ""] for host in ("pi1", "ci2", "gone")] == [1, 1, 0]
    assert [found["healthy", host, ""] for host in ("pi1", "ci2", "gone")] == [0, 1, 0]
    assert found["findings", "pi1", "error"] == found["findings", "pi1", "warning"] == 1
    assert found["findings", "ci2", "error"] == 0
    assert found["finding", "pi1", "linux/arm64"] == 1
    assert found["platform_runs", "pi1", "linux/arm64"] == 0
    assert found["platform_runs", "pi1", "linux/amd64"] == 1
    assert found["platform_listed", "pi1", "linux/arm64"] == 0
    # Not asked is no sample, which is not the same as no.
    assert ("platform_builds", "pi1", "linux/amd64") not in found
    assert ("platform_registered", "pi1", "linux/amd64") not in found
    assert 'id="disk-low"' in text


@given(st.text(st.characters()))
def test_any_name_of_a_host_survives_in_prometheus(name: str) -> None:
    host = HostResult(host=name, status="ok", platforms=ROWS)
    assert [key[0] for key in samples(prometheus(Report(command="health", hosts=(host,))))].count("up") == 1


def test_a_sample_is_there_once() -> None:
    """A host that is named twice must not spoil the whole scrape."""
    twice = Report(command="health", hosts=(REPORT.hosts[1], REPORT.hosts[1]))
    assert prometheus(twice).count("provision_up{") == 1


def suites(report: Report) -> dict[str, ET.Element]:
    root = ET.fromstring(junit(report))  # noqa: S314 - our own
    assert root.tag == "testsuites"
    for suite in root:
        kinds = [child.tag for case in suite for child in case if child.tag != "system-out"]
        assert suite.get("tests") == str(len(suite))
        for kind, number in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert suite.get(number) == str(kinds.count(kind))
    return {suite.get("name", ""): suite for suite in root}


def verdicts(suite: ET.Element) -> dict[str, str]:
    return {
        case.get("name", ""): next((child.tag for child in case if child.tag != "system-out"), "passed")
        for case in suite
    }


def test_junit_of_health() -> None:
    found = suites(REPORT)
    assert verdicts(found["pi1"]) == {
        "disk-low": "failure",
        "linux/amd64": "passed",
        "linux/arm64": "failure",
    }
    assert verdicts(found["ci2"]) == {"host": "passed", "linux/amd64": "passed"}
    assert verdicts(found["gone"]) == {"reached and asked": "error"}
    failure = found["pi1"].find("testcase[@name='linux/arm64']/failure")
    assert failure is not None
    assert failure.get("message", "").startswith("handler-missing: ")
    assert "fix: provision provision" in (failure.text or "")


def test_junit_goes_by_the_threshold_of_the_exit_code() -> None:
    lenient = suites(replace(REPORT, threshold="error"))["pi1"]
    assert verdicts(lenient)["disk-low"] == "passed"
    assert "prune" in (lenient.findtext("testcase[@name='disk-low']/system-out") or "")
    host = HostResult(host="h", status="unhealthy", findings=(KNOW,))
    strict = suites(Report(command="health", hosts=(host,), threshold="info"))["h"]
    assert "failure" in verdicts(strict).values()


def test_junit_of_explain_and_check() -> None:
    chain = (
        ChainLink(id="header", status="ok", seen="ELF"),
        ChainLink(id="run", status="broken", seen="no", fix=Fix(words="x")),
    )
    host = HostResult(
        host="h", status="unhealthy", chain=(*chain, ChainLink(id="boot", status="skipped", seen="?"))
    )
    assert verdicts(suites(Report(command="explain", hosts=(host,)))["h"]) == {
        "header": "passed",
        "run": "failure",
        "boot": "skipped",
    }
    line = CheckLine(id="kernel", status="error", seen="4.4", needed="4.8", fix=Fix(words="upgrade"))
    checked = HostResult(host="h", status="failed", checks=(line,))
    assert verdicts(suites(Report(command="check", hosts=(checked,)))["h"])["kernel"] == "failure"


def test_a_run_that_failed_as_a_whole() -> None:
    report = Report(command="health", error=ConfigError("no such file", hint="name another"))
    assert verdicts(suites(report)["health"]) == {"health": "error"}
    assert samples(prometheus(report)) == {("exit_code", "", ""): 1}


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "]]>", "<&>\"'", "\x1b[31m", "\ufffe"])
def test_any_text_of_a_host_is_xml(text: str) -> None:
    fix = Fix.by(run(text), words=text)
    evil = Finding(id=text, severity="error", platform=text, evidence=text, consequence=text, fix=fix)
    host = HostResult(host=text, status="unhealthy", findings=(evil,))
    assert len(suites(Report(command="health", hosts=(host,)))) == 1


def test_a_host_that_nobody_called_is_neither_up_nor_down() -> None:
    hosts = (
        HostResult(host="a", status="ok"),
        HostResult.of_error("b", UnreachableError("no answer")),
        HostResult.of_error("c", StoppedError("not started")),
    )
    text = prometheus(Report(command="platforms", hosts=hosts))
    assert 'provision_up{host="a"} 1' in text
    assert 'provision_up{host="b"} 0' in text
    assert 'provision_up{host="c"}' not in text


# ESC, C1's CSI, OSC 52 (which writes to the clipboard), and a character that reorders the line.
HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x9b2J\u202etxt.exe\x1b[31m"


@pytest.mark.parametrize("name", ["json", "prometheus", "junit", "html", "table"])
def test_what_a_host_sends_is_harmless_in_every_format(name: str) -> None:
    finding = Finding(
        id="x",
        severity="error",
        platform=HOSTILE,
        evidence=HOSTILE,
        consequence=HOSTILE,
        fix=Fix(words=HOSTILE),
    )
    error = HostError(HOSTILE, cause=HOSTILE, hint=HOSTILE)
    row = PlatformRow(platform=HOSTILE, mode="emulated", handler=HOSTILE, interpreter=HOSTILE, qemu=HOSTILE)
    host = HostResult(
        host=HOSTILE, status="failed", findings=(finding,), platforms=(row,), notes=(HOSTILE,), error=error
    )
    for report in (Report(command="health", hosts=(host,)), Report(command="health", hosts=(host, host))):
        out, err = io.StringIO(), io.StringIO()
        output(report, Style.of(name, out=out, err=err))
        assert not set(out.getvalue() + err.getvalue()) & set("\x1b\x07\x9b\u202e")


def test_a_log_of_a_crash_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    crash.explain(ValueError(HOSTILE))
    (log,) = (tmp_path / "provision").iterdir()
    assert not set(log.read_text()) & set("\x1b\x07\x9b\u202e")
