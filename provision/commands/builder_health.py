"""`health --builder`: is every node of a builder there, and does it do what it was given?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provision.architectures import PLATFORMS
from provision.builder import buildx, listed, tls
from provision.builder.buildx import Buildx
from provision.builder.faults import fault, unreachable
from provision.builder.node import DRIVER, Node
from provision.builder.reach import Reached, reach
from provision.builder.trial import Trial, attempt
from provision.buildkit.version import is_version, number
from provision.buildkit.workers import covers
from provision.certificates import pem
from provision.certificates.life import DAY
from provision.errors import ProvisionError, UsageError
from provision.health.resources import CLOCK
from provision.result import Finding, HostResult, Severity, reaches
from provision.result.nodes import NodeRow


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
    clients = {path: _client(path) for path in dict.fromkeys(n.options.get("cert", "") for n in now.nodes)}
    # One that nobody lets in is one finding, and not as many as there are nodes.
    useless = [path for path, each in clients.items() if each and each.severity == "error"]
    nodes = [node for node in now.nodes if node.options.get("cert", "") not in useless]
    with ThreadPoolExecutor(max_workers=max(len(nodes), 1)) as pool:
        answers = dict(
            zip(
                (node.name for node in nodes),
                pool.map(lambda node: _reached(program, name, node), nodes),
                strict=True,
            )
        )
    # Without what is known to be missing: for that the build would fail, and the rest would not be tried.
    there = {node.name: _there(node, answers[node.name]) for node in nodes}
    trial = attempt(program, name, {node: platforms for node, platforms in there.items() if platforms})
    found = [
        *(each for node in nodes for each in _of_node(node, answers[node.name], there[node.name], trial)),
        *_versions(answers),
        *filter(None, clients.values()),
    ]
    rows = tuple(_row(node, answers.get(node.name), trial) for node in now.nodes)
    bad = any(reaches(each, threshold) for each in found)
    return HostResult(
        host=name,
        status="unhealthy" if bad else "ok",
        findings=tuple(found),
        nodes=rows,
        seconds=time.monotonic() - begun,
    )


def _reached(program: Buildx, name: str, node: Node) -> Reached | ProvisionError:
    """The daemon's answer."""
    try:
        if not node.endpoint.startswith("tcp://"):
            return reach(node.name, node.endpoint)
        certificate = tls.shake_hands(node.name, node.endpoint, node.options)
        return Reached(workers=listed.workers(program, name, node.name), certificate=certificate)
    except ProvisionError as error:
        return error


def _there(node: Node, answer: Reached | ProvisionError) -> tuple[str, ...]:
    """The platforms of a node that its daemon lists; all where it has not said."""
    if isinstance(answer, ProvisionError):
        return ()
    workers = answer.workers
    return tuple(each for each in node.platforms if workers is None or covers(workers.platforms, each))


def _of_node(
    node: Node, answer: Reached | ProvisionError, there: Sequence[str], trial: Trial
) -> Iterator[Finding]:
    if isinstance(answer, tls.ExpiredError):
        yield fault("node-certificate", f"that of {node.name} has expired", severity="error")
        return
    if isinstance(answer, ProvisionError):
        yield unreachable(answer, ", ".join(node.platforms))
        return
    if lacking := [each for each in node.platforms if each not in there]:
        listed_ = ", ".join(answer.workers.platforms if answer.workers else ())
        yield fault("node-platform", f"{node.name} lists {listed_} alone", ", ".join(lacking))
    life, now = pem.life_of(answer.certificate) if answer.certificate else None, time.time()
    if life and life.is_late(now):
        yield fault("node-certificate", f"that of {node.name} ends in {_days(life.left(now))}")
    # Over SSH the host's own clock is asked, to the second.
    skew = trial.clocks.get(node.name) if answer.skew is None else answer.skew
    if skew is not None and abs(skew) > CLOCK:
        where = "ahead of" if skew > 0 else "behind"
        yield fault("node-clock", f"the clock of {node.name} is {abs(skew):.0f} s {where} this machine's")
    if broken := [each for each in there if each in trial.errors]:
        yield fault("node-build", f"{node.name}: {trial.errors[broken[0]]}", ", ".join(broken))
    built = trial.built.get(node.name, ())
    if elsewhere := [each for each in there if each in PLATFORMS and each not in (*built, *trial.errors)]:
        yield fault("node-elsewhere", f"{node.name} did not build {', '.join(elsewhere)}")


def _versions(answers: Mapping[str, Reached | ProvisionError]) -> Iterator[Finding]:
    """Feature releases, of which each brings what the one before does not know."""
    workers = {name: each.workers for name, each in answers.items() if isinstance(each, Reached)}
    said = {name: each.version or "" for name, each in workers.items() if each}
    numbers = {name: number(text) for name, text in said.items() if is_version(text)}
    if len({(each.major, each.minor) for each in numbers.values()}) > 1:
        yield fault("node-version", ", ".join(f"{name} has {said[name]}" for name in numbers))


def _client(path: str) -> Finding | None:
    """What is wrong with this machine's certificate."""
    if not path:
        return None
    try:
        life = pem.life_of(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        life = None
    now = time.time()
    if life is None or life.left(now) <= 0:
        words = f"{path} has expired" if life else f"{path} cannot be read"
        return fault("client-certificate", words, severity="error")
    if life.is_late(now):
        return fault("client-certificate", f"{path} ends in {_days(life.left(now))}")
    return None


def _days(seconds: float) -> str:
    return f"{seconds / DAY:.0f} days" if seconds >= 2 * DAY else f"{seconds / 3600:.0f} h"


def _row(node: Node, answer: Reached | ProvisionError | None, trial: Trial) -> NodeRow:
    return NodeRow(
        node=node.name,
        host="",
        endpoint=node.endpoint,
        platforms=node.platforms,
        options=dict(node.options),
        version=answer.workers.version if isinstance(answer, Reached) and answer.workers else None,
        built=tuple(sorted(trial.built.get(node.name, ()))),
    )
