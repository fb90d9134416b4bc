"""The main job, end to end: from a bare Debian host to a pushed multi-platform image, and through a reboot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab import pipeline
from tests.lab.busybox import busybox
from tests.lab.cli import Outcome, provision
from tests.lab.nspawn import Host
from tests.lab.registry import Registry
from tests.lab.release import Release

WANTED = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64", "linux/s390x", "linux/ppc64le")


@pytest.fixture
def workshop(tmp_path: Path, host: Host, release: Release) -> Path:
    """A folder with the user's provision.toml and the way to the host."""
    (tmp_path / "provision.toml").write_text(
        f"""
platforms = {json.dumps(WANTED)}
[buildkit]
mirror = "{release.mirror}"
sha256 = {{ "{release.platform}" = "{release.sha256}" }}
users = ["ci"]
[ssh]
config = "{host.folder / "ssh_config"}"
"""
    )
    return tmp_path


def run(host: Host, workshop: Path, *words: str) -> Outcome:
    return provision(*words, "--hosts", host.name, "--format", "json", cwd=workshop)


# Debian 13's qemu-user-static is a package of links, its systemd and QEMU are two generations on.
@pytest.mark.parametrize("host", ["bookworm", "trixie"], indirect=True)
def test_from_bare_to_pushed_image_and_through_a_reboot(
    host: Host, workshop: Path, registry: Registry
) -> None:
    planned = run(host, workshop, "plan")
    assert planned.code == 2, planned
    assert host.run("ls /etc/binfmt.d /opt", check=False).stdout.split() == ["/etc/binfmt.d:", "/opt:"]

    done = run(host, workshop, "provision")
    assert (done.code, done.envelope["status"]) == (0, "changed"), done
    # It did exactly what plan had shown.
    assert [step["id"] for step in done.host["steps"]] == [step["id"] for step in planned.host["steps"]]
    assert {step["status"] for step in done.host["steps"]} == {"done"}

    again = run(host, workshop, "provision")
    assert (again.code, again.envelope["status"], again.host["steps"]) == (0, "ok", []), again
    assert run(host, workshop, "plan").code == 0

    check_platforms(host, run(host, workshop, "platforms"))
    check_security(host)
    check_build(host, registry, "demo:git-master")

    host.reboot()
    check_platforms(host, run(host, workshop, "platforms"))
    assert run(host, workshop, "plan").code == 0
    check_build(host, registry, "demo:after-reboot")


def check_platforms(host: Host, seen: Outcome) -> None:
    """Every wanted platform is listed; the foreign ones run by our handlers, as a new process finds them."""
    rows = {row["platform"]: row for row in seen.host["platforms"]}
    qemu = host.run("qemu-arm-static --version").stdout.split()[2]
    assert rows["linux/amd64"]["mode"] == "native"
    for platform in WANTED[1:]:
        row = rows[platform]
        assert (row["mode"], row["registered"], row["listed"], row["flags"]) == (
            "emulated",
            True,
            True,
            "PF",
        ), row
        assert row["interpreter"] == f"/usr/bin/{row['handler']}-static"
        assert row["qemu"] == qemu


def check_security(host: Host) -> None:
    """The socket is for root and the group; the folder keeps others from the one beside it, which is 0666."""
    assert host.run("stat -c '%A %U:%G' /run/buildkit /run/buildkit/buildkitd.sock").stdout.split("\n")[
        :2
    ] == [
        "drwxr-x--- root:buildkit",
        "srw-rw---- root:buildkit",
    ]
    assert host.run("buildctl debug workers", user="ops", check=False).returncode != 0
    assert host.run("systemctl --failed --plain --no-legend").stdout == ""


def check_build(host: Host, registry: Registry, image: str) -> None:
    """The pipeline's own command, as a user in the group; skopeo and the layers say what was pushed."""
    host.run("mkdir -p context", user="ci")
    host.run("cat > context/Dockerfile.demo", user="ci", stdin=pipeline.DOCKERFILE)
    for name, debian in pipeline.DEBIAN.items():
        host.put(busybox(debian), f"/home/ci/context/busybox-{name}")
    host.run(f"cd context && {pipeline.build_command(f'{registry.address}/{image}')}", user="ci")
    pipeline.check_pushed(registry, image)
