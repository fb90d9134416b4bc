"""Facts for every finding, and the docs that list them. tests/unit/report/test_fixes.py uses them, too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from provision import binfmt, health, paths
from provision.architectures import of_platform
from provision.binfmt import Entry
from provision.facts import LATE, Facts
from provision.fix import HostCommand
from provision.health import deep
from provision.health.finding_table import AREAS, ROWS
from provision.result import Finding
from provision.spec import Buildkit, Emulation, Spec
from tests.lab.checkout import ROOT
from tests.unit import recorded
from tests.unit.health.test_basis import CASES as BASIS
from tests.unit.health.test_basis import sound
from tests.unit.health.test_deep import ANSWER
from tests.unit.health.test_health import (
    ARM64,
    CASES,
    Change,
    both,
    daemon,
    file,
    label,
    lists,
    qemu,
    unit,
)
from tests.unit.recorded import SPEC, settled, with_interpreter, with_probe

DOCS: Final = ROOT / "docs/findings.md"
QEMU: Final = "/usr/bin/qemu-aarch64-static"
HOSTILE: Final = "it's; touch $(x)\n#"
"""A name that whoever registers a handler may choose."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What turns the provisioned host into one with a finding, which may not be the only one then."""

    change: Change
    spec: Spec = SPEC


def entry(**changes: Any) -> Change:
    """The handler of arm64, changed."""

    def change(facts: Facts) -> Facts:
        changed = (
            replace(each, **changes) if each.name == "qemu-aarch64" else each for each in facts.entries
        )
        return replace(facts, entries=tuple(changed))

    return change


def system(**changes: Any) -> Change:
    return lambda facts: replace(facts, system=replace(facts.system, **changes))


def more(new: Entry) -> Change:
    """One more handler, the newest."""
    return lambda facts: replace(facts, entries=(new, *facts.entries))


def probe(name: str = "aarch64", **changes: Any) -> Change:
    return lambda facts: with_probe(facts, name, **changes)


def mounted(**changes: Any) -> Change:
    return lambda facts: replace(facts, binfmt=replace(facts.binfmt, **changes))


def without_emulator(facts: Facts) -> Facts:
    kept = {path: each for path, each in facts.interpreters.items() if path != QEMU}
    return replace(facts, interpreters=kept)


def rules(**changes: Any) -> Change:
    """The file that brings arm64's handler back, changed; without changes there is none."""

    def change(facts: Facts) -> Facts:
        ours = paths.rule("aarch64")
        others = tuple(each for each in facts.rules if "aarch64" not in each.path)
        mine = [replace(each, **changes) for each in facts.rules if each.path == ours and changes]
        return replace(facts, rules=(*mine, *others))

    return change


def file_of(platform: str, path: str) -> Change:
    """One more file in binfmt.d, which registers an emulator for a platform without the P flag."""
    text = binfmt.format_rule(binfmt.handler(of_platform(platform), QEMU, "F"))

    def change(facts: Facts) -> Facts:
        model = facts.rules[0]
        return replace(facts, rules=(*facts.rules, replace(model, path=path, target="", text=text)))

    return change


NATIVE: Final = binfmt.handler(of_platform("linux/386"), "/usr/bin/qemu-i386-static", "PF")
LATER: Final = replace(binfmt.handler(of_platform(ARM64), "/opt/q", "PF"), name=HOSTILE)
FAULTS: Final[dict[str, Fault]] = {
    "binfmt-not-mounted": Fault(change=mounted(mounted="none")),
    "binfmt-disabled": Fault(change=mounted(enabled=False)),
    "handler-around": Fault(
        change=both(system(contained=True), mounted(writable=False)), spec=Spec(platforms=("linux/riscv64",))
    ),
    "handler-late": Fault(change=probe(status=LATE)),
    "handler-missing": Fault(change=probe(), spec=Spec(platforms=("linux/riscv64",))),
    "handler-disabled": Fault(change=both(entry(name=HOSTILE, enabled=False), probe(status=127))),
    "handler-without-f": Fault(change=both(entry(flags="P"), probe(status=127))),
    "handler-argv": Fault(change=probe(status=recorded.COUNT + 1)),
    "handler-broken": Fault(change=probe(status=139)),
    "handler-credentials": Fault(change=entry(flags="POCF")),
    "handler-shadowed": Fault(change=more(LATER)),
    "handler-over-native": Fault(
        change=more(replace(NATIVE, name=HOSTILE)), spec=Spec(platforms=("linux/386",))
    ),
    "handler-container": Fault(change=without_emulator),
    "emulator-deleted": Fault(change=both(without_emulator, probe(executable=f"{QEMU} (deleted)"))),
    "emulator-replaced": Fault(change=lambda facts: with_interpreter(facts, QEMU, identity="1:2")),
    "boot-missing": Fault(change=rules()),
    "boot-masked": Fault(change=rules(target="/dev/null")),
    "boot-broken": Fault(
        change=rules(text=binfmt.format_rule(replace(LATER, name="qemu-aarch64", flags="P")))
    ),
    "boot-differs": Fault(change=file_of(ARM64, "/usr/lib/binfmt.d/zz later.conf")),
    "boot-over-native": Fault(change=file_of("linux/amd64", "/etc/binfmt.d/it's.conf")),
    "service-disabled": Fault(change=unit(paths.SERVICE, file_state="disabled")),
    "worker-network": Fault(change=label("network", "host"), spec=recorded.buildkit(network="bridge")),
    "worker-tmpdir": Fault(
        change=both(
            daemon(tmpdir="/scratch room"),
            lambda facts: replace(
                facts,
                mounts=(
                    *facts.mounts,
                    replace(facts.mounts[0], point="/scratch room", options=frozenset(["noexec"])),
                ),
            ),
        )
    ),
    "socket-access": Fault(change=file(paths.SOCKET, mode=0o666)),
    "listener-open": Fault(change=daemon(command="buildkitd --addr tcp://0.0.0.0:1234")),
    "known-bad-x86-64-v2": Fault(
        change=both(
            more(binfmt.handler(of_platform("linux/amd64"), "/usr/bin/qemu-x86_64-static", "PF")),
            qemu("6.0.0", "x86_64"),
            probe("x86_64", executable="/usr/bin/qemu-x86_64-static", natively=False),
        )
    ),
}
VARIANTS: Final[tuple[Fault, ...]] = (
    # Other fixes of the same finding.
    Fault(
        change=both(
            without_emulator, probe(executable=f"{QEMU} (deleted)"), lambda f: replace(f, tools=frozenset())
        )
    ),
    Fault(
        change=both(without_emulator, probe(executable=f"{QEMU} (deleted)")),
        spec=replace(SPEC, emulation=Emulation(interpreters="/usr/bin/qemu-{qemu}-static")),
    ),
    Fault(change=lambda facts: replace(facts, system=replace(facts.system, systemd=None), worker=None)),
    Fault(change=both(unit(paths.SERVICE, load="masked", active="inactive"))),
    Fault(change=unit(paths.SYSTEMD_BINFMT, load="not-found")),
    Fault(change=lists("linux/amd64"), spec=Spec(platforms=("linux/amd64", "linux/amd64/v4"))),
    Fault(
        change=CASES["insecure"][0],
        spec=replace(SPEC, buildkit=Buildkit(version="v0.20.0", allow_insecure_version=True)),
    ),
)


