"""The faults of what buildkitd stands on, where it is a process: a CI job's machine, Debian 11, 12 and 13.

The product's own plan and health, on a session into the root: no Python is needed there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provision.commands import change, inspect
from provision.commands.change import RunSettings
from provision.commands.once import Machines
from provision.report.progress import Progress
from provision.result import HostResult
from provision.spec import Buildkit, Emulation, Spec
from provision.transport.local import Local
from tests.lab.bare import SUITES, BareRoot
from tests.lab.daemon_faults import FAULTS, RESTART, RUNC
from tests.lab.release import publish

MANAGER = "process"
WANTED = ("linux/amd64", "linux/arm64", "linux/s390x")

pytestmark = pytest.mark.needs("qemu-aarch64-static", "gcc", "libseccomp")


@dataclass(kw_only=True)
class Bench:
    """A provisioned root."""

    root: BareRoot
    space: Local
    spec: Spec
    run: RunSettings

    def provision(self, *, proof: bool = True) -> HostResult:
        run = replace(self.run, proof=proof, machines=Machines())
        return change.provision(self.space, self.spec, run)

    def plan(self) -> list[str]:
        run = replace(self.run, machines=Machines())
        return [step.id for step in change.preview(self.space, self.spec, run).steps]

    def findings(self) -> list[tuple[str, str]]:
        """Without what is only worth knowing: that no boot brings a process back."""
        found = inspect.health_of(self.space, self.spec, "warning").findings
        return [(each.id, each.severity) for each in found if each.severity != "info"]

    def shell(self, text: str) -> None:
        self.root.run(text.replace("RESTART", RESTART[MANAGER]))


@contextmanager
def provisioned(suite: str, folder: Path) -> Iterator[Bench]:
    """Such a root, proven by builds."""
    release = publish(folder / "mirror")
    spec = Spec(
        platforms=WANTED,
        emulation=Emulation(interpreters="send:/usr/bin/qemu-{qemu}-static"),
        buildkit=Buildkit(
            mirror=str(release.mirror),
            version=release.version,
            sha256={release.platform: release.sha256},
            users=("ci",),
        ),
    )
    run = RunSettings(cache=folder / "cache", timeout=300, progress=Progress(), version=release.version)
    with BareRoot(suite) as root:
        space = Local(name="bare", become=False, within=tuple(root.command()))
        with closing(space):
            made = Bench(root=root, space=space, spec=spec, run=run)
            done = made.provision()
            assert (done.status, done.error) == ("changed", None), done
            assert {row.platform for row in done.platforms if row.builds} == {*WANTED}
            yield made


@pytest.fixture(scope="module", params=("bullseye", *SUITES))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with provisioned(request.param, tmp_path_factory.mktemp("bench")) as made:
        yield made


def test_a_sound_host_has_none(bench: Bench) -> None:
    assert (bench.findings(), bench.plan()) == ([], [])
    # Proven already: nothing is built.
    again = bench.provision()
    assert (again.status, [row.builds for row in again.platforms if row.builds]) == ("ok", [])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_exactly_its_finding(bench: Bench, name: str) -> None:
    fault = FAULTS[name]
    if MANAGER not in fault.managers:
        pytest.skip(f"it cannot happen with {MANAGER}")
    bench.shell(fault.break_)
    try:
        assert bench.findings() == [(fault.finding, fault.severity)]
        if fault.steps is not None:
            fault.check(bench.plan())
    finally:
        # What is left of it would be one more finding of the next.
        bench.shell(fault.undo)


CONTAINER = (
    "mkdir -p /root/other; mount -t tmpfs tmpfs /run/buildkit; mount -t tmpfs tmpfs /var/lib/buildkit;"
    " exec /root/buildkitd --group ci --oci-worker-binary /opt/buildkit/current/bin/buildkit-runc"
)


def test_a_daemon_in_a_container_is_in_nobodys_way(bench: Bench) -> None:
    """Such as that of buildx: its paths are the same, and its files are others."""
    bench.shell(
        "cp /opt/buildkit/current/bin/buildkitd /root/;"
        f" setsid unshare --mount sh -c '{CONTAINER}' </dev/null >/root/log 2>&1 & echo $! >/root/pid;"
        " until grep -q 'running server' /root/log; do sleep 0.5; done"
    )
    try:
        assert bench.findings() == []
    finally:
        bench.shell("kill $(cat /root/pid); rm -f /root/buildkitd /root/pid /root/log")


def test_and_none_at_the_end(bench: Bench) -> None:
    assert bench.findings() == []


def test_the_release_is_made_whole_by_a_run(bench: Bench) -> None:
    """Under the running daemon, and proven at its end."""
    bench.shell(f"rm {RUNC}")
    done = bench.provision()
    assert ([step.id for step in done.steps], done.error) == (["release"], None)
    assert {row.platform for row in done.platforms if row.builds} == {*WANTED}
    assert bench.findings() == []


def test_a_platform_that_does_not_build_fails_the_run_with_its_reason(bench: Bench) -> None:
    """A daemon that cannot start steps passes every look at its list."""
    bench.shell("setpriv --bounding-set -mknod --inh-caps -mknod RESTART; rm /usr/local/bin/buildctl")
    try:
        for status in ("done", ""):
            done = bench.provision()
            assert ({step.status for step in done.steps}, done.status) == ({status} - {""}, "failed")
            assert done.error
            assert done.error.message == f"the proof failed: no build for {', '.join(WANTED)}"
            assert "operation not permitted" in done.error.cause
        assert bench.provision(proof=False).status == "ok"
    finally:
        bench.shell("RESTART")
    assert bench.provision().status == "ok"
    assert bench.findings() == []


NAME_SERVICE = (
    "apt-get -qq update && apt-get -qq -y install --no-install-recommends libnss-extrausers >/dev/null"
    " && sed -i -E '/^(passwd|group):/s/$/ extrausers/' /etc/nsswitch.conf"
    " && echo 'afar:x:70001:70001::/home/afar:/bin/sh' >/var/lib/extrausers/passwd"
    " && printf '%s\\n' 'afar:x:70001:' 'builders:x:70002:afar' >/var/lib/extrausers/group"
    " && id afar && ! grep -q afar /etc/passwd"
)


def test_a_user_and_a_group_that_exist_in_the_name_service_alone(bench: Bench) -> None:
    """As those of LDAP, SSSD and OS Login do: no line of /etc/passwd or /etc/group has them."""
    bench.shell(NAME_SERVICE)
    wider = replace(bench.spec.buildkit, users=("ci", "afar"))
    more = replace(bench, spec=replace(bench.spec, buildkit=wider))
    assert more.plan() == ["member-afar"]
    done = more.provision(proof=False)
    assert ([(step.id, step.status) for step in done.steps], done.error) == ([("member-afar", "done")], None)
    assert wider.group in bench.root.run("id -Gn afar").stdout.split()
    assert (more.plan(), more.findings()) == ([], [])

    # A group of the name service is found, and not made again; its member is one already.
    theirs = replace(
        more, spec=replace(bench.spec, buildkit=replace(wider, group="builders", users=("afar",)))
    )
    assert not [step for step in theirs.plan() if step.startswith(("group", "member"))]
