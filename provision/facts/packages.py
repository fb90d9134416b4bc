"""Which packages of each package manager have the static QEMU emulators, and under which path.

Names read from the distributions' package indexes. A new distribution is a new row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class PackageManager:
    """One package manager, and what QEMU is called there."""

    command: str
    packages: tuple[str, ...]
    """A name with `{qemu}` is a package per architecture."""
    interpreter: str
    """The path of an emulator, by its QEMU name."""

    @property
    def one_for_all(self) -> bool:
        """Whether one package holds every emulator."""
        return not any("{qemu}" in package for package in self.packages)

    def packages_for(self, qemu_names: Iterable[str]) -> tuple[str, ...]:
        wanted = [package.format(qemu=name) for name in qemu_names for package in self.packages]
        return tuple(dict.fromkeys(wanted))


MANAGERS: Final = (
    PackageManager(
        command="apt-get",
        # From Debian 13 on this is a package of links to qemu-user, which is static there.
        packages=("qemu-user-static",),
        interpreter="/usr/bin/qemu-{qemu}-static",
    ),
    PackageManager(command="dnf", packages=("qemu-user-static",), interpreter="/usr/bin/qemu-{qemu}-static"),
    PackageManager(command="apk", packages=("qemu-{qemu}",), interpreter="/usr/bin/qemu-{qemu}"),
    PackageManager(
        command="pacman", packages=("qemu-user-static",), interpreter="/usr/bin/qemu-{qemu}-static"
    ),
    PackageManager(command="zypper", packages=("qemu-linux-user",), interpreter="/usr/bin/qemu-{qemu}"),
)

CANDIDATES: Final = (
    "/usr/bin/qemu-{qemu}-static",
    "/usr/bin/qemu-{qemu}",
    "/usr/libexec/qemu-binfmt/{qemu}-binfmt-P",
)
"""Paths that an emulator may already have, in order of preference."""


def manager(tools: frozenset[str]) -> PackageManager | None:
    """The package manager of a host with these commands."""
    return next((row for row in MANAGERS if row.command in tools), None)
