"""The report as Prometheus text, for node_exporter's textfile collector.

Format: prometheus.io/docs/instrumenting/exposition_formats. Without timestamps, which the collector refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from provision.plain import clean
from provision.result import EXIT_CODES, HostResult, Report

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One family of samples. All are gauges."""

    name: str
    help: str
    samples: tuple[Sample, ...]


def render(report: Report) -> str:
    """The whole text; families without samples are left out, and order is that of the report."""
    return "".join(_lines(metric) for metric in _metrics(report) if metric.samples)


def _lines(metric: Metric) -> str:
    head = f"# HELP provision_{metric.name} {metric.help}\n# TYPE provision_{metric.name} gauge\n"
    # A sample may stand there once only: the scrape of the whole file fails otherwise.
    unique = {_labels(labels): value for labels, value in metric.samples}
    return head + "".join(f"provision_{metric.name}{labels} {value:g}\n" for labels, value in unique.items())


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escape(value: str) -> str:
    return clean(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _was_called(host: HostResult) -> bool:
    """Nothing is known of a host whose turn did not come (a canary failed, Ctrl-C)."""
    return host.status != "skipped" and (host.status != "interrupted" or bool(host.steps))


def _metrics(report: Report) -> Iterator[Metric]:
    hosts = report.hosts
    command = {"command": report.command}
    yield Metric(
        name="exit_code",
        help="How the run ended; docs/errors.md has the codes.",
        samples=((command, report.exit_code),),
    )
    yield Metric(
        name="up",
        help="Whether the host answered.",
        samples=_each(
            [host for host in hosts if _was_called(host)], lambda host: host.status != "unreachable"
        ),
    )
    yield Metric(
        name="healthy",
        help="Whether nothing on the host failed or is unhealthy.",
        samples=_each(hosts, lambda host: EXIT_CODES[host.status] == 0),
    )
    yield Metric(
        name="seconds",
        help="How long the host took.",
        samples=_each(hosts, lambda host: round(host.seconds, 3)),
    )
    yield Metric(name="findings", help="How many findings there are.", samples=tuple(_counts(hosts)))
    yield Metric(
        name="finding", help="A finding; docs/findings.md has the ids.", samples=tuple(_findings(hosts))
    )
    for name, words in _PLATFORM.items():
        yield Metric(name=f"platform_{name}", help=words, samples=tuple(_platforms(hosts, name)))


_PLATFORM = {
    "runs": "Whether the platform's programs run.",
    "registered": "Whether the kernel has a handler for the platform.",
    "listed": "Whether buildkitd lists the platform.",
    "builds": "Whether a build for the platform was seen to work.",
}


def _each(hosts: Iterable[HostResult], value: Callable[[HostResult], float]) -> tuple[Sample, ...]:
    return tuple(({"host": host.host}, float(value(host))) for host in hosts)


def _counts(hosts: Iterable[HostResult]) -> Iterator[Sample]:
    for host in hosts:
        counts = Counter(finding.severity for finding in host.findings)
        for severity in ("error", "warning", "info"):
            yield {"host": host.host, "severity": severity}, float(counts[severity])


def _findings(hosts: Iterable[HostResult]) -> Iterator[Sample]:
    for host in hosts:
        for finding in host.findings:
            labels = {"host": host.host, "id": finding.id, "severity": finding.severity}
            yield {**labels, "platform": finding.platform or ""}, 1.0


def _platforms(hosts: Iterable[HostResult], name: str) -> Iterator[Sample]:
    for host in hosts:
        for row in host.platforms:
            value = row.mode != "none" if name == "runs" else getattr(row, name)
            if value is not None:
                labels = {"host": host.host, "platform": row.platform}
                yield {**labels, "mode": row.mode} if name == "runs" else labels, float(value)
