"""Each fault of emulation, made for real, yields exactly its finding; and none is left when it is undone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from provision import binfmt
from provision.architectures import Architecture, of_platform
from provision.fix import HERE, Fix, provision_for
from provision.health import emulation
from provision.report.fixes import written
from provision.result import Finding
from provision.spec import Emulation, Spec
from tests.kernel.host import TableHost
from tests.kernel.namespace import TABLE, Namespace

ARM64: Final = of_platform("linux/arm64")
S390X: Final = of_platform("linux/s390x")
BINFMT_P: Final = Path("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")
WANTED: Final = ("linux/amd64", "linux/arm64", "linux/s390x")


@dataclass(kw_only=True)
class Bench:
    """A table with sound handlers for two architectures, whose emulators are copies that may be spoiled."""

    host: TableHost
    table: Namespace
    folder: Path

    @property
    def spec(self) -> Spec:
        return Spec(platforms=WANTED, emulation=Emulation(interpreters=f"{self.folder}/qemu-{{qemu}}"))

    def path(self, arch: Architecture) -> Path:
        return self.folder / f"qemu-{arch.qemu}"

    def bring(self, arch: Architecture, source: Path | None = None) -> None:
        """An emulator under a new inode: renamed over the old one, as package managers do."""
        new = self.folder / "new"
        shutil.copy(source or f"/usr/bin/qemu-{arch.qemu}-static", new)
        new.rename(self.path(arch))

    def register(self, arch: Architecture, flags: str = "PF", **other: str) -> None:
        entry = binfmt.handler(arch, str(self.path(arch)), flags)
        self.table.register(replace(entry, **other))  # type: ignore[arg-type]

    def drop(self, name: str) -> None:
        self.table.write(name, "-1")

    def findings(self) -> tuple[Finding, ...]:
        return emulation.findings(self.spec, self.host.facts(self.spec))

    def only(self) -> Finding:
        """The one finding that there is: about arm64, with all its parts filled."""
        found = self.findings()
        assert len(found) == 1, found
        assert found[0].platform == "linux/arm64"
        assert all((found[0].evidence, found[0].consequence, found[0].fix))
        return found[0]


def on_host(found: Finding) -> str:
    """The fix as root of the host types it."""
    return written(found.fix, HERE).command


@pytest.fixture
def bench(namespace: Namespace, tmp_path: Path) -> Iterator[Bench]:
    host = TableHost(namespace)
    with host:
        made = Bench(host=host, table=namespace, folder=tmp_path)
        for arch in (ARM64, S390X):
            made.bring(arch)
            made.register(arch)
        assert made.findings() == ()
        yield made


def test_a_handler_without_f(bench: Bench) -> None:
    bench.drop("qemu-aarch64")
    bench.register(ARM64, "P")
    found = bench.only()
    assert (found.id, found.severity) == ("handler-without-f", "error")
    assert "flags P" in found.evidence


def test_no_handler(bench: Bench) -> None:
    bench.drop("qemu-aarch64")
    assert bench.only().id == "handler-missing"


def test_a_disabled_handler_and_its_fix(bench: Bench) -> None:
    bench.table.write("qemu-aarch64", "0")
    found = bench.only()
    assert found.id == "handler-disabled"
    assert on_host(found) == f"echo 1 > {TABLE}/qemu-aarch64"
    assert bench.host.ask(on_host(found), timeout=10).status == 0
    assert bench.findings() == ()


def test_all_handlers_disabled_is_one_finding(bench: Bench) -> None:
    bench.table.write("status", "0")
    (found,) = bench.findings()
    assert (found.id, found.platform) == ("binfmt-disabled", None)
    assert bench.host.ask(on_host(found), timeout=10).status == 0
    assert bench.findings() == ()


def test_an_emulator_replaced_by_rename(bench: Bench) -> None:
    source = bench.folder / "other"
    shutil.copy("/usr/bin/qemu-aarch64-static", source)
    with source.open("ab") as file:
        file.write(b"another build")
    bench.bring(ARM64, source)
    found = bench.only()
    assert (found.id, found.severity) == ("emulator-replaced", "warning")
    assert "sha256" in found.evidence
    bench.drop("qemu-aarch64")
    bench.register(ARM64)
    assert bench.findings() == ()


def test_the_same_emulator_installed_again_is_worth_knowing(bench: Bench) -> None:
    bench.bring(ARM64)
    found = bench.only()
    assert (found.id, found.severity) == ("emulator-replaced", "info")


def test_a_deleted_emulator(bench: Bench) -> None:
    bench.path(ARM64).unlink()
    found = bench.only()
    assert (found.id, found.severity) == ("emulator-deleted", "error")
    assert str(bench.path(ARM64)) in found.fix.words


def test_a_dynamic_emulator(bench: Bench, tmp_path: Path) -> None:
    """The kernel takes it without a word, and it works outside containers alone."""
    source = tmp_path / "dynamic"
    shutil.copy("/usr/bin/true", source)
    bench.drop("qemu-aarch64")
    bench.bring(ARM64, source)
    bench.register(ARM64)
    found = bench.only()
    assert found.id == "handler-dynamic"
    assert "ld-linux" in found.evidence


def test_a_handler_shadowed_by_a_later_one_that_works(bench: Bench) -> None:
    bench.register(ARM64, name="zz-later")
    found = bench.only()
    assert (found.id, found.severity) == ("handler-shadowed", "warning")
    assert "zz-later" in found.evidence
    bench.drop("zz-later")
    assert bench.findings() == ()


def test_a_handler_shadowed_by_a_later_one_that_does_not_work(bench: Bench) -> None:
    bench.register(ARM64, name="zz-later", interpreter=str(bench.path(S390X)))
    found = bench.only()
    assert (found.id, found.severity) == ("handler-shadowed", "error")


def test_argv_that_is_shifted_and_its_fix(bench: Bench) -> None:
    """Debian's build under its -binfmt-P name takes P for granted."""
    bench.drop("qemu-aarch64")
    bench.register(ARM64, "F", interpreter=str(BINFMT_P))
    found = bench.only()
    assert found.id == "handler-argv"
    assert {step.status for step in bench.host.emulate(bench.spec)} == {"done"}
    assert bench.findings() == ()


