"""Many hosts in one run, with no more descriptors than a process may have."""

from __future__ import annotations

import resource
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.lab.cli import COMMAND, environment

HOSTS = 120


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
