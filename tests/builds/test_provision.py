"""From a bare host to BuildKit that was built from source: real Go, real scripts, the kernel's own table."""

from __future__ import annotations

import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from provision import elf
from provision.architectures import normalise, of_platform
from provision.buildkit.asset import asset_for
from provision.buildkit.errors import SilentError
from provision.buildkit.go.build import build
from provision.commands import change
from provision.commands.change import RunSettings
from provision.errors import ChecksumError, HostError, ReleaseError
from provision.report.progress import Progress
from provision.result import HostResult
from provision.spec import Buildkit, Spec
from provision.transport import StoppedError
from tests.builds.small import VERSION, Workshop, resolve_by_hand
from tests.lab.goproxy import small_buildkit
from tests.lab.mirror import Mirror
from tests.lab.patience import until
from tests.lab.release import workshop
from tests.shells.conftest import furnished
from tests.shells.machine import Machine
from tests.shells.test_change import EMULATOR, FOREIGN, IDS, furnish, listen

pytestmark = pytest.mark.needs("qemu-aarch64-static")

# What the facts script asks buildctl for.
_CLIENT = """package main

import "os"

func main() {
	text, _ := os.ReadFile("/lab/workers")
	os.Stdout.Write(text)
}
"""
ANSWERING = small_buildkit(**{"cmd/buildctl/main.go": _CLIENT})
RUNC = "#!/bin/sh\necho runc version {version}\necho spec: 1.0.2\n"


@dataclass
class Said(Progress):
    """Progress that remembers."""

    lines: list[str] = field(default_factory=list)

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        if state == "begin":
            self.lines.append(f"{host}: {step_id}: {text}")

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A Debian of sorts, whose apt has a runc."""
    with closing(furnished(tmp_path / "host", "dash")) as machine:
        furnish(machine)
        machine.write("/lab/runc", RUNC.format(version="1.1.5+ds1"), 0o755)
        machine.fake(
            "apt-get",
            'case "$*" in *runc*) cp /lab/runc /usr/bin/runc ;; '
            f"*qemu*) cp /lab/emulator /usr/bin/{EMULATOR} ;; esac",
        )
        listen(machine, monkeypatch)
        yield machine


@pytest.fixture
def shop(small: Workshop) -> Workshop:
    """The small BuildKit that answers."""
    small.proxy.published = (ANSWERING,)
    resolve_by_hand(small.cache, ANSWERING)
    return small


def order(shop: Workshop, said: Progress | None = None, **settings: object) -> tuple[Spec, RunSettings]:
    buildkit = replace(Buildkit(version=VERSION, source="go"), **settings)  # type: ignore[arg-type]
    run = RunSettings(cache=shop.cache, timeout=60, progress=said or Progress(), version=buildkit.version)
    return Spec(platforms=(FOREIGN,), buildkit=buildkit), run


def ids(result: HostResult) -> list[str]:
    return [step.id for step in result.steps]


def untouched(host: Machine) -> bool:
    return host.listing("/opt") == [] and not [call for call in host.calls() if call[0] != "systemctl"]


def test_from_bare_to_provisioned_and_nothing_the_second_time(host: Machine, shop: Workshop) -> None:
    said = Said()
    spec, run = order(shop, said)
    planned = change.preview(host.space, spec, run)
    assert ids(planned) == ["runc", *IDS]
    assert untouched(host)
    first = change.provision(host.space, spec, run, local=True)
    assert (first.status, first.error) == ("changed", None)
    assert {step.status for step in first.steps} == {"done"}
    assert next(call[:3] for call in host.calls() if "runc" in call) == ["apt-get", "--yes", "-q"]
    (note,) = first.notes
    assert note.startswith(f"BuildKit is built from github.com/moby/buildkit {VERSION} by go")
    here = normalise("linux", platform.machine(), "")
    compiling = f"namespace: build-compile: compile BuildKit {VERSION} for {here} from source"
    assert compiling in said.lines
    asked = len(shop.proxy.requests)
    second = change.provision(host.space, spec, run, local=True)
    assert (second.status, ids(second), second.notes) == ("ok", [], ())
    assert len(shop.proxy.requests) == asked


def test_a_changed_module_changes_nothing(host: Machine, shop: Workshop) -> None:
    shop.proxy.published = (small_buildkit(),)
    spec, run = order(shop)
    with pytest.raises(ChecksumError, match="is not what its checksum says"):
        change.provision(host.space, spec, run, local=True)
    assert untouched(host)


def test_auto_builds_when_the_release_host_is_silent_and_keeps_that(
    host: Machine, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    said = Said()
    spec, run = order(shop, said, source="auto")
    first = change.provision(host.space, spec, run, local=True)
    assert (first.status, first.error) == ("changed", None)
    assert "namespace: github.com does not answer: BuildKit is built here, from source" in said.lines
    assert any(note.startswith("github.com does not answer: BuildKit is built from") for note in first.notes)
    second = change.provision(host.space, spec, run, local=True)
    assert (second.status, ids(second)) == ("ok", [])


def test_the_default_version_is_built_when_the_release_host_is_silent(
    host: Machine, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of its release is known, so nobody is asked before the archive itself is needed."""
    monkeypatch.delenv("GOPROXY")
    build(Buildkit().version, normalise("linux", platform.machine(), ""), workshop())
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    spec, run = order(shop, source="auto", version=Buildkit().version)
    planned = change.preview(host.space, spec, replace(run, cache=workshop()), local=True)
    (step,) = [step for step in planned.steps if step.id == "release"]
    assert "verified by the go.sum that comes with this tool" in step.detail
    assert ids(planned)[0] == "runc"


