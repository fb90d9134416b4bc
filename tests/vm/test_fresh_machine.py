"""The README's commands on a machine nobody has touched: bare, without power, provisioned, booted again.

One machine and one story: each test goes on where the one before it ended, in the order of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.lab.mirror import Mirror
from tests.lab.release import publish
from tests.lab.vm import GATEWAY, Machine
from tests.vm.conftest import CHECKOUT

PLATFORMS: Final = ("linux/amd64", "linux/arm64", "linux/arm/v7")
# apt and pip under emulation, on a machine that has other work.
SLOW: Final = 2400


def inv(machine: Machine, arguments: str, *, check: bool = True) -> str:
    """Run `./inv` in the clone as the normal user; what it prints on stdout."""
    return machine.run(f"cd {CHECKOUT} && ./inv {arguments}", check=check, timeout=SLOW).stdout


def test_it_starts_bare(machine: Machine) -> None:
    found = machine.run(
        "command -v python3 docker buildctl qemu-aarch64-static; id -u; ls /etc/binfmt.d", check=False
    )
    assert found.stdout.split() == ["1000"]


def test_the_first_start_brings_what_it_needs_and_says_so(machine: Machine) -> None:
    first = machine.run(f"cd {CHECKOUT} && ./inv --list", timeout=SLOW)
    assert "provision" in first.stdout
    assert "installing it: sudo apt-get install" in first.stderr
    assert len(first.stderr.splitlines()) <= 5, "a first start is described in a few lines"
    second = machine.run(f"cd {CHECKOUT} && ./inv --list")
    assert (second.stdout, second.stderr) == (first.stdout, "")


@pytest.fixture(scope="module")
def mirror(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A release on this machine, and a configuration there that takes it from here."""
    folder = tmp_path_factory.mktemp("mirror")
    release = publish(folder)
    with Mirror(folder, latest=release.version) as served:
        port = served.url.rsplit(":", 1)[1]
        settings = [
            f"platforms = {json.dumps(PLATFORMS)}",
            "[buildkit]",
            f'version = "{release.version}"',
            f'mirror = "http://{GATEWAY}:{port}"',
            f'sha256 = {{ "{release.platform}" = "{release.sha256}" }}',
        ]
        machine.run(f"cat > {CHECKOUT}/provision.toml", stdin="\n".join(settings).encode())
        yield


@pytest.mark.usefixtures("mirror")
def test_power_is_lost_while_it_works(machine: Machine) -> None:
    """Behind the package manager and the handlers, as soon as the release has its name."""
    machine.run(f"cd {CHECKOUT}; nohup ./inv provision >/dev/null 2>&1 </dev/null & sync")
    machine.run("until [ -e /opt/buildkit/v* ]; do sleep 0.2; done", timeout=SLOW)
    machine.lose_power()
    left = machine.run("cat /var/lib/provision/record; ls -A /opt/buildkit").stdout
    assert "qemu-aarch64" in left, "the run had begun"
    assert not machine.run("ls /usr/local/bin/buildctl", check=False).stdout, "and had not ended"


@pytest.mark.usefixtures("mirror")
def test_provision(machine: Machine) -> None:
    """The run that was cut is finished by the next, and the one after it has nothing to do."""
    report = json.loads(inv(machine, "provision --format json"))
    assert (report["status"], report["exit_code"]) == ("changed", 0), report
    assert_builds_for_all(machine)
    assert json.loads(inv(machine, "plan --format json"))["status"] == "ok", "a second run has nothing to do"
    # None of it is a file whose name reached the disk before its content.
    assert not machine.run(
        "find /opt/buildkit /etc/binfmt.d /etc/buildkit /var/lib/provision -type f -size 0"
    ).stdout


def test_after_a_reboot_all_is_there_without_help(machine: Machine) -> None:
    machine.reboot()
    # ssh answers while the boot goes on; this returns when it is over, with an exit code that says how.
    machine.run("systemctl is-system-running --wait", check=False, timeout=SLOW)
    assert machine.run("systemctl is-active buildkit").stdout.strip() == "active"
    assert_builds_for_all(machine)


def assert_builds_for_all(machine: Machine) -> None:
    """Every wanted platform is registered and listed, by the tool's own word and by the kernel's."""
    report = json.loads(inv(machine, "platforms --format json"))
    rows: dict[str, dict[str, Any]] = {row["platform"]: row for row in report["hosts"][0]["platforms"]}
    for platform in PLATFORMS:
        assert rows[platform]["registered"] is not False, rows[platform]
        assert rows[platform]["listed"] is True, rows[platform]
    for handler in ("qemu-aarch64", "qemu-arm"):
        entry = machine.run(f"cat /proc/sys/fs/binfmt_misc/{handler}").stdout
        assert entry.startswith("enabled\n")
        flags = next(line for line in entry.splitlines() if line.startswith("flags: "))
        assert "F" in flags