def test_an_emulator_of_something_else(bench: Bench) -> None:
    bench.drop("qemu-aarch64")
    bench.bring(ARM64, Path("/usr/bin/qemu-s390x-static"))
    bench.register(ARM64)
    assert bench.only().id == "handler-broken"


def test_a_handler_that_a_container_brought(bench: Bench) -> None:
    """Registered from a file system that is gone: works now, and nobody can register it again."""
    bench.drop("qemu-aarch64")
    rule = binfmt.format_rule(binfmt.handler(ARM64, "/opt/image/qemu-aarch64", "PF"))
    bench.host.ask("mkdir -p /opt/image && mount -t tmpfs tmpfs /opt", timeout=10)
    container = f"""
      mkdir -p /opt/image && mount -t tmpfs tmpfs /opt/image &&
      cp /usr/bin/qemu-aarch64-static /opt/image/qemu-aarch64 &&
      printf '%s' '{rule}' > {TABLE}/register
    """
    # A container: a mount namespace of its own, which ends with it.
    done = bench.table.run("unshare", "--mount", "sh", "-c", container)
    assert done.returncode == 0, done.stderr
    found = bench.only()
    assert (found.id, found.severity) == ("handler-container", "warning")
    assert "works now" in found.evidence
    assert found.fix == Fix.by(provision_for("linux/arm64"))


def test_a_handler_for_what_the_cpu_runs_itself(bench: Bench) -> None:
    i386 = of_platform("linux/386")
    spec = Spec(platforms=("linux/386",))
    assert emulation.findings(spec, bench.host.facts(spec)) == ()
    bench.table.register(binfmt.handler(i386, "/usr/bin/qemu-i386-static", "PF"))
    (found,) = emulation.findings(spec, bench.host.facts(spec))
    assert found.id == "handler-over-native"


def test_no_table_is_one_finding(bench: Bench) -> None:
    unmounted = subprocess.run(
        bench.table.command("umount", TABLE), check=False, capture_output=True, text=True
    )
    assert unmounted.returncode == 0, unmounted.stderr
    (found,) = bench.findings()
    assert (found.id, found.platform) == ("binfmt-not-mounted", None)