def test_auto_never_builds_after_a_failed_checksum(
    host: Machine, shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Mirror(tmp_path / "releases") as mirror:
        monkeypatch.setattr("provision.buildkit.source.RELEASES", mirror.url)
        spec, run = order(shop, source="auto", version=Buildkit().version)
        asset = asset_for(spec.buildkit.version, platform.machine())
        archive = mirror.folder / asset.version / asset.name
        archive.parent.mkdir(parents=True)
        archive.write_bytes(b"\x1f\x8bnot the release")
        result = change.provision(host.space, spec, replace(run, cache=tmp_path / "none"), local=True)
    assert isinstance(result.error, ChecksumError)
    assert untouched(host)
    assert shop.proxy.requests == []


def test_a_mirror_that_is_down_is_no_reason_to_build(host: Machine, shop: Workshop) -> None:
    spec, run = order(shop, source="auto", mirror="http://127.0.0.1:9")
    with pytest.raises(SilentError):
        change.provision(host.space, spec, run, local=True)
    assert shop.proxy.requests == []
    assert untouched(host)


def test_a_runc_that_is_too_old_is_told_before_anything_is_built(host: Machine, shop: Workshop) -> None:
    host.write("/usr/bin/runc", RUNC.format(version="1.0.0~rc93+ds1"), 0o755)
    spec, run = order(shop)
    with pytest.raises(HostError, match=r"/usr/bin/runc is runc 1\.0\.0~rc93\+ds1"):
        change.provision(host.space, spec, run, local=True)
    assert shop.proxy.requests == []
    assert untouched(host)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.0.0~rc93", "the distribution has runc 1.0, and BuildKit needs 1.1"),
        ("", "does not say its version"),
    ],
)
def test_a_distribution_whose_runc_is_too_old_ends_the_run_before_handlers_change(
    version: str, words: str, host: Machine, shop: Workshop
) -> None:
    host.write("/lab/runc", RUNC.format(version=version), 0o755)
    spec, run = order(shop)
    result = change.provision(host.space, spec, run, local=True)
    assert [step.status for step in result.steps] == ["failed", *["skipped"] * len(IDS)]
    assert words in result.steps[0].detail
    assert host.listing("/opt") == []


@pytest.mark.parametrize("version", ["1.1.0", "1.4.3", "2.0.0-rc.1"])
def test_a_runc_that_is_there_is_used(version: str, host: Machine, shop: Workshop) -> None:
    host.write("/usr/bin/runc", RUNC.format(version=version), 0o755)
    spec, run = order(shop)
    assert ids(change.preview(host.space, spec, run)) == IDS


def test_programs_of_another_machine_are_refused_by_the_host(
    host: Machine, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the wrong platform built, the host would notice."""
    foreign = of_platform(FOREIGN)
    monkeypatch.setattr(elf, "pattern", lambda _arch, real=elf.pattern: real(foreign))
    spec, run = order(shop)
    result = change.provision(host.space, spec, run, local=True)
    (step,) = [step for step in result.steps if step.status == "failed"]
    assert (step.id, "not made for this machine" in step.detail) == ("release", True)


def test_ctrl_c_ends_a_build_and_leaves_nothing(
    host: Machine, shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal Go hears it as well as this tool: both are in the foreground."""

    class Impatient(Said):
        def step(self, host: str, step_id: str, state: str, text: str) -> None:
            super().step(host, step_id, state, text)
            if (step_id, state) == ("build-compile", "begin"):
                threading.Thread(target=interrupt).start()

    def interrupt() -> None:
        assert until(psutil.Process().children, 30)
        for child in psutil.Process().children():
            if child.name() == "go":
                child.send_signal(signal.SIGINT)

    monkeypatch.setenv("GOCACHE", str(tmp_path / "cold"))
    spec, run = order(shop, Impatient())
    with pytest.raises(StoppedError, match="was interrupted"):
        change.provision(host.space, spec, run, local=True)
    assert shop.left() == []
    assert untouched(host)


def test_no_go_at_all(host: Machine, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.buildkit.go.toolchain.shutil.which", lambda _name: None)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_RETRIES", "0")
    spec, run = order(shop)
    with pytest.raises(ReleaseError, match="there is no Go for it"):
        change.provision(host.space, spec, run, local=True)
    assert untouched(host)
