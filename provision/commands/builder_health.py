"""`health --builder`: is every node of a builder there, and does it do what it was given?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from provision.builder import buildx, tls
from provision.builder.faults import fault
from provision.builder.node import DRIVER, Node
from provision.builder.reach import Reached, reach
from provision.builder.trial import Trial, attempt
from provision.buildkit.version import is_version, number
from provision.buildkit.workers import covers
from provision.certificates import pem
from provision.certificates.life import DAY
from provision.errors import ProvisionError, UsageError
from provision.result import Finding, HostResult, Severity, reaches
from provision.result.nodes import NodeRow

_CLOCK: Final = 600.0
"""Seconds; as health of one host has it."""
_SOON: Final = 14 * DAY


def health(name: str, threshold: Severity) -> HostResult:
    """The builder as a result; `unhealthy` if anything is as bad as `threshold`.

    Raises UsageError where there is no such builder, BuildxError.
    """
    begun = time.monotonic()
    now, program = buildx.instance(name), buildx.find()
    if now is None or now.driver != DRIVER:
        raise UsageError(
            f"there is no builder {name!r}"
            if now is None
            else f"{name!r} is a builder of another kind ({now.driver})",
            hint="`builder --hosts …` makes one; `docker buildx ls` shows all.",
        )
    if program is None:
        raise buildx.BuildxError("buildx is not on this machine", hint="`builder` brings it.")
    with ThreadPoolExecutor(max_workers=max(len(now.nodes), 1)) as pool:
        answers = dict(zip((node.name for node in now.nodes), pool.map(_reached, now.nodes), strict=True))
    # Without those that do not answer: buildx would fail for them, and the others would not be tried.
    there = [node for node in now.nodes if not isinstance(answers[node.name], ProvisionError)]
    trial = attempt(program, name, there)
    found = [
        *(each for node in now.nodes for each in _of_node(node, answers[node.name], trial)),
        *_versions(answers),
        *_client(now.nodes),
    ]
    rows = tuple(_row(node, answers[node.name], trial) for node in now.nodes)
    bad = any(reaches(each, threshold) for each in found)
    return HostResult(
        host=name,
        status="unhealthy" if bad else "ok",
        findings=tuple(found),
        nodes=rows,
        seconds=time.monotonic() - begun,
    )


def _reached(node: Node) -> Reached | str | ProvisionError:
    """The daemon's answer; over TLS its certificate."""
    try:
        if node.endpoint.startswith("tcp://"):
            return tls.shake_hands(node.name, node.endpoint, node.options)
        return reach(node.name, node.endpoint)
    except ProvisionError as error:
        return error


def _of_node(node: Node, answer: Reached | str | ProvisionError, trial: Trial) -> Iterator[Finding]:
    names = ", ".join(node.platforms)
    if isinstance(answer, ProvisionError):
        words = ": ".join(filter(None, (answer.message, answer.cause)))
        yield fault("node-unreachable", words, names)
        return
    if isinstance(answer, Reached):
        lacking = [each for each in node.platforms if covers(answer.workers.platforms, each) is None]
        if lacking:
            listed = ", ".join(answer.workers.platforms)
            yield fault("node-platform", f"{node.name} lists {listed} alone", ", ".join(lacking))
    else:
        life = pem.life_of(answer)
        if life and life.left(time.time()) < _SOON:
            yield fault(
                "node-certificate", f"that of {node.name} ends in {life.left(time.time()) / DAY:.0f} days"
            )
    skew = answer.skew if isinstance(answer, Reached) else trial.clocks.get(node.name)
    if skew is not None and abs(skew) > _CLOCK:
        where = "ahead of" if skew > 0 else "behind"
        yield fault("node-clock", f"the clock of {node.name} is {abs(skew):.0f} s {where} this machine's")
    missing = [each for each in node.platforms if each not in trial.built.get(node.name, ())]
    if trial.error and missing:
        yield fault("node-build", f"{node.name}: {trial.error}", ", ".join(missing))
    elif missing:
        yield fault("node-elsewhere", f"{node.name} did not build {', '.join(missing)}")


def _versions(answers: Mapping[str, Reached | str | ProvisionError]) -> Iterator[Finding]:
    """Feature releases, of which each brings what the one before does not know."""
    said = {name: each.workers.version or "" for name, each in answers.items() if isinstance(each, Reached)}
    numbers = {name: number(text) for name, text in said.items() if is_version(text)}
    if len({(each.major, each.minor) for each in numbers.values()}) > 1:
        yield fault("node-version", ", ".join(f"{name} has {said[name]}" for name in numbers))


def _client(nodes: Sequence[Node]) -> Iterator[Finding]:
    for path in dict.fromkeys(node.options["cert"] for node in nodes if "cert" in node.options):
        try:
            life = pem.life_of(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError):
            life = None
        if life is None:
            yield replace(fault("client-certificate", f"{path} cannot be read"), severity="error")
        elif (left := life.left(time.time())) < _SOON:
            over = replace(fault("client-certificate", f"{path} has expired"), severity="error")
            yield over if left <= 0 else fault("client-certificate", f"{path} ends in {left / DAY:.0f} days")


def _row(node: Node, answer: Reached | str | ProvisionError, trial: Trial) -> NodeRow:
    return NodeRow(
        node=node.name,
        host="",
        endpoint=node.endpoint,
        platforms=node.platforms,
        options=dict(node.options),
        version=answer.workers.version if isinstance(answer, Reached) else None,
        built=tuple(sorted(trial.built.get(node.name, ()))),
    )
