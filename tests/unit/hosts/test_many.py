"""Many hosts in one run, with no more descriptors than a process may have."""

from __future__ import annotations

import resource
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.cli import COMMAND, environment, provision

HOSTS = 120


@pytest.mark.thorough
@pytest.mark.needs("ssh")
def test_more_hosts_at_once_than_descriptors(tmp_path: Path) -> None:
    """All are silent, so all that may be open at once are."""
    (tmp_path / "provision.toml").write_text(
        '[ssh]\nconfig = "/dev/null"\nconnect_timeout = 1\njobs = 500\n'
    )
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(HOSTS)]
        names = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in silent)
        done = subprocess.run(
            [str(COMMAND), "platforms", "--hosts", names],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
        )
    assert done.returncode == 4, done.stderr
    # One summary that a person can read, and one error with what to do.
    assert len(done.stdout.splitlines()) == 3
    assert f"  {HOSTS}  unreachable" in done.stdout
    assert "… accepts connections and sends nothing" in done.stdout
    assert done.stderr.count("error: ") == 1
    assert "Too many open files" not in done.stdout + done.stderr


@pytest.mark.needs("ssh")
def test_a_host_that_cannot_be_asked_for_its_key_fails_alone(tmp_path: Path) -> None:
    """A circle of jump hosts is that host's fault, and no reason to refuse the others."""
    (tmp_path / "ssh_config").write_text("Host one\n  ProxyJump two\nHost two\n  ProxyJump one\n")
    (tmp_path / "provision.toml").write_text('[ssh]\nconfig = "ssh_config"\nknown_hosts = "known_hosts"\n')
    done = provision(
        *("platforms", "--hosts", "one,127.0.0.1:1", "--accept-new-host-keys", "--format", "json"),
        cwd=tmp_path,
    )
    assert [host["host"] for host in done.envelope["hosts"]] == ["one", "127.0.0.1:1"]
    assert "jump host" in done.envelope["hosts"][0]["error"]["message"]
    assert done.envelope["hosts"][1]["status"] == "unreachable"
    assert done.code == 3
