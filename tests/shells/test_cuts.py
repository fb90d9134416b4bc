"""A run is killed in each of its steps: the next converges, the one after it changes nothing, nothing is left."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from provision import elf, paths
from provision.certificates import pem
from provision.certificates.authority import Authority
from provision.commands import change, leave
from provision.commands.certificates import Certifier
from provision.commands.change import RunSettings
from provision.commands.once import Machines
from provision.report.progress import Progress
from provision.result import HostResult
from provision.spec import Spec, Tls
from tests.lab.mirror import Mirror
from tests.lab.namespace import MOUNTED
from tests.lab.patience import until
from tests.shells.archives import plain, sha256
from tests.shells.machine import Machine
from tests.shells.steps import SCRIPT
from tests.shells.test_change import FOREIGN, IDS, ONE_SHELL, furnish, listen, order

Count = Callable[[str, object], None]
Run = Callable[[], HostResult]


class Killer(Progress):
    """Kills the script, with all that it started, as soon as a step begins."""

    def __init__(self, machine: Machine, step: str) -> None:
        self.machine = machine
        self.victim = step
        self.killed = False

    def step(self, host: str, step_id: str, state: str, text: str) -> None:
        del host, text
        if step_id == self.victim and state == "begin" and not self.killed:
            self.killed = True
            leader = int(self.machine.at(paths.RUN_LOCK).read_text().split("\t")[3])
            with suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)


def leftovers(machine: Machine) -> list[str]:
    found = [
        path
        for pattern in ("**/.provision.*", "**/.incoming.*", "tmp/provision.*", "**/*.new")
        for path in machine.root.glob(pattern)
    ]
    names = [each.name for each in found if "host" not in each.relative_to(machine.root).parts[:1]]
    table = machine.space.run(f"ls {paths.BINFMT}").split()
    return names + [each for each in table if each.endswith((".trial", ".standby"))]


@pytest.fixture
def host(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A Debian of sorts, where the programs of the release are scripts."""
    monkeypatch.setattr(elf, "pattern", lambda _arch: SCRIPT)
    listen(furnish(machine), monkeypatch)
    return machine


pytestmark = pytest.mark.needs("qemu-aarch64-static")


def converges(host: Machine, spec: Spec, run: RunSettings, cut: str) -> None:
    """The run after one that was cut, and the one after that. The host is bare again then."""
    host.open()
    again = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
    assert again.error is None, (cut, again)
    third = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
    assert (third.status, third.steps, third.error) == ("ok", (), None), (cut, third)
    assert leftovers(host) == [], cut
    (row,) = [row for row in again.platforms if row.platform == FOREIGN]
    assert (row.mode, row.registered) == ("emulated", True)
    host.write(
        "/usr/bin/groupdel",
        '#!/bin/sh\ngrep -v "^$1:" /etc/group >/lab/g; cat /lab/g >/etc/group\n',
        0o755,
    )
    gone = leave.remove(host.space, spec, replace(run, machines=Machines()), purge=True)
    assert gone.error is None, (cut, gone)
    host.space.run("rm -f /usr/bin/qemu-s390x-static")


@pytest.mark.thorough
@ONE_SHELL
def test_killed_in_each_step(host: Machine, tmp_path: Path, record_property: Count) -> None:
    spec, run = order(tmp_path)
    cut = 0
    for step in IDS:
        killer = Killer(host, step)
        change.provision(host.space, spec, replace(run, progress=killer, machines=Machines()), local=True)
        assert killer.killed, step
        converges(host, spec, run, step)
        cut += 1
    record_property("killed in steps", f"{cut} of {len(IDS)}")
    assert cut == len(IDS)


