"""BuildKit that was built from source, on a real machine: with the distribution's runc it does the main job."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from provision import paths
from provision.architectures import normalise
from provision.buildkit.go.build import build
from provision.spec import DEFAULT_VERSION
from tests.host.test_provision import check_build
from tests.lab.cli import Outcome, provision
from tests.lab.nspawn import Host
from tests.lab.registry import Registry
from tests.lab.release import workshop


def test_a_build_does_what_a_release_does(host: Host, registry: Registry, tmp_path: Path) -> None:
    built = build(DEFAULT_VERSION, normalise("linux", platform.machine(), ""), workshop())
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "provision").symlink_to(workshop())
    wanted = ("linux/amd64", "linux/arm64", "linux/arm/v7")
    (tmp_path / "provision.toml").write_text(
        f"""
platforms = {json.dumps(wanted)}
[buildkit]
source = "go"
users = ["ci"]
[ssh]
config = "{host.folder / "ssh_config"}"
"""
    )

    def run(*words: str) -> Outcome:
        return provision(*words, "--hosts", host.name, "--format", "json", cwd=tmp_path)

    lines = {each["id"]: each for each in run("check").host["checks"]}
    assert (lines["runc"]["status"], lines["release"]["status"]) == ("warning", "ok")

    planned = run("plan")
    assert planned.host["steps"][0]["id"] == "runc"
    done = run("provision")
    assert (done.code, done.envelope["status"]) == (0, "changed"), done
    assert [step["id"] for step in done.host["steps"]] == [step["id"] for step in planned.host["steps"]]
    assert f"BuildKit is {built.words}." in done.host["notes"]
    assert host.run(f"ls {paths.PROGRAMS}").stdout.split() == ["buildctl", "buildkitd"]
    assert f" {DEFAULT_VERSION} " in host.run(f"{paths.PROGRAMS}/buildkitd --version").stdout

    again = run("provision")
    assert (again.code, again.envelope["status"], again.host["steps"]) == (0, "ok", []), again
    check_build(host, registry, "demo:from-source")
    health = run("health")
    assert health.code == 0, health
