"""Every architecture on the real kernel: registered right and wrong on purpose, with the right verdict each time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision import binfmt, elf
from provision.architectures import ARCHITECTURES, Architecture, of_platform
from provision.errors import HostError
from provision.facts import Facts
from provision.facts.view import view
from provision.health.platforms import rows, why_not
from provision.result import PlatformRow
from provision.spec import Emulation, Spec
from tests.kernel.host import TableHost
from tests.kernel.namespace import Namespace

FOREIGN = [arch for arch in ARCHITECTURES if arch.name not in ("amd64", "386")]


@pytest.fixture
def host(namespace: Namespace) -> Iterator[TableHost]:
    made = TableHost(namespace)
    with made:
        yield made


def static(arch: Architecture) -> str:
    return f"/usr/bin/qemu-{arch.qemu}-static"


def named_for_p(arch: Architecture) -> str:
    """Debian's build that takes P for granted when it is called by this name."""
    return f"/usr/libexec/qemu-binfmt/{arch.qemu}-binfmt-P"


def row(facts: Facts, arch: Architecture) -> PlatformRow:
    return next(
        each for each in rows(Spec(platforms=arch.platforms), facts) if each.platform == arch.platforms[0]
    )


def verdict(facts: Facts, arch: Architecture) -> str:
    return why_not(view(arch, Spec(platforms=arch.platforms), facts))


def test_every_architecture_is_registered_proven_and_persistent(
    host: TableHost, namespace: Namespace
) -> None:
    results = host.emulate(Spec())
    assert {result.status for result in results} == {"done"}, results
    facts = host.facts(Spec())
    for arch in FOREIGN:
        found = row(facts, arch)
        assert (found.mode, found.handler, found.flags) == ("emulated", f"qemu-{arch.qemu}", "PF")
        assert found.qemu is not None
        assert facts.probes[arch.qemu].held == facts.interpreters[static(arch)].identity
    for arch in set(ARCHITECTURES) - set(FOREIGN):
        assert row(facts, arch).mode == "native"
    # No trial or stand-by entry is left, and the second plan is empty.
    assert sorted(namespace.names()) == sorted(f"qemu-{arch.qemu}" for arch in FOREIGN)
    assert host.planned(Spec(), facts).steps == ()
    # A boot reads the files back: what systemd-binfmt would register is what is registered now.
    rules = [
        entry
        for rule in facts.rules
        if rule.path.startswith("/etc/")
        for entry in binfmt.parse_rules(rule.text)
    ]
    now = {entry.name: entry for entry in facts.entries}
    assert len(rules) == len(FOREIGN)
    assert all(now[entry.name].same_rule(entry) for entry in rules)


@pytest.mark.thorough
@pytest.mark.parametrize("arch", FOREIGN, ids=lambda arch: arch.name)
def test_without_f_it_is_not_there_inside_a_container(
    host: TableHost, namespace: Namespace, arch: Architecture
) -> None:
    namespace.register(binfmt.handler(arch, static(arch), "P"))
    facts = host.facts(Spec())
    assert row(facts, arch).mode == "none"
    assert row(facts, arch).registered
    assert "its emulator cannot be started inside a container" in verdict(facts, arch)
    heals(host, arch)


@pytest.mark.thorough
@pytest.mark.parametrize("arch", FOREIGN, ids=lambda arch: arch.name)
def test_a_wrong_p_shifts_the_arguments(host: TableHost, namespace: Namespace, arch: Architecture) -> None:
    namespace.register(binfmt.handler(arch, named_for_p(arch), "F"))
    facts = host.facts(Spec())
    assert facts.probes[arch.qemu].shifted
    assert "its arguments arrive shifted" in verdict(facts, arch)
    heals(host, arch)


@pytest.mark.thorough
@pytest.mark.parametrize("arch", FOREIGN, ids=lambda arch: arch.name)
def test_what_shadows_a_good_handler_is_overtaken(
    host: TableHost, namespace: Namespace, arch: Architecture
) -> None:
    namespace.register(binfmt.handler(arch, static(arch), "PF"))
    namespace.register(replace(binfmt.handler(arch, "/usr/bin/cat", "F"), name="shadow"))
    facts = host.facts(Spec())
    assert row(facts, arch).handler == "shadow"
    assert row(facts, arch).mode == "none"
    made = host.planned(Spec(platforms=arch.platforms), facts)
    assert any("shadow" in note for note in made.notes)
    heals(host, arch)
    assert "shadow" in namespace.names()


def heals(host: TableHost, arch: Architecture) -> None:
    """The product's own plan puts it right."""
    spec = Spec(platforms=arch.platforms)
    results = host.emulate(spec)
    assert {result.status for result in results} == {"done"}, results
    assert row(host.facts(spec), arch).mode == "emulated"


