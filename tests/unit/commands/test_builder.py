"""`./inv builder` where no host can be a node: its exit code is that of the hosts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from provision.errors import EXIT_UNREACHABLE
from tests.lab.cli import COMMAND, environment


@pytest.mark.needs("ssh")
def test_hosts_that_do_not_answer_are_unreachable_and_no_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(COMMAND), "builder", "--hosts", "root@127.0.0.1:9", "--format", "json"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_UNREACHABLE, done.stderr
    assert {host["status"] for host in json.loads(done.stdout)["hosts"]} == {"unreachable"}
