"""What is promised to a machine in use (docs/promises.md), on a real host with a real daemon.

One host and one story: each test goes on where the one before it ended.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from provision import paths
from tests.lab.broken import spoil
from tests.lab.busybox import busybox
from tests.lab.cli import Outcome, provision
from tests.lab.nspawn import Host
from tests.lab.patience import until
from tests.lab.release import Release, publish

BROKEN: Final = "v0.33.0"
THEIRS: Final = '# mine\n[worker.oci]\nmax-parallelism = 3\n[registry."r.example"]\nhttp = true\n'
BUSY: Final = 'FROM scratch\nCOPY busybox /bin/busybox\nARG N\nRUN ["/bin/busybox", "sleep", "25"]\n'
# Without what others write: logs, caches, the database of packages, and the copies that shadow's tools make.
TREE: Final = """
cd / && find . -xdev \\( -path ./proc -o -path ./sys -o -path ./run -o -path ./tmp -o -path ./var/log \\
  -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./home -o -path ./root \\
  -o -path ./var/lib/systemd -o -path ./var/tmp -o -path ./etc/.pwd.lock \\
  -o -path ./etc/group- -o -path ./etc/gshadow- \\) -prune -o \\
  \\( -type f -exec sha256sum {} + -o -type l -printf '%p -> %l\\n' -o -printf '%p %M\\n' \\) | sort
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    host: Host
    release: Release
    digest: str
    """Of the release whose daemon ends at once."""
    before: list[str]
    """The tree, before anything."""

    def run(self, folder: Path, *words: str, **settings: object) -> Outcome:
        digests = f'{{ "{self.release.platform}" = "{settings.pop("sha256", self.release.sha256)}" }}'
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (folder / "provision.toml").write_text(
            "\n".join(
                [
                    'platforms = ["linux/amd64", "linux/arm64"]',
                    *("[buildkit]", f'mirror = "{self.release.mirror}"', f"sha256 = {digests}", *lines),
                    *("[ssh]", f'config = "{self.host.folder / "ssh_config"}"', ""),
                ]
            )
        )
        return provision(*words, "--hosts", self.host.name, "--format", "json", cwd=folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    release = publish(tmp_path_factory.mktemp("mirror"))
    digest = spoil(release, BROKEN, tmp_path_factory.mktemp("broken"))
    with Host("lab") as host:
        host.run("mkdir -p /etc/buildkit /etc/binfmt.d")
        host.run(f"cat >{paths.CONFIG}", stdin=THEIRS)
        host.run("cat >/etc/binfmt.d/qemu-aarch64.conf", stdin="# nothing yet\n")
        before = host.run(TREE).stdout.splitlines()
        yield Bench(host=host, release=release, digest=digest, before=before)


def ids(outcome: Outcome) -> list[str]:
    return [step["id"] for step in outcome.host["steps"]]


def main_pid(bench: Bench) -> str:
    return bench.host.run("systemctl show -P MainPID buildkit").stdout.strip()


def test_what_somebody_else_has_is_shown_and_kept(bench: Bench, tmp_path: Path) -> None:
    planned = bench.run(tmp_path, "plan", "--adopt")
    assert planned.code == 2, planned
    notes = "\n".join(planned.host["notes"])
    assert f"kept as {paths.CONFIG}.before-provision" in notes
    assert "worker.oci.max-parallelism = 3" in notes
    assert "[buildkit]\nmax_parallelism = 3" in notes
    done = bench.run(tmp_path, "provision")
    assert done.code == 0, done
    assert bench.host.run(f"cat {paths.CONFIG}.before-provision").stdout == THEIRS
    assert bench.run(tmp_path, "provision").host["steps"] == []


def test_a_running_build_is_waited_for_and_succeeds(bench: Bench, tmp_path: Path) -> None:
    host = bench.host
    host.run("mkdir -p /root/context && cat >/root/context/Dockerfile", stdin=BUSY)
    host.put(busybox("amd64"), "/root/context/busybox")
    build = (
        "cd /root/context && buildctl build --frontend dockerfile.v0 --local context=. --local dockerfile=."
        " --opt build-arg:N={}"
    )
    ended: list[int] = []

    def work(number: int) -> None:
        ended.append(host.run(build.format(number), check=False).returncode)

    for number, drain, code in ((1, "1s", 3), (2, "5m", 0)):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        assert until(lambda: "STARTED" in host.run("buildctl debug histories", check=False).stdout)
        before = main_pid(bench)
        outcome = bench.run(tmp_path, "provision", "--drain", drain, max_parallelism=2)
        assert outcome.code == code, outcome
        if code:
            assert "builds still run" in outcome.host["error"]["cause"]
            assert main_pid(bench) == before
        thread.join()
    assert ended == [0, 0]
    assert bench.run(tmp_path, "provision", max_parallelism=2).host["steps"] == []


def test_a_daemon_that_ends_at_once_is_taken_back(bench: Bench, tmp_path: Path) -> None:
    outcome = bench.run(tmp_path, "provision", version=BROKEN, sha256=bench.digest, max_parallelism=2)
    assert outcome.code == 3, outcome
    assert "made to end at once" in outcome.host["error"]["cause"]
    assert f"BuildKit {bench.release.version} runs again" in outcome.host["error"]["cause"]
    assert bench.host.run("systemctl is-active buildkit").stdout.strip() == "active"
    left = bench.run(tmp_path, "provision", max_parallelism=2)
    assert all(step.startswith("release-") for step in ids(left)), left


def test_rollback_goes_to_the_settings_of_before_and_forward_again(bench: Bench, tmp_path: Path) -> None:
    assert bench.run(tmp_path, "plan", "--rollback", max_parallelism=2).code == 2
    for expected in (0, 1):
        done = bench.run(tmp_path, "rollback", max_parallelism=2)
        assert done.code == 0, done
        assert bench.host.run(f"grep -c max-parallelism {paths.CONFIG}", check=False).stdout.strip() == str(
            expected
        )
    left = bench.run(tmp_path, "provision", max_parallelism=2)
    assert all(step.startswith("release-") for step in ids(left)), left


def test_after_remove_the_tree_is_what_it_was(bench: Bench, tmp_path: Path) -> None:
    refused = bench.run(tmp_path, "remove", "--purge")
    assert refused.code == 1, refused
    done = bench.run(tmp_path, "remove", "--purge", "--yes")
    assert done.code == 0, done
    assert sorted(set(bench.host.run(TREE).stdout.splitlines()) ^ set(bench.before)) == []
    again = bench.run(tmp_path, "remove", "--purge", "--yes")
    assert (again.code, again.host.get("steps", [])) == (0, []), again
