"""The program that was started is the one that a fix names: run for real, on a host of a namespace."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli.called import typed_name
from tests.kernel.namespace import Namespace
from tests.lab.checkout import ROOT
from tests.lab.cli import COMMAND, FAB, environment


@pytest.mark.parametrize(
    ("started", "typed"),
    [
        (["./inv"], "./inv"),
        ([str(ROOT / "inv")], str(ROOT / "inv")),
        ([str(COMMAND)], typed_name(str(COMMAND))),
        ([str(FAB)], typed_name(str(FAB))),
    ],
    ids=["./inv", "inv from elsewhere", "provision", "fab"],
)
def test_a_fix_names_the_program_that_was_started(
    started: list[str], typed: str, namespace: Namespace, tmp_path: Path
) -> None:
    config = tmp_path / "my hosts.toml"
    config.write_text('platforms = ["linux/amd64", "linux/arm64"]\n')
    words = ["explain", "riscv64", "--config", str(config), "--format", "json"]
    done = subprocess.run(
        # nsenter leaves the folder.
        namespace.command("sh", "-c", 'cd "$0" && exec "$@"', ROOT, *started, *words),
        check=False,
        env=environment(tmp_path) | {"PROVISION_VENV": sys.prefix},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 5, done
    (host,) = json.loads(done.stdout)["hosts"]
    broken = next(link for link in host["chain"] if link["id"] == host["broken"])
    expected = [typed, "provision", "--config", str(config), "--platforms", "linux/riscv64"]
    assert shlex.split(broken["fix"]) == expected