KILL: Final = f"""
kill_all() {{
  : >/lab/killed
  while IFS="$(printf '\\t')" read -r _ _ _ leader _; do kill -s KILL -- "-$leader"; done <{paths.RUN_LOCK}
}}
"""
REAL: Final = "/host/usr/bin"
MIDDLES: Final = {
    "half of the release is unpacked": (
        "tar",
        f'[ "$1" != -xzf ] || {{ head -c 30000 "$2" | {REAL}/tar -xzf - -C "$4"; kill_all; }}',
    ),
    "it is unpacked, and not on the disk": ("sync", '[ "$1" != -f ] || kill_all'),
    "it has its name": ("mv", f'case $1 in *.incoming.*) {REAL}/mv "$@"; kill_all ;; esac'),
    "a file has no name yet": ("mv", f'case "$*" in *{paths.UNIT}) kill_all ;; esac'),
    "the record is written": ("mv", f'case "$*" in *{paths.RECORD}) kill_all ;; esac'),
    "a link is made": ("ln", f'[ "$1" != -sfn ] || {{ {REAL}/ln "$@"; kill_all; }}'),
}
"""Where in a step the run is killed: by the program that it calls there."""


@pytest.mark.thorough
@ONE_SHELL
def test_killed_in_the_middle(host: Machine, tmp_path: Path, record_property: Count) -> None:
    spec, run = order(tmp_path)
    for cut, (name, (program, moment)) in enumerate(MIDDLES.items(), 1):
        host.base.place(program, f'#!/bin/sh\n{KILL}{moment}\nexec {REAL}/{program} "$@"\n')
        ended = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
        assert ended.error is not None, name
        assert host.at("/lab/killed").exists(), name
        host.at("/lab/killed").unlink()
        host.base.borrow(program)
        converges(host, spec, run, name)
        record_property("killed in the middle of steps", f"{cut} of {len(MIDDLES)}")


CUT: Final = f"""#!/bin/sh
{KILL}
case "$*" in
  PATTERN)
    count=$(($(cat /lab/renames) + 1)); echo "$count" >/lab/renames
    [ "$count" -ne "$(cat /lab/cut)" ] || kill_all ;;
esac
exec {REAL}/mv "$@"
"""
"""An mv that kills the run before the rename of a number, of those that the pattern is about."""


def cut_at_each_rename(
    host: Machine, pattern: str, prepare: Callable[[], object], run: Run
) -> Iterator[int]:
    """Prepares the host, cuts a run, and yields; again for the next rename, until a run has none left to be cut at."""
    for number in itertools.count(1):
        prepare()
        host.write("/lab/renames", "0")
        host.write("/lab/cut", str(number))
        host.base.place("mv", CUT.replace("PATTERN", pattern))
        ended = run()
        host.base.borrow("mv")
        if not host.at("/lab/killed").exists():
            assert ended.error is None, (number, ended)
            return
        host.at("/lab/killed").unlink()
        host.open()
        yield number


def settles(run: Run, host: Machine, cut: object) -> HostResult:
    """The run after one that was cut; the one after that has nothing to do, and nothing is left."""
    again = run()
    assert again.error is None, (cut, again)
    third = run()
    assert (third.status, third.steps, third.error) == ("ok", (), None), (cut, third)
    assert leftovers(host) == [], cut
    return again


def provisioning(host: Machine, spec: Spec, run: RunSettings) -> Run:
    return lambda: change.provision(host.space, spec, replace(run, machines=Machines()), local=True)


@pytest.mark.thorough
@ONE_SHELL
@pytest.mark.parametrize(
    ("damage", "renames"),
    [("bin/buildkit-runc", "*/.incoming.*/bin/*"), (".digest", "*/.incoming.*/.*")],
    ids=["programs", "digest"],
)
def test_killed_while_a_release_is_made_whole(
    host: Machine, tmp_path: Path, record_property: Count, damage: str, renames: str
) -> None:
    """The daemon runs from it, and may start anew at any moment: it always has its programs."""
    provision = provisioning(host, *order(tmp_path))
    assert provision().error is None
    (folder,) = (path for path in host.at(paths.RELEASES).glob("v*"))
    whole = {path.name: path.read_bytes() for path in (folder / "bin").iterdir()}

    def spoil() -> None:
        (folder / damage).unlink()
        (folder / "bin/extra").write_text("x")

    cut = 0
    for cut in cut_at_each_rename(host, renames, spoil, provision):
        for program in ("buildkitd", "buildctl"):
            host.space.run(f"{paths.PROGRAMS}/{program} --version")
        again = settles(provision, host, cut)
        # Without a digest it is not whole.
        assert damage != ".digest" or "release" in {step.id for step in again.steps}, cut
        assert {path.name: path.read_bytes() for path in (folder / "bin").iterdir()} == whole, cut
    # The manifest and the digest are the last two.
    assert cut == (2 if damage == ".digest" else len(whole))
    record_property("killed between programs of a release", f"{cut} of {cut}")