def test_a_dynamic_interpreter_is_refused_before_it_is_registered(
    host: TableHost, namespace: Namespace, tmp_path: Path
) -> None:
    for arch in FOREIGN:
        shutil.copy("/usr/bin/true", tmp_path / f"qemu-{arch.qemu}")
    spec = Spec(
        platforms=("linux/arm64", "linux/s390x"),
        emulation=Emulation(interpreters=f"{tmp_path}/qemu-{{qemu}}"),
    )
    facts = host.facts(spec)
    with pytest.raises(HostError) as refused:
        host.planned(spec, facts)
    assert "dynamically linked" in refused.value.message
    assert namespace.names() == []


def test_an_emulator_that_does_not_work_leaves_the_former_handler(
    host: TableHost, namespace: Namespace, tmp_path: Path
) -> None:
    arch = next(arch for arch in FOREIGN if arch.name == "arm64")
    former = binfmt.handler(arch, static(arch), "PF")
    namespace.register(former)
    # Static, for this machine, executable: only running it shows that it is the emulator of something else.
    shutil.copy("/usr/bin/qemu-riscv64-static", tmp_path / "qemu-aarch64")
    spec = Spec(platforms=("linux/arm64",), emulation=Emulation(interpreters=f"{tmp_path}/qemu-{{qemu}}"))
    results = {result.id: result for result in host.emulate(spec)}
    assert results["handler-aarch64"].status == "failed"
    assert "qemu-aarch64" in results["handler-aarch64"].target
    assert results["rule-aarch64"].status == "skipped"
    assert [entry.same_rule(former) for entry in namespace.entries()] == [True]
    assert namespace.names() == ["qemu-aarch64"]


def test_a_handler_for_the_machines_own_programs_is_never_written(
    host: TableHost, namespace: Namespace
) -> None:
    native = next(arch for arch in ARCHITECTURES if arch.name == "amd64")
    facts = host.facts(Spec())
    assert binfmt.would_hijack(binfmt.handler(native, static(native), "F"), [facts.system.native])
    assert row(facts, native).mode == "native"
    # Even where it is asked for by name there is no step: it runs natively.
    assert host.planned(Spec(platforms=native.platforms), facts).steps == ()
    blind = replace(facts, probes={})
    with pytest.raises(HostError, match="own programs"):
        host.planned(Spec(platforms=native.platforms), blind)
    assert namespace.names() == []


def replaced(facts: Facts) -> bool:
    return view(of_platform("linux/arm64"), Spec(), facts).replaced


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_a_replaced_emulator_is_found_and_renewed(host: TableHost, tmp_path: Path, link: bool) -> None:
    spec = Spec(platforms=("linux/arm64",), emulation=Emulation(interpreters=f"{tmp_path}/qemu-{{qemu}}"))
    emulator = tmp_path / "qemu-aarch64"
    shutil.copy("/usr/bin/qemu-aarch64-static", tmp_path / "old")
    if link:
        emulator.symlink_to("old")
    else:
        (tmp_path / "old").rename(emulator)
    host.emulate(spec)
    assert not replaced(host.facts(spec))
    # As a package manager upgrades: a new file under a temporary name, renamed. Or a link that leads elsewhere.
    shutil.copy("/usr/bin/qemu-aarch64-static", tmp_path / "new")
    if link:
        (tmp_path / "link").symlink_to("new")
    (tmp_path / ("link" if link else "new")).rename(emulator)
    facts = host.facts(spec)
    assert replaced(facts)
    assert facts.probes["aarch64"].ran
    assert [step.id for step in host.planned(spec, facts).steps] == [
        "handler-aarch64",
        "rule-aarch64",
    ]
    host.emulate(spec)
    assert not replaced(host.facts(spec))


def test_others_entries_survive(host: TableHost, namespace: Namespace) -> None:
    namespace.register(":WSLInterop:M::MZ::/usr/bin/true:PF")
    namespace.register(":jar:E::jar::/usr/bin/true:")
    before = {name: namespace.read(name) for name in namespace.names()}
    host.emulate(Spec())
    assert {name: namespace.read(name) for name in before} == before


def test_the_trial_magic_is_not_the_architectures(host: TableHost) -> None:
    """What the trial rests on: QEMU runs a file whose e_ident padding is set, and the kernel tells it apart."""
    spec = Spec(platforms=("linux/riscv64",))
    (step, _rule) = host.planned(spec, host.facts(spec)).steps
    assert step.kind == "handler"
    assert elf.probe(next(a for a in FOREIGN if a.name == "riscv64"))[9:16] == bytes(7)
    assert {result.status for result in host.emulate(spec)} == {"done"}


def test_a_run_folder_that_forbids_programs_does_not_matter(host: TableHost, namespace: Namespace) -> None:
    """Debian mounts /run noexec; hardening guides do the same to /tmp."""
    for folder in ("/run", "/tmp"):
        assert namespace.run("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", folder).returncode == 0
    spec = Spec(platforms=("linux/arm64",))
    assert {result.status for result in host.emulate(spec)} == {"done"}
    assert row(host.facts(spec), next(arch for arch in FOREIGN if arch.name == "arm64")).mode == "emulated"
