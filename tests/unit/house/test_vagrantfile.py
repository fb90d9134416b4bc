"""The Vagrantfile: valid to Vagrant itself, and its trigger run on a provider without hypervisor."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.lab.checkout import ROOT

pytestmark = pytest.mark.needs("vagrant")

# Stands for ./inv: notes how it was started, and ends as it is told to.
INV: Final = '#!/bin/sh\nprintf "%s\\n" "$@" >inv.arguments\nexit "${FAKE_EXIT:-0}"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    home = tmp_path / "home"
    (folder / ".vagrant").mkdir(parents=True)
    home.mkdir()
    shutil.copy(ROOT / "Vagrantfile", folder)
    shutil.copy(ROOT / "tests/lab/vagrant/Vagrantfile", home)
    (folder / "inv").write_text(INV)
    (folder / "inv").chmod(0o755)
    return folder


def vagrant(checkout: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {
        **os.environ,
        "VAGRANT_HOME": str(checkout.parent / "home"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        **more,
    }
    return subprocess.run(
        ["vagrant", *arguments],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def up(checkout: Path, *names: str, **more: str) -> subprocess.CompletedProcess[str]:
    return vagrant(checkout, "up", *names, "--provider=fake", **more)


def test_it_is_valid_without_a_provider(checkout: Path) -> None:
    done = vagrant(checkout, "validate", "--ignore-provider")
    assert done.returncode == 0, done.stderr


def test_boxes_come_from_the_environment(checkout: Path) -> None:
    done = vagrant(checkout, "validate", "--ignore-provider", DEBIAN_BOX="")
    assert done.returncode != 0, "an empty box name must reach Vagrant, which refuses it"


def test_all_are_provisioned_once_they_are_up(checkout: Path) -> None:
    done = up(checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    arguments = (checkout / "inv.arguments").read_text().split()
    options = ["--ssh-config", ".vagrant/ssh-config", "--accept-new-host-keys", "--hosts", "debian,ubuntu"]
    assert arguments == ["provision", *options]
    ssh_config = (checkout / ".vagrant/ssh-config").read_text().split("\n")
    assert [line for line in ssh_config if line.startswith("Host ")] == [
        "Host debian",
        "Host ubuntu",
        "Host *",
    ]
    assert "  Port 2222" in ssh_config
    # Vagrant's own words would have every host key forgotten.
    assert [line.strip() for line in ssh_config if "KnownHosts" in line or "Strict" in line] == [
        "UserKnownHostsFile .vagrant/known_hosts"
    ]


@pytest.mark.thorough
def test_a_machine_that_was_never_made_is_left_out(checkout: Path) -> None:
    assert up(checkout, "ubuntu", FAKE_ABSENT="debian").returncode == 0
    assert (checkout / "inv.arguments").read_text().split()[-1] == "ubuntu"


def test_the_first_machine_alone_provisions_nothing(checkout: Path) -> None:
    assert up(checkout, "debian").returncode == 0
    assert not (checkout / "inv.arguments").exists()


def test_provisioning_can_be_left_out(checkout: Path) -> None:
    assert up(checkout, PROVISION="no").returncode == 0
    assert not (checkout / "inv.arguments").exists()


@pytest.mark.thorough
def test_a_failure_is_a_failure_of_vagrant_up(checkout: Path) -> None:
    assert up(checkout, FAKE_EXIT="3").returncode != 0