def own_tls(tmp_path: Path) -> tuple[Spec, RunSettings]:
    authority = Authority(folder=tmp_path / "authority")
    authority.make()
    spec, run = order(tmp_path)
    tls = Tls(cert=paths.TLS_CERT, key=paths.TLS_KEY, ca=paths.TLS_CA, authority="own")
    buildkit = replace(spec.buildkit, tls=tls, listen=("tcp://127.0.0.1:1234",))
    return replace(spec, buildkit=buildkit), replace(run, certifier=Certifier(authority=authority))


@pytest.mark.thorough
@ONE_SHELL
@pytest.mark.parametrize(
    ("why", "renames"),
    [
        ("it is due", f"*{paths.TLS}/*|*{paths.RECORD}"),
        ("its key is gone", f"*{paths.TLS}/*"),
        ("it is gone", f"*{paths.TLS}/*"),
    ],
    ids=["due", "key", "certificate"],
)
def test_killed_while_a_certificate_is_renewed(
    host: Machine, tmp_path: Path, record_property: Count, why: str, renames: str
) -> None:
    """A pair that fits does after every cut; where there was none, the next run makes one."""
    spec, run = own_tls(tmp_path)
    names = ["pi"]

    def provision() -> HostResult:
        tls = replace(spec.buildkit.tls or Tls(cert="", key=""), names=tuple(names))
        return provisioning(host, replace(spec, buildkit=replace(spec.buildkit, tls=tls)), run)()

    assert provision().error is None
    certificate, key = host.at(paths.TLS_CERT), host.at(paths.TLS_KEY)

    def spoil() -> None:
        if why == "it is due":
            names[0] += "x"
        elif why == "it is gone":
            certificate.unlink()
        else:
            key.unlink()

    before, cut = key.read_text(), 0
    for cut in cut_at_each_rename(host, renames, spoil, provision):
        if why == "it is due":
            assert pem.is_pair(certificate.read_text(), key.read_text()), cut
        settles(provision, host, cut)
        assert pem.is_pair(certificate.read_text(), key.read_text()), cut
        assert (key.read_text() == before) == (why == "it is due"), cut
        assert key.stat().st_mode & 0o777 == 0o600
        assert host.listing(paths.TLS) == ["clients.pem", "server.key", "server.pem"], cut
    assert cut >= (3 if why == "it is due" else 2)
    record_property(f"killed while a certificate is renewed, as {why}", f"{cut} of {cut}")


RUNS_ON: Final = f"""
generation=$(cat /lab/running)
PROVISION_GENERATION=$generation setsid sleep 300 >/dev/null 2>&1 &
echo $! >/lab/units/buildkit.service.pid
printf %s "$(sed -n /^:/p {paths.rule("s390x")})" >{paths.BINFMT}/register
"""
"""A session after a cut has processes and a table of its own: the daemon runs on, and so do the handlers."""


