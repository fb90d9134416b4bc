"""Handlers on the real kernel, by the real script: taken, replaced, refused, put back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from provision import binfmt, elf, paths
from provision.architectures import of_qemu
from provision.facts import Facts
from provision.plan import handlers
from provision.plan.steps import RegisterHandler, WriteRule
from provision.spec import Emulation, Spec
from tests.lab.patience import until
from tests.shells.machine import Machine

SPEC = Spec(
    platforms=("linux/arm64", "linux/s390x"), emulation=Emulation(interpreters="/usr/bin/qemu-{qemu}-static")
)
NONCE = bytes(range(1, 8))
NOT_STARTED = "its emulator cannot be started inside a container"
REASONS = {
    "words": NOT_STARTED,
    "other-guest": "its emulator refused the program",
    # The s390x handler takes it, by now.
    "other-machine": "its program ended with status",
    "dynamic": NOT_STARTED,
}

pytestmark = pytest.mark.needs("qemu-aarch64-static")


@pytest.fixture
def machine(machine: Machine) -> Machine:
    """With real emulators for two architectures."""
    for qemu in ("aarch64", "s390x"):
        install(machine, qemu, f"/usr/bin/qemu-{qemu}-static")
    return machine


def install(machine: Machine, qemu: str, path: str) -> None:
    found = shutil.which(f"qemu-{qemu}-static")
    assert found
    machine.write(path, Path(found).read_bytes(), 0o755)


def steps(qemu: str, path: str, facts: Facts | None = None) -> tuple[RegisterHandler, WriteRule]:
    """What the plan would hold."""
    arch = of_qemu(qemu)
    assert arch
    seen = facts or Facts()
    register = handlers.register(arch, (path,), SPEC, seen, NONCE, 17)
    rule = handlers.rule(arch, register.variants[0].line, SPEC, seen, follows=True)
    assert rule
    return register, rule


def names(machine: Machine) -> list[str]:
    listed = machine.space.run(f"ls {paths.BINFMT}").split("\n")
    return [name for name in listed if name not in ("register", "status")]


def interpreter(machine: Machine, name: str) -> str:
    return binfmt.parse_entry(name, machine.space.run(f"cat {paths.BINFMT}/{name}")).interpreter


def test_a_handler_is_registered_proven_and_comes_back_at_boot(machine: Machine) -> None:
    register, rule = steps("aarch64", "/usr/bin/qemu-aarch64-static", machine.facts(SPEC))
    applied = machine.apply(register, rule)
    assert applied.states == ["done", "done"], applied
    facts = machine.facts(SPEC)
    (entry,) = facts.entries
    assert (entry.name, entry.interpreter) == ("qemu-aarch64", "/usr/bin/qemu-aarch64-static")
    assert "F" in entry.flags
    probe = facts.probes["aarch64"]
    assert probe.ran
    assert probe.emulated
    assert probe.held == facts.interpreters[entry.interpreter].identity
    assert probe.version.startswith("qemu-aarch64 version")
    # What systemd-binfmt will read is what the kernel has now.
    (written,) = binfmt.parse_rules(machine.at(paths.rule("aarch64")).read_text())
    assert written.same_rule(entry)


def test_a_handler_is_replaced(machine: Machine) -> None:
    install(machine, "aarch64", "/opt/qemu/new")
    machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static"))
    applied = machine.apply(*steps("aarch64", "/opt/qemu/new"))
    assert applied.states == ["done", "done"]
    assert names(machine) == ["qemu-aarch64"]
    assert interpreter(machine, "qemu-aarch64") == "/opt/qemu/new"
    assert "/opt/qemu/new" in machine.at(paths.rule("aarch64")).read_text()


def test_while_it_is_replaced_every_program_runs(machine: Machine) -> None:
    machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static"))
    arch = of_qemu("aarch64")
    assert arch
    machine.write("/lab/root/p", elf.probe(arch), 0o755)
    loop = "while [ ! -e /lab/end ]; do chroot /lab/root /p x x </dev/null; echo $?; done >/lab/answers"
    machine.space.run(f"setsid sh -c '{loop}; : >/lab/ended' >/dev/null 2>&1 &")
    assert until(
        lambda: machine.at("/lab/answers").exists() and machine.at("/lab/answers").stat().st_size > 9
    )
    for _ in range(5):
        assert machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static")).states == ["done", "done"]
    machine.write("/lab/end", "")
    assert until(machine.at("/lab/ended").exists)
    answers = machine.at("/lab/answers").read_text().split()
    assert len(answers) > 20
    assert set(answers) == {"3"}


def test_a_bad_emulator_leaves_the_former_handler_and_the_other_one(machine: Machine) -> None:
    machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static"))
    before = machine.at(paths.rule("aarch64")).read_text()
    s390x = of_qemu("s390x")
    assert s390x
    bad = {
        "words": b": nothing\n",
        "other-guest": machine.at("/usr/bin/qemu-s390x-static").read_bytes(),
        "other-machine": elf.probe(s390x),
        "dynamic": Path("/usr/bin/env").read_bytes(),
        "gone": None,
    }
    for name, content in bad.items():
        path = f"/opt/qemu/{name}"
        if content:
            machine.write(path, content, 0o755)
        applied = machine.apply(*steps("aarch64", path), *steps("s390x", "/usr/bin/qemu-s390x-static"))
        assert applied.states == ["failed", "skipped", "done", "done"], name
        reason = applied.steps["handler-aarch64"].detail.split("\n")[0]
        assert reason.startswith(f"{path}: {REASONS[name]}" if content else f"there is no {path}"), name
        assert sorted(names(machine)) == ["qemu-aarch64", "qemu-s390x"]
        assert interpreter(machine, "qemu-aarch64") == "/usr/bin/qemu-aarch64-static"
        assert machine.at(paths.rule("aarch64")).read_text() == before
    assert machine.facts(SPEC).probes["aarch64"].ran


def test_a_handler_that_fails_under_its_real_magic_is_put_back(machine: Machine) -> None:
    """The trial goes well and the real entry does not: another program's mask, for one."""
    machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static"))
    good, rule = steps("aarch64", "/usr/bin/qemu-aarch64-static")
    other, _ = steps("aarch64", "/usr/bin/qemu-s390x-static")
    variant = replace(good.variants[0], standby=other.variants[0].standby)
    applied = machine.apply(replace(good, variants=(variant,)), rule)
    assert applied.states == ["failed", "skipped"]
    assert applied.steps[good.id].detail.split("\n")[0].endswith("; qemu-aarch64 is left as it was")
    assert names(machine) == ["qemu-aarch64"]
    assert machine.facts(SPEC).probes["aarch64"].ran


