"""The README's first command where there is no systemd, no release host and no configuration, and its second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import pipeline
from tests.lab.bare import BareRoot
from tests.lab.busybox import busybox
from tests.lab.registry import Registry
from tests.lab.tree import tree

pytestmark = [
    pytest.mark.needs("docker-registry", "skopeo"),
    pytest.mark.parametrize("bare_root", ["bookworm"], indirect=True),
]
# A Go from PyPI, the modules, and a compilation on two busy cores.
SLOW = 2400


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        yield server


def test_from_a_fresh_checkout_to_a_pushed_image(bare_root: BareRoot, registry: Registry) -> None:
    path = bare_root.clone()

    def asked(command: str, code: int = 0) -> dict[str, Any]:
        done = bare_root.run(f"./inv {command} --format json", cwd=path, check=False, timeout=SLOW)
        assert done.returncode == code, (command, done.stdout, done.stderr)
        envelope: dict[str, Any] = json.loads(done.stdout)
        return envelope

    bare_root.run("./inv --list", cwd=path, timeout=SLOW)
    before = tree(bare_root)
    first = bare_root.run("./inv provision", cwd=path, check=False, timeout=SLOW)
    assert first.returncode == 0, (first.stdout, first.stderr)
    assert "BuildKit is built from github.com/moby/buildkit" in first.stdout
    assert "✓ start buildkitd" in first.stdout

    bare_root.run("mkdir context && cat >context/Dockerfile.demo", stdin=pipeline.DOCKERFILE.encode())
    for name, debian in pipeline.DEBIAN.items():
        bare_root.run(f"cat >context/busybox-{name}", stdin=busybox(debian).read_bytes())
    bare_root.run("chmod 755 context/busybox-*")
    bare_root.run(f"cd context && {pipeline.build_command(f'{registry.address}/demo:1')}", timeout=SLOW)
    pipeline.check_pushed(registry, "demo:1")

    health = asked("health")["hosts"][0]
    assert [(each["id"], each["severity"]) for each in health["findings"]] == [("boot-nothing", "info")]
    again = asked("provision")
    assert (again["status"], again["hosts"][0]["steps"]) == ("ok", [])

    bare_root.run("read -r daemon _ </run/buildkit/buildkitd.pid; kill -KILL $daemon; sleep 1")
    stopped = asked("health", code=5)["hosts"][0]
    assert "service-stopped" in [each["id"] for each in stopped["findings"]]
    repaired = asked("provision")["hosts"][0]
    assert [(each["id"], each["status"]) for each in repaired["steps"]] == [("service-start", "done")]
    assert asked("health")["hosts"][0]["status"] == "ok"
    bare_root.run(f"cd context && {pipeline.build_command(f'{registry.address}/demo:2')}", timeout=SLOW)
    pipeline.check_pushed(registry, "demo:2")

    # And away again: nothing of ours stays, and nothing of others is gone.
    wanted = asked("plan --remove --purge", code=2)["hosts"][0]["steps"]
    gone = asked("remove --purge --yes")["hosts"][0]
    assert [step["id"] for step in gone["steps"]] == [step["id"] for step in wanted]
    after = tree(bare_root)
    assert sorted({*before} ^ {*after}) == []
    assert asked("remove --purge --yes")["status"] == "ok", "removing twice is no error"
