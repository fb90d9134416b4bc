"""What package managers answer, recorded, and what is planned from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from provision.facts import Facts, PackageAnswer, packages
from provision.plan.steps import InstallPackages, RegisterHandler
from tests.unit.recorded import facts, planned

BARE: Final = facts("bare")

# Debian 12, where qemu-user-binfmt is installed.
BOOKWORM: Final = """\
Reading package lists...
Building dependency tree...
Reading state information...
The following packages will be REMOVED:
  qemu-user-binfmt
The following NEW packages will be installed:
  qemu-user-static
0 upgraded, 1 newly installed, 1 to remove and 0 not upgraded.
Remv qemu-user-binfmt [1:7.2+dfsg-7+deb12u18+b3]
Inst qemu-user-static (1:7.2+dfsg-7+deb12u18+b3 Debian:12.12/oldstable [amd64])
Conf qemu-user-static (1:7.2+dfsg-7+deb12u18+b3 Debian:12.12/oldstable [amd64])
"""
# Debian sid, which has no qemu-user-static.
SID: Final = """\
Reading package lists...
Building dependency tree...
Reading state information...
Solving dependencies...
Recommended packages:
  qemu-user-binfmt
The following NEW packages will be installed:
  qemu-user
0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.
Inst qemu-user (1:11.1.3+ds-1 Debian:unstable [amd64])
Conf qemu-user (1:11.1.3+ds-1 Debian:unstable [amd64])
"""
# Ubuntu 26.04, had it been asked for the virtual package.
RESOLUTE: Final = """\
Package qemu-user-static is a virtual package provided by:
  qemu-user-binfmt-hwe 1:10.2.1+ds-1ubuntu3
  qemu-user-binfmt 1:10.2.1+ds-1ubuntu3
You should explicitly select one to install.

E: Package 'qemu-user-static' has no installation candidate
"""
HELD: Final = """\
The following packages have unmet dependencies:
 qemu-user-static : Depends: libc6 (>= 2.99) but 2.36-9 is to be installed
E: Unable to correct problems, you have held broken packages.
"""


def host(
    text: str, *, manager: str = "apt-get", status: int | None = 0, package: str = "qemu-user-static"
) -> Facts:
    said = PackageAnswer(manager=manager, status=status, packages=(package,), text=text)
    return replace(BARE, tools=frozenset({manager, "curl"}), package_answers={manager: said})


def install(seen: Facts) -> InstallPackages:
    (step,) = (each for each in planned(seen).steps if isinstance(each, InstallPackages))
    return step


def test_what_is_removed_is_in_the_plan() -> None:
    step = install(host(BOOKWORM))
    assert (step.packages, step.removes) == (("qemu-user-static",), ("qemu-user-binfmt",))
    assert "-qemu-user-binfmt (it is removed)" in step.detail
    assert any("apt-get removes qemu-user-binfmt" in note for note in planned(host(BOOKWORM)).notes)


def test_the_name_that_the_system_has_is_planned() -> None:
    step = install(host(SID, package="qemu-user"))
    assert (step.target, step.packages, step.instead) == ("qemu-user", ("qemu-user",), "")


def test_without_lists_both_names_are_tried() -> None:
    step = install(host("", status=None))
    assert (step.packages, step.instead) == (("qemu-user-static",), "qemu-user")
    assert step.target == "qemu-user-static or qemu-user"


def test_where_an_emulator_comes_to_is_not_foretold() -> None:
    (step, _) = (each for each in planned(host(SID)).steps if isinstance(each, RegisterHandler))
    assert list(dict.fromkeys(each.interpreter for each in step.variants)) == [
        "/usr/bin/qemu-aarch64-static",
        "/usr/bin/qemu-aarch64",
        "/usr/libexec/qemu-binfmt/aarch64-binfmt-P",
    ]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (host(HELD, status=100), "Unable to correct problems, you have held broken packages."),
        (host(BOOKWORM), ""),
        (host("", status=None), ""),
        # It has fetched no lists yet, and may not without being told to.
        (host("Error: Cache-only enabled but no cache for 'fedora'", manager="dnf", status=1), ""),
        (host("Operation aborted.", manager="dnf", status=1), ""),
        (
            host("error: target not found: qemu-user-static", manager="pacman", status=1),
            "target not found: qemu-user-static",
        ),
    ],
    ids=["held", "removes", "no lists", "no cache", "dnf goes on", "pacman without lists"],
)
def test_a_refusal_is_told_in_the_managers_words(seen: Facts, words: str) -> None:
    assert packages.refusal(packages.answer(seen)) == words


@pytest.mark.parametrize(
    ("text", "manager"),
    [
        (RESOLUTE, "apt-get"),
        ("Error: Unable to find a match: qemu-user-static", "dnf"),
        ("No match for argument: qemu-user-static\nError: Unable to find a match", "dnf"),
    ],
)
def test_a_package_that_no_repository_has(text: str, manager: str) -> None:
    assert packages.absent(packages.answer(host(text, manager=manager, status=1)))


@pytest.mark.parametrize(
    ("system", "like", "tools", "chosen"),
    [
        ("opensuse-tumbleweed", ("opensuse", "suse"), {"dnf", "zypper"}, "zypper"),
        ("fedora", (), {"dnf", "apt-get"}, "dnf"),
        ("rocky", ("rhel", "centos", "fedora"), {"dnf"}, "dnf"),
        ("debian", (), {"dnf", "apt-get"}, "apt-get"),
        ("linuxmint", ("ubuntu", "debian"), {"zypper", "apt-get"}, "apt-get"),
        ("unheard-of", (), {"apk"}, "apk"),
        ("unheard-of", (), set(), None),
    ],
)
def test_the_systems_own_manager_is_asked(
    system: str, like: tuple[str, ...], tools: set[str], chosen: str | None
) -> None:
    seen = replace(BARE, tools=frozenset(tools), system=replace(BARE.system, distribution=system, like=like))
    found = packages.manager(seen)
    assert (found.command if found else None) == chosen
