"""A release that is not what it should be: the host stays without BuildKit and the user is told why.

One host for all. The last test provisions it, which shows that none of the others left anything in the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from provision import paths
from tests.lab.cli import Outcome, provision
from tests.lab.mirror import Faults, Mirror
from tests.lab.nspawn import Host
from tests.lab.release import Release, digest, publish
from tests.shells import archives

CUT: Final = 5_000_000

# What there would be, were it installed; a folder that is empty is none.
REMAINS: Final = f"""
find {paths.RELEASES} {paths.CACHE} {paths.BUILDCTL} {paths.CONFIG} {paths.UNIT} {paths.TMPFILES} \
  -mindepth 0 \\( -type d -empty -o -print \\) 2>/dev/null
systemctl list-unit-files --no-legend buildkit.service
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A bare host, a good release, and a mirror that has it."""

    host: Host
    release: Release
    mirror: Mirror

    def provision(self, folder: Path, *, sha256: str | None, **settings: str) -> Outcome:
        """Run it with a user's folder of its own, so that nothing was downloaded before."""
        given = {self.release.platform: sha256} if sha256 else {}
        buildkit: Mapping[str, object] = {"mirror": self.mirror.url, **settings}
        lines = [f"{key} = {json.dumps(value)}" for key, value in buildkit.items()]
        lines += [f'sha256 = {{ "{key}" = "{value}" }}' for key, value in given.items()]
        (folder / "provision.toml").write_text(
            "\n".join(
                [
                    f"platforms = {json.dumps([self.release.platform.replace('-', '/', 1)])}",
                    *("[buildkit]", *lines),
                    *("[ssh]", f'config = "{self.host.folder / "ssh_config"}"', ""),
                ]
            )
        )
        return provision("provision", "--hosts", self.host.name, "--format", "json", cwd=folder)

    def without_buildkit(self) -> bool:
        return self.host.run(REMAINS, check=False).stdout == ""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    release = publish(tmp_path_factory.mktemp("mirror"))
    with Host("lab") as host, Mirror(release.mirror) as mirror:
        yield Bench(host=host, release=release, mirror=mirror)


@pytest.fixture(autouse=True)
def healthy(bench: Bench) -> None:
    """The mirror as it should be."""
    bench.mirror.faults = Faults()
    bench.mirror.requests.clear()


def refused(bench: Bench, outcome: Outcome, code: str) -> str:
    """The host failed for this reason, and has no BuildKit: message and cause."""
    assert outcome.code == 3, outcome
    assert outcome.envelope["hosts"], outcome
    assert (outcome.envelope["status"], outcome.host["status"]) == ("error", "failed")
    error = outcome.host["error"]
    assert error["code"] == code, error
    assert error["hint"]
    assert bench.without_buildkit(), bench.host.run(REMAINS, check=False).stdout
    return f"{error['message']}\n{error.get('cause', '')}"


@pytest.mark.parametrize("fault", ["truncated", "corrupt", "another digest", "the pinned digest"])
def test_what_does_not_match_its_digest(bench: Bench, tmp_path: Path, fault: str) -> None:
    sha256: str | None = bench.release.sha256
    if fault == "truncated":
        bench.mirror.faults.truncate = 1_000_000
    elif fault == "corrupt":
        bench.mirror.faults.corrupt = True
    elif fault == "another digest":
        sha256 = "f" * 64
    else:
        sha256 = None  # the lab's build is not the one that was published
    said = refused(bench, bench.provision(tmp_path, sha256=sha256), "checksum")
    assert bench.release.asset in said
    assert "is not the file it should be" in said
    assert not list(tmp_path.rglob("*.part"))


def test_what_the_mirror_does_not_have(bench: Bench, tmp_path: Path) -> None:
    bench.mirror.faults.missing = {bench.release.asset}
    said = refused(bench, bench.provision(tmp_path, sha256=bench.release.sha256), "release")
    assert f"there is no BuildKit {bench.release.version}" in said


def test_a_host_that_cannot_download_itself(bench: Bench, tmp_path: Path) -> None:
    said = refused(bench, bench.provision(tmp_path, sha256=bench.release.sha256, fetch="host"), "host")
    assert "neither curl nor wget" in said


@pytest.mark.parametrize("name", ["absolute", "symlink", "hard-link", "other-machine"])
def test_a_hostile_archive_that_the_user_vouches_for(
    bench: Bench, tmp_path: Path, publish_instead: Callable[[bytes], str], name: str
) -> None:
    data, reason = archives.NOT_A_RELEASE[name]
    outcome = bench.provision(tmp_path, sha256=publish_instead(data))
    said = refused(bench, outcome, "host")
    assert reason in said
    states = [step["status"] for step in outcome.host["steps"]]
    at = [step["id"] for step in outcome.host["steps"]].index("release")
    assert (states[at], set(states[at + 1 :])) == ("failed", {"skipped"})
    assert bench.host.run("ls /opt/pwned /pwned", check=False).stdout == ""


@pytest.fixture
def publish_instead(bench: Bench) -> Iterator[Callable[[bytes], str]]:
    """Puts something else in the release's place; its digest is the answer."""
    good = bench.release.path.with_suffix(".good")
    bench.release.path.rename(good)

    def put(data: bytes) -> str:
        bench.release.path.write_bytes(data)
        return digest(bench.release.path)

    yield put
    good.rename(bench.release.path)


def test_the_same_host_is_provisioned_after_a_cut(bench: Bench, tmp_path: Path) -> None:
    assert bench.without_buildkit()
    bench.mirror.faults.cut_after = CUT
    done = bench.provision(tmp_path, sha256=bench.release.sha256)
    assert (done.code, done.envelope["status"]) == (0, "changed"), done
    asked = [each for each in bench.mirror.requests if each.path.endswith(bench.release.asset)]
    assert [each.range for each in asked] == [None, f"bytes={CUT}-"]
    assert sum(each.sent for each in asked) == bench.release.path.stat().st_size
    assert not bench.without_buildkit()
    assert bench.host.run("systemctl is-active buildkit").stdout.strip() == "active"
    assert bench.host.run(f"ls -A {paths.CACHE}").stdout == ""

    again = bench.provision(tmp_path, sha256=bench.release.sha256)
    assert (again.code, again.envelope["status"]) == (0, "ok"), again


def test_a_bad_release_does_not_touch_the_one_that_runs(
    bench: Bench, tmp_path: Path, publish_instead: Callable[[bytes], str]
) -> None:
    """The host has the good one by now: the test before this one saw to it."""
    before = bench.host.run(
        f"readlink {paths.CURRENT}; ls -A {paths.RELEASES}; systemctl show -P MainPID buildkit"
    )
    data, reason = archives.NOT_A_RELEASE["symlink"]
    outcome = bench.provision(tmp_path, sha256=publish_instead(data))
    assert outcome.code == 3
    assert reason in outcome.host["error"]["cause"]
    after = bench.host.run(
        f"readlink {paths.CURRENT}; ls -A {paths.RELEASES}; systemctl show -P MainPID buildkit"
    )
    assert after.stdout == before.stdout
