"""`vagrant up` from the Vagrantfile to a build machine: Vagrant's own `ssh-config`, `./inv`, sshd, all of them real.

Only the hypervisor is replaced: the machine that Vagrant is told of is a test host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.checkout import ROOT
from tests.lab.nspawn import Host
from tests.lab.release import Release

pytestmark = pytest.mark.needs("vagrant")


@pytest.fixture
def checkout(tmp_path: Path, release: Release) -> Path:
    folder, home = tmp_path / "a checkout", tmp_path / "home"
    (folder / ".vagrant").mkdir(parents=True)
    home.mkdir()
    shutil.copy(ROOT / "Vagrantfile", folder)
    shutil.copy(ROOT / "tests/lab/vagrant/Vagrantfile", home)
    (folder / "inv").symlink_to(ROOT / "inv")
    (folder / "provision.toml").write_text(
        f'[buildkit]\nmirror = "{release.mirror}"\nsha256 = {{ "{release.platform}" = "{release.sha256}" }}\n'
    )
    return folder


def up(checkout: Path, host: Host) -> subprocess.CompletedProcess[str]:
    key = checkout.parent / "a key"
    shutil.copy(host.key, key)
    key.chmod(0o600)
    return subprocess.run(
        ["vagrant", "up", "--provider=fake"],
        cwd=checkout,
        env={
            **os.environ,
            "HOME": str(checkout.parent),
            "VAGRANT_HOME": str(checkout.parent / "home"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "PROVISION_VENV": sys.prefix,
            "FAKE_ABSENT": "debian",
            "FAKE_PORT": str(host.port),
            "FAKE_KEY": str(key),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_up_makes_a_build_machine_and_knows_one_that_was_made_anew(checkout: Path) -> None:
    with Host("first", packages=("qemu-user-static",)) as first:
        done = up(checkout, first)
        assert done.returncode == 0, done.stdout + done.stderr
        first.run("buildctl debug workers")
        known = (checkout / ".vagrant/known_hosts").read_text()
        assert f"[127.0.0.1]:{first.port} " in known
        port = first.port
    # Vagrant gives a machine that is made anew the same port; its key is another.
    with Host("second", packages=("qemu-user-static",)) as second:
        stale = known.replace(f":{port} ", f":{second.port} ")
        (checkout / ".vagrant/known_hosts").write_text(stale)
        done = up(checkout, second)
        assert done.returncode == 0, done.stdout + done.stderr
        second.run("buildctl debug workers")
