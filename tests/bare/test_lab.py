"""The root itself: nothing in it outlives the test that made it, however that ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.lab.bare import BareRoot
from tests.lab.checkout import ROOT
from tests.lab.nspawn import remove_cgroup
from tests.lab.patience import until

DAEMON: Final = "setsid sleep 1000 >/dev/null 2>&1 &"
HOLD: Final = f"""
from tests.lab.bare import BareRoot
with BareRoot() as root:
    root.run({DAEMON!r})
    print(root.init, root.folder, flush=True)
    input()
"""


def test_all_ends_with_the_root() -> None:
    with BareRoot() as root:
        root.run(DAEMON)
        init, folder = root.init, root.folder
    assert not Path(f"/proc/{init}").exists()
    assert not folder.exists()


def test_a_killed_test_leaves_nothing_running() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        init, folder = holder.stdout.readline().split()
        assert Path(f"/proc/{init}").exists()
        holder.kill()
    assert until(lambda: not Path(f"/proc/{init}").exists())
    # What a killed test cannot take away itself.
    remove_cgroup(Path(folder).name)
    shutil.rmtree(folder)
