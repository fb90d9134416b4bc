"""Emulators that are slow, hang or rename themselves, and uutils' chroot: nothing is concluded that was not seen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from provision import binfmt
from provision.architectures import of_platform
from provision.facts.view import view
from provision.health import emulation
from provision.health.platforms import unmet
from provision.plan.steps import RegisterHandler
from provision.spec import Emulation, Spec
from tests.kernel.host import TableHost
from tests.kernel.namespace import Namespace
from tests.lab.needs import SEARCH
from tests.lab.programs import emulator

ARM64: Final = of_platform("linux/arm64")


@pytest.fixture
def host(namespace: Namespace) -> Iterator[TableHost]:
    made = TableHost(namespace)
    with made:
        yield made


def registered(namespace: Namespace, folder: Path, name: str) -> Spec:
    """A handler for arm64 by an emulator of that name."""
    path = folder / name
    shutil.copy(emulator(), path)
    namespace.register(binfmt.handler(ARM64, str(path), "PF"))
    return Spec(platforms=("linux/arm64",), emulation=Emulation(interpreters=str(path)))


def test_an_emulator_that_renames_itself_is_seen(
    host: TableHost, namespace: Namespace, tmp_path: Path
) -> None:
    spec = registered(namespace, tmp_path, "renamed")
    seen = view(ARM64, spec, host.facts(spec))
    assert (seen.ran, seen.native, seen.qemu) == (True, False, "10.0.0")
    assert emulation.findings(spec, seen.facts) == ()
    assert "handler-aarch64" not in [step.id for step in host.planned(spec, seen.facts).steps]


@pytest.mark.thorough
def test_a_slow_emulator_is_waited_for(host: TableHost, namespace: Namespace, tmp_path: Path) -> None:
    spec = registered(namespace, tmp_path, "late-9")
    seen = view(ARM64, spec, host.facts(spec))
    assert (seen.ran, seen.native) == (True, False)
    assert emulation.findings(spec, seen.facts) == ()


@pytest.mark.thorough
def test_one_that_hangs_is_no_crash_and_no_reason_to_register_it_anew(
    host: TableHost, namespace: Namespace, tmp_path: Path
) -> None:
    spec = registered(namespace, tmp_path, "late-600")
    seen = view(ARM64, spec, host.facts(spec))
    assert (seen.ran, seen.native, seen.probe.late) == (False, False, True)
    (found,) = emulation.findings(spec, seen.facts)
    assert (found.id, found.severity) == ("handler-late", "warning")
    assert "did not end within 10 s" in found.evidence
    steps = host.planned(spec, seen.facts).steps
    assert not [step for step in steps if isinstance(step, RegisterHandler)]
    assert not [problem for problem in unmet(spec, seen.facts) if "arm64" in problem]


@pytest.mark.needs("coreutils")
@pytest.mark.parametrize("name", ["qemu", pytest.param("late-9", marks=pytest.mark.thorough)])
def test_a_chroot_that_waits_for_its_program(
    host: TableHost, namespace: Namespace, tmp_path: Path, name: str
) -> None:
    """As that of uutils does: its process does not become the program."""
    uutils = shutil.which("coreutils", path=SEARCH)
    assert uutils
    bound = namespace.run("mount", "--bind", uutils, "/usr/sbin/chroot")
    assert bound.returncode == 0, bound
    assert namespace.run("chroot", "--version").stdout.startswith("chroot 0.")
    spec = registered(namespace, tmp_path, name)
    facts = host.facts(spec)
    seen = view(ARM64, spec, facts)
    assert (seen.ran, seen.native) == (True, False)
    assert facts.probes["x86_64"].natively
    assert emulation.findings(spec, facts) == ()
    if name == "qemu":
        assert seen.qemu == "10.0.0"
