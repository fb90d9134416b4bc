"""The report as JUnit XML, which CI systems show as tests: a suite per host, a case per thing that was checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from provision.errors import ProvisionError
from provision.fix import Place
from provision.plain import clean
from provision.report.fixes import advice, written
from provision.result import Finding, HostResult, Report, Severity, reaches

# What XML 1.0 has no place for, even escaped ("Characters", production 2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test case: passed unless `kind` says otherwise."""

    name: str
    kind: str = ""
    """failure, error or skipped."""
    message: str = ""
    text: str = ""
    remark: str = ""


def render(report: Report) -> str:
    """The XML text, ASCII only."""
    suites = ET.Element("testsuites", name=f"provision {report.command}")
    if report.error:
        _suite(suites, report.command, [_failed(report.command, report.error, report.place)], 0.0)
    for host in report.hosts:
        _suite(suites, host.host, list(_cases(host, report.threshold)), host.seconds)
    ET.indent(suites)
    text: bytes = ET.tostring(suites, encoding="us-ascii", xml_declaration=True)
    return f"{text.decode()}\n"


def _suite(suites: ET.Element, name: str, cases: list[Case], seconds: float) -> None:
    counts = {f"{kind}s": str(sum(case.kind == kind for case in cases)) for kind in ("failure", "error")}
    skipped = str(sum(case.kind == "skipped" for case in cases))
    numbers = {"tests": str(len(cases)), **counts, "skipped": skipped, "time": f"{seconds:.3f}"}
    suite = ET.SubElement(suites, "testsuite", {"name": _plain(name), **numbers})
    for case in cases:
        made = ET.SubElement(suite, "testcase", classname=_plain(name), name=_plain(case.name), time="0")
        if case.kind:
            verdict = ET.SubElement(made, case.kind, message=_plain(case.message))
            verdict.text = _plain(case.text) or None
        if case.remark:
            ET.SubElement(made, "system-out").text = _plain(case.remark)


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("�", clean(text))


def _failed(name: str, error: ProvisionError, place: Place) -> Case:
    text = "\n".join(part for part in (error.cause, advice(error, place)) if part)
    return Case(name=name, kind="error", message=error.message, text=text)


def _cases(host: HostResult, threshold: Severity) -> Iterator[Case]:
    if host.error:
        yield _failed("reached and asked", host.error, host.place)
    for line in host.checks:
        kind = "" if line.status == "ok" else "failure"
        yield Case(
            name=line.id,
            kind=kind,
            message=f"{line.seen}; needed: {line.needed}",
            text=str(written(line.fix, host.place)),
            remark=line.seen,
        )
    for link in host.chain:
        kind = {"ok": "", "skipped": "skipped"}.get(link.status, "failure")
        yield Case(
            name=link.id,
            kind=kind,
            message=link.seen,
            text=str(written(link.fix, host.place)),
            remark="" if kind else link.seen,
        )
    if not host.chain:
        yield from _health_cases(host, threshold)


def _health_cases(host: HostResult, threshold: Severity) -> Iterator[Case]:
    """A case per platform, and one per finding about the host as a whole."""
    general = [finding for finding in host.findings if finding.platform is None]
    yield from (_case(finding.id, [finding], threshold, host.place) for finding in general)
    if not general and not host.error:
        yield Case(name="host")
    names = [row.platform for row in host.platforms]
    names += [row.platform for row in host.images]
    names += [finding.platform for finding in host.findings if finding.platform]
    for name in dict.fromkeys(names):
        here = [finding for finding in host.findings if finding.platform == name]
        yield _case(name, here, threshold, host.place)


def _case(name: str, findings: list[Finding], threshold: Severity, place: Place) -> Case:
    """A finding below the threshold of the exit code (`--severity`) fails no case."""
    bad = [finding for finding in findings if reaches(finding, threshold)]
    text = "\n\n".join(_paragraph(finding, place) for finding in bad)
    remark = "\n\n".join(_paragraph(finding, place) for finding in findings if finding not in bad)
    if not bad:
        return Case(name=name, remark=remark)
    return Case(
        name=name, kind="failure", message=f"{bad[0].id}: {bad[0].evidence}", text=text, remark=remark
    )


def _paragraph(finding: Finding, place: Place) -> str:
    fix = written(finding.fix, place)
    return f"{finding.severity}: {finding.id}\n{finding.evidence}\n{finding.consequence}\nfix: {fix}"
