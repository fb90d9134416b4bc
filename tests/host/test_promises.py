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
from tests.lab.broken import Fault, spoil
from tests.lab.busybox import busybox
from tests.lab.cli import COMMAND, Outcome, provision
from tests.lab.nspawn import Host
from tests.lab.patience import until
from tests.lab.release import Release, publish
from tests.lab.terminal import Terminal
from tests.lab.tree import tree

BROKEN: Final[dict[Fault, str]] = {
    "ends": "v0.33.0",
    "hangs": "v0.33.1",
    "lists nothing": "v0.33.2",
    "lists less": "v0.33.3",
    "builds nothing": "v0.33.4",
}
"""The faults of a daemon, and the version of the release that has it."""
DROP_INS: Final = "/etc/systemd/system/buildkit.service.d"
THEIRS: Final = '# mine\n[worker.oci]\nmax-parallelism = 3\n[registry."r.example"]\nhttp = true\n'
BUSY: Final = 'FROM scratch\nCOPY busybox /bin/busybox\nARG N\nRUN ["/bin/busybox", "sleep", "25"]\n'
THEIR_UNIT: Final = "[Service]\nExecStart=/bin/sleep 1\n"
DROP_IN: Final = f"{DROP_INS}/mine.conf"
# Without F: the kernel does not open what is not there.
THEIR_HANDLER: Final = (
    r":qemu-aarch64:M:0:\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/opt/theirs:"
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    host: Host
    release: Release
    digests: dict[Fault, str]
    """Of the releases whose daemons are broken."""
    before: tuple[list[str], str]
    """The tree and the handler, before anything."""

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
    digests = {
        fault: spoil(release, version, tmp_path_factory.mktemp("broken"), fault)
        for fault, version in BROKEN.items()
    }
    with Host("lab") as host:
        host.run("mkdir -p /etc/buildkit /etc/binfmt.d")
        host.run(f"cat >{paths.CONFIG}", stdin=THEIRS)
        host.run("cat >/etc/binfmt.d/qemu-aarch64.conf", stdin="# nothing yet\n")
        host.run(f"cat >{paths.UNIT}", stdin=THEIR_UNIT)
        host.run(f"mkdir {DROP_INS}; cat >{DROP_IN}", stdin="[Service]\nEnvironment=MINE=1\n")
        host.run(f"mountpoint -q {paths.BINFMT} || mount -t binfmt_misc binfmt_misc {paths.BINFMT}")
        host.run(f"cat >{paths.BINFMT}/register", stdin=THEIR_HANDLER)
        yield Bench(host=host, release=release, digests=digests, before=(tree(host), handler(host)))


def handler(host: Host) -> str:
    return host.run(f"cat {paths.BINFMT}/qemu-aarch64").stdout


def main_pid(bench: Bench) -> str:
    return bench.host.run("systemctl show -P MainPID buildkit").stdout.strip()


KILLER: Final = f"""
nohup sh -c '
  until grep -qszx -e "-[-]PHASE" /proc/[0-9]*/cmdline; do :; done
  IFS="$(printf "\\t")" read -r _ _ _ leader _ <{paths.RUN_LOCK}
  kill -s KILL -- "-$leader"
' >/dev/null 2>&1 </dev/null &
echo $! >/root/killer
"""
"""A program in the host that kills a run in the middle of dpkg's work."""


@pytest.mark.parametrize("phase", ["unpack", "configure"])
def test_dpkg_that_was_killed_is_concluded_by_the_next_run(bench: Bench, tmp_path: Path, phase: str) -> None:
    host = bench.host
    host.run(KILLER.replace("PHASE", phase))
    cut = bench.run(tmp_path, "provision")
    assert cut.code != 0, cut
    assert host.run("kill $(cat /root/killer)", check=False).returncode != 0
    planned = bench.run(tmp_path, "plan")
    assert planned.host["steps"][0]["id"] == "tidy", planned


def test_what_somebody_else_has_is_shown_and_kept(bench: Bench, tmp_path: Path) -> None:
    planned = bench.run(tmp_path, "plan", "--adopt")
    assert planned.code == 2, planned
    notes = "\n".join(planned.host["notes"])
    for each in (paths.CONFIG, paths.UNIT):
        assert f"kept as {each}.before-provision" in notes
    assert "worker.oci.max-parallelism = 3" in notes
    assert "[buildkit]\nmax_parallelism = 3" in notes
    done = bench.run(tmp_path, "provision")
    assert done.code == 0, done
    assert bench.host.run("dpkg --audit").stdout == ""
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


def broken(bench: Bench, folder: Path, fault: Fault) -> Outcome:
    """A run that brings a daemon with that fault; afterwards the one of before is at work."""
    # For one that hangs: the 90 s of systemd's default teach no more than 10.
    bench.host.run(f"cat >{DROP_INS}/x.conf", stdin="[Service]\nTimeoutStartSec=10\n")
    outcome = bench.run(
        folder, "provision", version=BROKEN[fault], sha256=bench.digests[fault], max_parallelism=2
    )
    assert outcome.code == 3, outcome
    bench.host.run(f"rm {DROP_INS}/x.conf; systemctl daemon-reload")
    states = bench.host.run("systemctl is-active buildkit; systemctl is-enabled buildkit").stdout.split()
    assert states == ["active", "enabled"]
    # The release of the broken one is gone at once.
    assert BROKEN[fault] not in bench.host.run(f"ls {paths.RELEASES}; cat {paths.RECORD}").stdout
    left = bench.run(folder, "provision", max_parallelism=2)
    assert (left.code, left.host["steps"]) == (0, []), left
    return outcome


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("ends", ("buildkitd: made for a fault: ends", "systemd: protocol")),
        ("hangs", ("buildkitd: made for a fault: hangs", "systemd: timeout")),
        ("lists nothing", ("lists no platform", "buildkitd: made for a fault: lists nothing")),
        ("lists less", ("buildkitd does not list linux/arm64",)),
    ],
)
def test_a_worse_daemon_is_taken_back(
    bench: Bench, tmp_path: Path, fault: Fault, words: tuple[str, ...]
) -> None:
    cause = broken(bench, tmp_path, fault).host["error"]["cause"]
    for each in (*words, f"taken back: BuildKit {bench.release.version} runs again"):
        assert each in cause, cause


