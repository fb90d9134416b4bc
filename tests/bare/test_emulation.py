"""Emulation by the packages of each Debian: what they are called and where their files are is found there."""

from __future__ import annotations

import pytest

from provision.errors import HostError
from provision.spec import Spec
from tests.lab.bare import BareRoot
from tests.lab.emulated import NAMED, Emulated, check_emulation

DEBIANS = pytest.mark.parametrize("bare_root", ["bullseye", "bookworm", "trixie"], indirect=True)
one_debian = pytest.mark.parametrize("bare_root", ["bookworm"], indirect=True)


@DEBIANS
def test_by_name(bare_root: BareRoot) -> None:
    check_emulation(bare_root, Spec(platforms=NAMED), "qemu-user-static")


@pytest.mark.parametrize("bare_root", ["bullseye", "trixie"], indirect=True)
def test_without_names_all_that_the_package_has(bare_root: BareRoot) -> None:
    """Debian 11's QEMU has no loongarch64."""
    check_emulation(bare_root, Spec(), "qemu-user-static")


@one_debian
def test_what_a_package_takes_away_is_in_the_plan(bare_root: BareRoot) -> None:
    bare_root.run("apt-get -qq update && apt-get -qq -y install --no-install-recommends qemu-user-binfmt")
    host = Emulated(bare_root)
    with host:
        made = host.planned(Spec(platforms=NAMED))
        assert any("removes qemu-user-binfmt" in note for note in made.notes), made.notes
        assert {step.status for step in host.emulate(made.steps)} == {"done"}


@one_debian
def test_an_interrupted_dpkg_is_told_before_anything(bare_root: BareRoot) -> None:
    bare_root.run("apt-get -qq update; touch /var/lib/dpkg/updates/0001")
    host = Emulated(bare_root)
    with host, pytest.raises(HostError, match="you must manually run 'dpkg --configure -a'"):
        host.planned(Spec(platforms=NAMED))
