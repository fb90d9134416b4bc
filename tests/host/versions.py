"""BuildKit is replaced by an older and a newer one, with builds before and after: real versions, compiled from source.

Too long for every run, as each version is compiled once, which takes minutes. Run it by its name:
`.venv/bin/python -m pytest --rung=host tests/host/versions.py`
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from provision import paths
from provision.architectures import normalise
from provision.buildkit.go.build import build
from tests.lab.busybox import busybox
from tests.lab.cli import Outcome, provision
from tests.lab.nspawn import Host
from tests.lab.release import workshop

BEFORE: Final = "v0.32.1"
WANTED: Final = "v0.32.2"
OLD: Final = "v0.12.5"
"""The oldest that is installed without `allow_insecure_version`. Its state is that of containerd 1.7, not of 2."""
DOCKERFILE: Final = 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "touch", "/made"]\n'


OBSERVE: Final = f"""
find {paths.OWN} {paths.STATE} -maxdepth 4 '(' -name '*.db*' -o -name '*.bak*' ')'
journalctl -u buildkit -o cat -n 40
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    host: Host
    folder: Path

    def run(self, *words: str, version: str) -> Outcome:
        (self.folder / "provision.toml").write_text(
            f"""
platforms = ["linux/amd64", "linux/arm64"]
[buildkit]
version = "{version}"
source = "go"
[ssh]
config = "{self.host.folder / "ssh_config"}"
"""
        )
        return provision(*words, "--hosts", self.host.name, "--format", "json", cwd=self.folder)

    def cached(self) -> bool:
        """Builds, and says whether that took its steps from the cache."""
        done = self.host.run(
            "cd /root/context && buildctl build --progress plain --frontend dockerfile.v0"
            " --local context=. --local dockerfile=. --opt platform=linux/arm64 2>&1"
        )
        return "CACHED" in done.stdout

    @property
    def releases(self) -> list[str]:
        names = self.host.run(f"ls {paths.RELEASES}").stdout.split()
        return [name.partition("-")[0] for name in names if name != "current"]

    def runs(self, version: str) -> bool:
        return f" {version} " in self.host.run(f"{paths.PROGRAMS}/buildkitd --version").stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    for version in (BEFORE, WANTED, OLD):
        build(version, normalise("linux", platform.machine(), ""), workshop())
    folder = tmp_path_factory.mktemp("user")
    (folder / ".cache").mkdir()
    (folder / ".cache/provision").symlink_to(workshop())
    with Host("lab") as host:
        host.run("mkdir -p /root/context && cat >/root/context/Dockerfile", stdin=DOCKERFILE)
        host.put(busybox("arm64"), "/root/context/busybox")
        yield Bench(host=host, folder=folder)


def test_an_upgrade_keeps_the_cache(bench: Bench) -> None:
    assert bench.run("provision", version=BEFORE).code == 0
    assert not bench.cached()
    assert bench.cached()
    up = bench.run("provision", version=WANTED)
    assert up.code == 0, up
    assert bench.runs(WANTED)
    assert bench.cached()
    assert bench.releases == [BEFORE, WANTED]
    assert bench.run("provision", version=WANTED).host["steps"] == []


def test_rollback_goes_to_the_version_before_with_a_copy_of_the_newer_state(bench: Bench) -> None:
    planned = bench.run("plan", "--rollback", version=WANTED)
    assert planned.code == 2, planned
    assert f"goes back to BuildKit {BEFORE}" in planned.host["notes"][0]
    back = bench.run("rollback", version=WANTED)
    assert back.code == 0, back
    assert [step["id"] for step in back.host["steps"]] == [step["id"] for step in planned.host["steps"]]
    assert bench.runs(BEFORE)
    assert bench.cached()
    copy = bench.host.run(f"find {paths.OWN}/state-of-{WANTED} -name '*.db'").stdout
    for name in ("cache.db", "containerdmeta.db", "metadata_v2.db"):
        assert name in copy, copy


def test_a_downgrade_to_another_format_and_the_way_up_again(bench: Bench) -> None:
    down = bench.run("provision", version=OLD)
    assert down.code == 0, down
    assert bench.runs(OLD)
    assert bench.releases == [OLD, BEFORE]
    kept = [bench.cached()]
    sys.stdout.write(bench.host.run(OBSERVE).stdout)
    up = bench.run("provision", version=WANTED)
    assert up.code == 0, up
    assert bench.runs(WANTED)
    kept.append(bench.cached())
    sys.stdout.write(bench.host.run(OBSERVE).stdout)
    assert kept == [True, True]
    assert bench.releases == [OLD, WANTED]
    assert bench.run("provision", version=WANTED).host["steps"] == []
    assert bench.run("health", version=WANTED).code == 0