@pytest.mark.thorough
@ONE_SHELL
@pytest.mark.parametrize("command", ["rollback", "provision"])
def test_a_rollback_that_is_killed_in_each_step(
    host: Machine, tmp_path: Path, record_property: Count, command: str
) -> None:
    """To another release and other settings. The next command converges, and the way back is still there."""
    old, run = order(tmp_path / "old")
    new, other = order(tmp_path / "new")
    asset, content = next((tmp_path / "new").rglob("*.tar.gz")), plain(more=b"#!/bin/sh\n")
    asset.write_bytes(content)
    (key,) = new.buildkit.sha256
    new = replace(new, buildkit=replace(new.buildkit, sha256={key: sha256(content)}, max_parallelism=2))
    forward = provisioning(host, new, other)
    for spec, settings in ((old, run), (new, other)):
        assert provisioning(host, spec, settings)().error is None
    daemon = host.facts(new).daemon
    assert daemon
    host.write("/lab/running", daemon.generation)

    def back(progress: Progress | None = None) -> HostResult:
        settings = replace(other, progress=progress or Progress(), machines=Machines())
        return leave.rollback(host.space, new, settings)

    def is_back() -> bool:
        return "max-parallelism" not in host.at(paths.CONFIG).read_text()

    planned = leave.preview_rollback(host.space, new, replace(other, machines=Machines()))
    steps = [step.id for step in planned.steps if step.id != "drain"]
    assert {"save", "buildkit-config", "release-link", "service-restart"} <= {*steps}
    for cut, step in enumerate(steps, 1):
        killer = Killer(host, step)
        back(killer)
        assert killer.killed, step
        host.open()
        host.space.run(RUNS_ON)
        if command == "rollback":
            again = back()
            assert again.error is None, (step, again)
        assert forward().error is None, step
        # To the one of before, and forward again.
        assert back().error is None, step
        assert is_back(), step
        assert forward().error is None, step
        assert not is_back()
        record_property(f"rollbacks killed in steps, then {command}", f"{cut} of {len(steps)}")
    settles(forward, host, command)


@ONE_SHELL
@pytest.mark.needs("curl")
def test_killed_while_the_host_downloads(host: Machine, tmp_path: Path) -> None:
    """What has arrived stays, and the next run goes on behind it."""
    spec, run = order(tmp_path)
    content = plain(more=os.urandom(2_000_000))
    asset = next((tmp_path / "mirror").rglob("*.tar.gz"))
    asset.write_bytes(content)
    host.base.borrow("curl")
    with Mirror(tmp_path / "mirror") as mirror:
        (key,) = spec.buildkit.sha256
        spec = replace(
            spec,
            buildkit=replace(spec.buildkit, mirror=mirror.url, sha256={key: sha256(content)}, fetch="host"),
        )
        cutter = Killer(host, "release")
        mirror.faults.cut_after = 1_000_000
        part = host.at(f"{paths.CACHE}/{sha256(content)}.part")

        def kill() -> None:
            assert until(lambda: part.exists() and part.stat().st_size > 0)
            cutter.step("", "release", "begin", "")

        mirror.faults.at_cut = kill
        ended = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
        assert cutter.killed
        assert ended.error is not None
        host.open()
        there = part.stat().st_size
        assert 0 < there <= 1_000_000
        converges(host, spec, run, "download")
        asked = [each.range for each in mirror.requests if each.path.endswith(asset.name)]
        assert asked == [None, f"bytes={there}-"]
        assert not host.at(paths.CACHE).exists()


class Cutter(Killer):
    """Kills the script once half of an upload has been sent."""

    def transfer(self, host: str, kind: str, done: int, total: int | None) -> None:
        if total and done * 2 > total:
            self.step(host, self.victim, "begin", kind)


@ONE_SHELL
def test_killed_in_an_upload(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    cutter = Cutter(host, "upload")
    ended = change.provision(
        host.space, spec, replace(run, progress=cutter, machines=Machines()), local=True
    )
    assert cutter.killed
    assert ended.error is not None
    converges(host, spec, run, "upload")


FULL: Final = ("/etc/binfmt.d", "/etc/buildkit", paths.RELEASES, paths.CACHE, paths.OWN, "/usr/local/bin")


@pytest.mark.thorough
@ONE_SHELL
def test_a_disk_that_is_full_is_said_and_the_next_run_converges(host: Machine, tmp_path: Path) -> None:
    spec, run = order(tmp_path)
    for folder in FULL:
        host.at(folder).mkdir(parents=True, exist_ok=True)
        # One inode: that of the folder itself.
        host.open(f"{MOUNTED}; mount -t tmpfs -o nr_inodes=1 tmpfs {folder}")
        full = change.provision(host.space, spec, replace(run, machines=Machines()), local=True)
        assert full.status == "failed", folder
        assert full.error is not None
        assert "No space left on device" in full.error.cause, (folder, full)
        assert "free some room" in str(full.error.hint)
        converges(host, spec, run, folder)