def test_an_entry_the_kernel_refuses_is_said_and_changes_nothing(machine: Machine) -> None:
    machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static"))
    good, rule = steps("aarch64", "/usr/bin/qemu-aarch64-static")
    variant = replace(good.variants[0], trial=":qemu-aarch64.trial:M:::::F")
    applied = machine.apply(replace(good, variants=(variant,)), rule)
    assert applied.states == ["failed", "skipped"]
    assert "the kernel refused the entry" in applied.steps[good.id].detail
    assert names(machine) == ["qemu-aarch64"]


def test_the_next_choice_of_flags_is_taken_and_written(machine: Machine) -> None:
    """A build that is told by its name always takes one argument more: without P its count is off."""
    path = "/usr/libexec/qemu-binfmt/aarch64-binfmt-P"
    install(machine, "aarch64", path)
    register, rule = steps("aarch64", path)
    best, other = register.variants
    assert (best.flags, other.flags) == ("PF", "F")
    reversed_ = replace(register, variants=(other, best))
    if "shifted" not in machine.apply(replace(register, variants=(other,))).only.detail:
        pytest.skip("this build of QEMU does not go by its name")
    assert machine.apply(reversed_, rule).states == ["done", "done"]
    (entry,) = machine.facts(SPEC).entries
    assert entry.flags == "PF"
    assert machine.at(paths.rule("aarch64")).read_text().endswith(f"{best.line}\n")


def test_what_an_ended_run_left_is_cleared(machine: Machine) -> None:
    register, rule = steps("aarch64", "/usr/bin/qemu-aarch64-static")
    (variant, *_) = register.variants
    for line in (variant.trial, variant.standby):
        machine.space.run(f"printf %s '{line}' >{paths.BINFMT}/register")
    assert sorted(names(machine)) == ["qemu-aarch64.standby", "qemu-aarch64.trial"]
    assert machine.apply(register, rule).states == ["done", "done"]
    assert names(machine) == ["qemu-aarch64"]


def test_the_entries_of_others_stay(machine: Machine) -> None:
    machine.space.run(f"printf %s ':jar:E::jar::/usr/bin/env:' >{paths.BINFMT}/register")
    machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static"))
    machine.apply(*steps("aarch64", "/usr/bin/qemu-aarch64-static"))
    assert sorted(names(machine)) == ["jar", "qemu-aarch64"]


def test_an_emulator_with_any_name(machine: Machine) -> None:
    path = '/opt/it\'s $(: >pwned) "here"/q e*mu'
    install(machine, "aarch64", path)
    assert machine.apply(*steps("aarch64", path)).states == ["done", "done"]
    assert interpreter(machine, "qemu-aarch64") == path
    (written,) = binfmt.parse_rules(machine.at(paths.rule("aarch64")).read_text())
    assert written.interpreter == path
    assert not machine.at("/pwned").exists()
