"""Each fault of what buildkitd stands on, made for real, is exactly its finding: under systemd and OpenRC.

Where it is a process: tests/bare/test_faults.py, on three Debians.
A sound host has none. Every fault is undone, and what was left of it would be one more finding of the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from provision import paths
from tests.host.test_health import Bench, prepare
from tests.lab.daemon_faults import DROP_IN, FAULTS, RESTART, RUNC
from tests.lab.inits import OPENRC, SYSTEMD, Init
from tests.lab.nspawn import Host


@dataclass(frozen=True, kw_only=True)
class System:
    """A system to try them on. `linked`: its state folder is a link to a larger disk, as people make one."""

    suite: str
    manager: str
    init: Init = SYSTEMD
    linked: bool = False


SYSTEMS: Final = {
    "bookworm-systemd": System(suite="bookworm", manager="systemd", linked=True),
    "trixie-systemd": System(suite="trixie", manager="systemd", linked=True),
    "bookworm-openrc": System(suite="bookworm", manager="openrc", init=OPENRC),
}


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    return SYSTEMS[request.param]


@pytest.fixture(scope="module")
def bench(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Host("faults", suite=system.suite, init=system.init) as host:
        made = prepare(tmp_path_factory.mktemp("faults"), host)
        configuration = made.folder / "provision.toml"
        text = configuration.read_text().replace("[buildkit]", f'[buildkit]\nservice = "{system.manager}"')
        configuration.write_text(text)
        if system.linked:
            host.run(f"mkdir -p /srv/large && ln -s /srv/large {paths.STATE}")
        done = made.product("provision")
        assert done.code == 0, done
        # What it has put there is proven by building for each platform.
        assert all(row["builds"] for row in done.host["platforms"] if row["wanted"]), done
        yield made


def run(bench: Bench, system: System, text: str) -> None:
    bench.host.run(text.replace("RESTART", RESTART[system.manager]))


def found(bench: Bench) -> list[tuple[str, str]]:
    """Without what is only worth knowing: that no boot brings a process back."""
    return [(each["id"], each["severity"]) for each in bench.findings() if each["severity"] != "info"]


def test_a_sound_host_has_none(bench: Bench) -> None:
    assert found(bench) == []
    assert bench.product("plan").code == 0


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_exactly_its_finding(bench: Bench, system: System, name: str) -> None:
    fault = FAULTS[name]
    if system.manager not in fault.managers:
        pytest.skip(f"it cannot happen with {system.manager}")
    run(bench, system, fault.break_)
    try:
        assert found(bench) == [(fault.finding, fault.severity)]
        if fault.steps is not None:
            fault.check([step["id"] for step in bench.product("plan").host["steps"]])
    finally:
        run(bench, system, fault.undo)


def test_and_none_at_the_end(bench: Bench) -> None:
    assert found(bench) == []


def test_the_release_is_made_whole_by_a_run(bench: Bench) -> None:
    """Under the running daemon, which goes on running, and proven at its end."""
    bench.host.run(f"rm {RUNC}")
    done = bench.product("provision")
    assert (done.code, [step["id"] for step in done.host["steps"]]) == (0, ["release"]), done
    assert all(row["builds"] for row in done.host["platforms"] if row["wanted"])
    assert found(bench) == []
    assert bench.product("plan").host["steps"] == []


def test_a_platform_that_does_not_build_fails_the_run_with_its_reason(bench: Bench, system: System) -> None:
    """A daemon that cannot start steps passes every look at its list."""
    if system.manager != "systemd":
        pytest.skip("one is enough: the proof knows no service manager")
    limit = f"mkdir {DROP_IN}; printf '[Service]\\nCapabilityBoundingSet=~CAP_MKNOD\\n' >{DROP_IN}/x.conf"
    bench.host.run(f"{limit}; systemctl daemon-reload; systemctl restart buildkit; rm {paths.BUILDCTL}")
    try:
        done = bench.product("provision")
        assert done.code == 3, done
        assert done.host["error"]["message"].startswith("the proof failed: no build for linux/amd64")
        assert "operation not permitted" in done.host["error"]["cause"].lower()
        # Nothing is left to change, and it is no success yet.
        assert bench.product("provision").code == 3
        assert bench.product("provision", "--no-proof").code == 0
    finally:
        bench.host.run(f"rm -r {DROP_IN}; systemctl daemon-reload; systemctl restart buildkit")
    assert bench.product("provision").code == 0
    assert found(bench) == []


def test_a_daemon_of_somebody_else_is_refused_before_anything(
    system: System, tmp_path_factory: pytest.TempPathFactory, bench: Bench
) -> None:
    """The unit of a tutorial, with the same state and socket: its owner is told, and it goes on running."""
    if system.suite != "trixie":
        pytest.skip("once is enough")
    with Host("tutorial", suite=system.suite) as host:
        made = prepare(tmp_path_factory.mktemp("tutorial"), host)
        for program in ("buildkitd", "buildkit-runc", "buildctl"):
            # Not by way of `current`: the link would be this machine's.
            (found,) = bench.host.root.glob(f"opt/buildkit/v*/bin/{program}")
            host.put(found, f"/usr/local/bin/{program}")
        unit = "[Service]\nExecStart=/usr/local/bin/buildkitd\n[Install]\nWantedBy=multi-user.target\n"
        host.run("chmod 755 /usr/local/bin/*; cat >/etc/systemd/system/buildkitd.service", stdin=unit)
        host.run("systemctl enable --now buildkitd; until buildctl debug workers; do sleep 1; done")
        pid = host.run("pgrep -x buildkitd").stdout
        refused = made.product("provision")
        assert refused.code == 3, refused
        error = refused.host["error"]
        assert "/usr/local/bin/buildkitd" in error["message"]
        assert f"process {pid.strip()} of buildkitd.service" in error["message"]
        assert "systemctl disable --now buildkitd.service" in error["hint"]
        assert host.run("pgrep -x buildkitd").stdout == pid
        assert host.run("ls /opt").stdout == ""
        host.run("systemctl disable --now buildkitd.service")
        assert made.product("provision").code == 0
