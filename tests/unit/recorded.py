"""Facts of real hosts, recorded: a bare Debian 12 and the same host provisioned for amd64, arm64 and arm/v7."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from provision import paths
from provision.architectures import ARCHITECTURES
from provision.buildkit.asset import Asset
from provision.buildkit.digest import Digest
from provision.buildkit.release import Release
from provision.buildkit.workers import Workers
from provision.facts import DaemonMark, Facts, File, InitScript, Interpreter, Probe
from provision.facts.answer import parse
from provision.plan import Plan, Target, plan
from provision.plan.record import owned
from provision.plan.steps import WriteFile, WriteRule
from provision.services import openrc
from provision.services.manager import Name
from provision.spec import Buildkit, Spec

FOLDER = Path(__file__).parent / "fixtures"
COUNT = 42
NONCE = b"\x01\x02\x03\x04\x05\x06\x07"
WANTED = ("linux/amd64", "linux/arm64", "linux/arm/v7")
RECORDED = "v0.32.2"
"""The BuildKit release of the provisioned host. It stays when the product's default moves on."""
SPEC = Spec(platforms=WANTED, buildkit=Buildkit(version=RECORDED))
UNNAMED = replace(SPEC, platforms=None)
"""The same, where the configuration names no platforms."""
DIGEST = "5c8db21cc7b90682a3a727c6d3451d0143f04c216f8a3fb39ab0ae1f91992e13"
RELEASE = Release(
    asset=Asset(version=RECORDED, suffix="amd64"),
    location=f"/mirror/{RECORDED}/buildkit-{RECORDED}.linux-amd64.tar.gz",
    digest=Digest(value=DIGEST, source="user"),
    notes=(),
)


def read(lines: Iterable[str]) -> Facts:
    """The facts in an answer whose probes were given `COUNT` arguments."""
    return parse(lines, {arch.qemu: COUNT for arch in ARCHITECTURES})


def lines(name: str) -> list[str]:
    """The recorded answer of `bare` or `provisioned`."""
    return (FOLDER / f"{name}.txt").read_text().splitlines()


@cache
def facts(name: str) -> Facts:
    """The facts of `bare` or `provisioned`."""
    return read(lines(name))


def answered(state: str, text: str) -> Facts:
    """The settled host with another record of what buildctl printed."""
    seen = read(
        [*lines("bare")[:-1], f"workers\t{state}", *(f"|{line}" for line in text.split("\n")), "end"]
    )
    return replace(settled(), worker=seen.worker, worker_error=seen.worker_error)


def target(seen: Facts, spec: Spec = SPEC, release: Release = RELEASE) -> Target:
    return Target(spec=spec, facts=seen, release=release)


def planned(seen: Facts, spec: Spec = SPEC, release: Release = RELEASE) -> Plan:
    return plan(target(seen, spec, release), nonce=NONCE, argc=7)


def settled(spec: Spec = SPEC) -> Facts:
    """The provisioned host with the files that today's templates write: nothing is left to do there."""
    return applied(facts("provisioned"), spec)


def networked(spec: Spec) -> Facts:
    """The settled host with what every network mode needs."""
    seen = facts("provisioned")
    cni = File(path=paths.CNI, mode=0o644, owner="root", group="root", text="{}")
    return applied(
        replace(seen, tools=seen.tools | {"iptables"}, files={**seen.files, paths.CNI: cni}), spec
    )


def run_by(manager: Name, spec: Spec = SPEC) -> Facts:
    """The same host where another service manager, or none, runs buildkitd: nothing is left to do there either."""
    seen = facts("provisioned")
    if manager == "systemd":
        return applied(seen, spec)
    version = "0.45.2" if manager == "openrc" else None
    enabled = {name: InitScript(state="started", runlevels=("boot",)) for name in openrc.SERVICES}
    return applied(
        replace(
            seen,
            system=replace(seen.system, init="init", systemd=None, openrc=version),
            units={},
            init_scripts=enabled if manager == "openrc" else {},
            mark=DaemonMark(state="running", pid=671),
        ),
        spec,
    )


def applied(seen: Facts, spec: Spec = SPEC) -> Facts:
    """The facts after a plan for that host was carried out, as far as its files go."""
    made = planned(seen, spec)
    files = {**seen.files}
    for step in made.steps:
        if isinstance(step, WriteFile):
            files[step.path] = File(
                path=step.path, mode=int(step.mode, 8), owner="root", group="root", text=step.content
            )
        elif isinstance(step, WriteRule):
            text = f"{step.header}{step.line}\n"
            files[step.path] = File(path=step.path, mode=0o644, owner="root", group="root", text=text)
    assert seen.daemon
    after = replace(seen, files=files, daemon=replace(seen.daemon, generation=made.generation))
    return replace(after, record=owned(after))


def ids(made: Plan) -> list[str]:
    return [step.id for step in made.steps]


def with_probe(seen: Facts, qemu: str, **changes: object) -> Facts:
    """The facts with another outcome of one probe."""
    probe: Probe = replace(seen.probes[qemu], **changes)  # type: ignore[arg-type]
    return replace(seen, probes={**seen.probes, qemu: probe})


def with_interpreter(seen: Facts, path: str, **changes: object) -> Facts:
    found: Interpreter = replace(seen.interpreters[path], **changes)  # type: ignore[arg-type]
    return replace(seen, interpreters={**seen.interpreters, path: found})


def with_worker(seen: Facts, **changes: object) -> Facts:
    """The facts with another answer of the daemon."""
    assert seen.worker
    worker: Workers = replace(seen.worker, **changes)  # type: ignore[arg-type]
    return replace(seen, worker=worker)


def without_arm64(seen: Facts) -> Facts:
    """The daemon lists loong64 where it should list arm64."""
    assert seen.worker
    assert "linux/arm64" in seen.worker.platforms
    return with_worker(
        seen, platforms=tuple(each.replace("arm64", "loong64") for each in seen.worker.platforms)
    )


def buildkit(**changes: object) -> Spec:
    """The spec with other `[buildkit]` settings."""
    return replace(SPEC, buildkit=replace(SPEC.buildkit, **changes))  # type: ignore[arg-type]