def dynamic(facts: Facts) -> Facts:
    """A dynamically linked emulator, which no chroot can run."""
    header = facts.interpreters[QEMU].header
    assert header
    linked = replace(header, linkage="dynamic", interpreter="/lib64/ld-linux-x86-64.so.2")
    return with_interpreter(with_probe(facts, "aarch64", status=127), QEMU, header=linked)


def all_faults() -> list[tuple[Fault, str]]:
    """Every fault with the name of its case."""
    known = [(Fault(change=change), name) for name, (change, _) in CASES.items()]
    named = [(fault, name) for name, fault in FAULTS.items()]
    return [
        *known,
        *named,
        *((fault, f"variant {number}") for number, fault in enumerate(VARIANTS)),
        (Fault(change=dynamic), "handler-dynamic"),
    ]


def all_findings() -> list[Finding]:
    """Every finding that there is, once or more."""
    found = [
        *(each for fault, _ in all_faults() for each in health.find(fault.spec, fault.change(settled()))),
        *(each for case in BASIS.values() for each in health.find(case.spec, case.change(sound(case.spec)))),
    ]
    bare = health.find(SPEC, recorded.facts("bare"))
    return [*found, *bare, *deep.findings(SPEC, settled(), deep.parse(ANSWER.splitlines()))]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str) -> None:
    fault = FAULTS[name]
    assert name in [
        each.id for each in health.find(fault.spec, fault.change(recorded.networked(fault.spec)))
    ]


def test_the_facts_of_every_finding_are_here() -> None:
    assert {each.id for each in all_findings()} == set(ROWS)


@pytest.mark.parametrize(
    ("installed", "command"),
    [
        (("qemu-user-static",), "apt-get install --reinstall qemu-user-static"),
        (("qemu-user",), "apt-get install --reinstall qemu-user"),
        # After an upgrade to Ubuntu 26.04 the package is gone, too.
        ((), ""),
    ],
)
def test_an_emulator_that_is_gone_is_brought_back_by_what_the_system_has(
    installed: tuple[str, ...], command: str
) -> None:
    facts = both(without_emulator, probe(executable=f"{QEMU} (deleted)"))(settled())
    (found,) = health.find(SPEC, replace(facts, installed_packages={"apt-get": installed}))
    assert found.id == "emulator-deleted"
    commands = [" ".join(each.arguments) for each in found.fix.commands if isinstance(each, HostCommand)]
    assert commands == [command] * bool(command)


def test_every_finding_has_all_its_parts() -> None:
    for found in all_findings():
        assert all((found.evidence, found.consequence, found.fix)), found


def test_the_docs_say_what_the_rows_say() -> None:
    """All of each table: a new row is copied there, whole."""
    page = DOCS.read_text(encoding="utf-8")
    sections = {text.partition("\n")[0]: text for text in page.split("\n## ")[1:]}
    assert list(sections) == list(AREAS)
    for area, rows in AREAS.items():
        table = [line for line in sections[area].splitlines() if line.startswith("|")]
        assert table == [
            "| id | means | breaks | fixed by |",
            "| --- | --- | --- | --- |",
            *(f"| `{row.id}` | {row.meaning} | {row.link or ''} | {row.fixed_by} |" for row in rows),
        ]
