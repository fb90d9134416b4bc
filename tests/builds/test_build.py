"""A build from source: what comes out, from where, and that the cache is whole whatever happens."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from provision import elf
from provision.architectures import normalise, of_platform
from provision.buildkit import choice
from provision.buildkit.errors import SilentError
from provision.buildkit.go import toolchain
from provision.buildkit.go.store import Built, Store
from provision.errors import ReleaseError
from provision.spec import LATEST, Buildkit, Log
from tests.builds.small import ARM, VERSION, Heard, Workshop, programs
from tests.lab import checkout
from tests.lab.goproxy import small_buildkit
from tests.lab.patience import until

_BUILD: Final = """
import sys
from pathlib import Path
from provision.buildkit.go.build import build
class Said:
    def go_on(self): pass
    def begin(self, stage, text): print(stage, flush=True)
    def count(self, stage, done, total): pass
    def end(self, stage): pass
print(build(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Said()).sha256)
"""


def elsewhere(small: Workshop) -> subprocess.Popen[str]:
    """The same build in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", _BUILD, VERSION, ARM, str(small.cache)],
        env={**os.environ, "PYTHONPATH": str(checkout.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def swept(small: Workshop) -> list[str]:
    """What is left after a run that does nothing."""
    with Store(cache=small.cache).building(Heard()):
        pass
    return small.left()


def test_an_archive_like_a_release(small: Workshop) -> None:
    heard = Heard()
    built = small.build(heard=heard)
    found = programs(built.archive)
    assert sorted(found) == ["bin/buildctl", "bin/buildkitd"]
    header = elf.parse(found["bin/buildkitd"][: elf.HEAD])
    assert header is not None
    assert (header.bits, header.machine, header.linkage) == (32, of_platform(ARM).machine, "static")
    # Go notes GOARM in the program.
    assert b"GOARM=6" in found["bin/buildkitd"]
    assert built.archive == small.cache / hashlib.sha256(built.archive.read_bytes()).hexdigest()
    assert heard.stages == ["build-modules", "build-compile", "build-pack"]
    assert heard.counts["build-modules"] == (1, None)
    go = toolchain.find().version
    assert built.words == f"built from github.com/moby/buildkit {VERSION} by {go}, verified by hand"


def test_the_programs_say_their_version(small: Workshop, tmp_path: Path) -> None:
    for name, content in programs(small.build(normalise("linux", platform.machine(), "")).archive).items():
        program = tmp_path / Path(name).name
        program.write_bytes(content)
        program.chmod(0o755)
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        assert said == f"{program.name} github.com/moby/buildkit {VERSION}\n"


def test_the_same_source_gives_the_same_digest(small: Workshop, tmp_path: Path) -> None:
    first = small.build()
    (small.cache / "go").rename(tmp_path / "other-go")
    first.archive.unlink()
    (small.cache / "go").mkdir()
    (tmp_path / "other-go" / "resolved").rename(small.cache / "go" / "resolved")
    assert small.build().sha256 == first.sha256


def test_the_cache_needs_no_network(small: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small.build()
    asked = len(small.proxy.requests)
    monkeypatch.setenv("GOPROXY", "off")
    heard = Heard()
    assert small.build(heard=heard) == first
    assert (len(small.proxy.requests), heard.stages) == (asked, [])
    # Another platform: what was downloaded is there, and go.sum vouches for it.
    assert small.build("linux/arm64").source.platform == "linux/arm64"


def test_each_platform_and_go_has_an_archive_of_its_own(small: Workshop) -> None:
    v6, v7 = small.build(), small.build("linux/arm/v7")
    assert v6.sha256 != v7.sha256
    assert b"GOARM=7" in programs(v7.archive)["bin/buildkitd"]
    assert Store(cache=small.cache).earlier(VERSION, ARM) == (v6,)


def test_two_runs_build_once(small: Workshop) -> None:
    runs = [elsewhere(small) for _ in range(2)]
    said = [run.communicate(timeout=300)[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert said[0][-1] == said[1][-1]
    assert sum("build-compile" in each for each in said) == 1
    assert len(small.left()) == 2, small.left()


def test_a_killed_build_leaves_nothing(
    small: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOCACHE", str(tmp_path / "cold"))
    with elsewhere(small) as run:
        assert run.stdout is not None
        while run.stdout.readline().strip() != "build-compile":
            assert run.poll() is None
        time.sleep(0.2)
        run.kill()
    assert not [name for name in small.left() if "/.building-" not in name]
    assert small.left(), "nothing was begun, so nothing was shown"
    heard = Heard()
    built = small.build(heard=heard)
    done, total = heard.counts["build-compile"]
    assert total is not None
    assert 0 < done <= total
    # Its Go ends with the next line that it prints, as nobody reads it. The run after that removes what it left.
    assert until(lambda: len(swept(small)) == 2, 60), small.left()
    assert built.archive.is_file()


def test_an_archive_that_is_gone_is_built_anew(small: Workshop) -> None:
    first: Built = small.build()
    first.archive.unlink()
    assert small.build() == first
    assert first.archive.is_file()


def test_the_latest_is_what_the_go_proxy_has(small: Workshop) -> None:
    small.proxy.published = (
        *small.proxy.published,
        small_buildkit("v0.98.0"),
        small_buildkit("v0.100.0-rc1"),
    )
    assert choice.wanted_version(Buildkit(version=LATEST, source="go"), small.cache) == VERSION


def test_the_latest_of_a_release_host_that_is_silent_is_that_of_the_go_proxy(
    small: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert choice.wanted_version(Buildkit(version=LATEST), small.cache) == VERSION
    for settings in ({"source": "release"}, {"mirror": "http://127.0.0.1:9"}):
        with pytest.raises(SilentError):
            choice.wanted_version(Buildkit(version=LATEST, **settings), small.cache)  # type: ignore[arg-type]
    # A setting that the newest cannot be used with is refused, wherever it comes from.
    small.proxy.published = (small_buildkit("v0.20.0"),)
    with pytest.raises(ReleaseError, match=r"at the Go proxy is v0\.20\.0, which does not suit"):
        choice.wanted_version(Buildkit(version=LATEST, source="go", log=Log(level="trace")), small.cache)