def test_rollback_goes_to_the_settings_of_before_and_forward_again(bench: Bench, tmp_path: Path) -> None:
    assert bench.run(tmp_path, "plan", "--rollback", max_parallelism=2).code == 2
    for expected in (0, 1):
        done = bench.run(tmp_path, "rollback", max_parallelism=2)
        assert done.code == 0, done
        assert bench.host.run(f"grep -c max-parallelism {paths.CONFIG}", check=False).stdout.strip() == str(
            expected
        )
    assert bench.run(tmp_path, "provision", max_parallelism=2).host["steps"] == []


def test_a_daemon_that_lists_and_does_not_build_is_taken_back(bench: Bench, tmp_path: Path) -> None:
    error = broken(bench, tmp_path, "builds nothing").host["error"]
    assert "the proof failed" in error["message"]
    assert "taken back: the daemon of before runs again" in error["cause"]
    # Not forward to what does not build.
    nowhere = bench.run(tmp_path, "rollback", max_parallelism=2)
    assert nowhere.code == 3, nowhere
    assert "nothing to go back to" in nowhere.host["error"]["message"]


def test_after_remove_the_tree_is_what_it_was(bench: Bench, tmp_path: Path) -> None:
    refused = bench.run(tmp_path, "remove", "--purge")
    assert refused.code == 1, refused
    command = ["env", f"--chdir={tmp_path}", f"HOME={tmp_path}", str(COMMAND)]
    for answer, said in (("n", "nothing was removed"), ("y", "removed: ")):
        with Terminal([*command, "remove", "--purge", "--hosts", bench.host.name]) as screen:
            screen.expect("Go on? [y/N]", 60)
            assert f"{paths.STATE} holds " in screen.text
            assert f"remove {paths.CURRENT}" in screen.text
            assert f"restore {paths.CONFIG}" in screen.text
            screen.press(f"{answer}\n")
            screen.expect(said, 60)
        assert main_pid(bench) != "0" if answer == "n" else main_pid(bench) == "0"
    files, their_handler = bench.before
    assert sorted({*tree(bench.host)} ^ {*files}) == []
    assert handler(bench.host) == their_handler
    again = bench.run(tmp_path, "remove", "--purge", "--yes")
    assert (again.code, again.host["steps"]) == (0, []), again
