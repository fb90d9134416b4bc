"""A fix for another machine, run as its reader does: by the real ssh, sshd and sudo."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from provision.fix import Fix, Place, run, shell_line
from provision.hosts.by_hand import ssh_words
from provision.report.fixes import written
from provision.spec import Config, Host, Ssh
from tests.ssh.conftest import Serve


@pytest.mark.parametrize("user", ["root", "ci"])
def test_a_fix_runs_there_as_root_with_its_arguments(serve: Serve, user: str, tmp_path: Path) -> None:
    box = serve(users=True)
    host = Host(name="box", host="127.0.0.1", user=user, port=box.port)
    config = Config(ssh=Ssh(config=str(box.folder / "ssh_config")))
    place = Place(ssh=ssh_words(host, config, identities=[box.key]), sudo=user != "root")
    made, copied = tmp_path / "it's $(id) made", tmp_path / "copied"
    fix = Fix.by(
        shell_line(f"id -un > {shlex.quote(str(made))}"),
        run("cp", str(made), str(copied)),
        words="it's done; $(touch nothing)",
    )
    done = subprocess.run(
        ["sh", "-c", str(written(fix, place))],
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    assert copied.read_text() == "root\n"
    assert copied.stat().st_uid == 0
    assert not (tmp_path / "nothing").exists()
