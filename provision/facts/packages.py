"""Which packages of each package manager have the static QEMU emulators, and what a manager would do. Pure.

Names read from the distributions' package indexes. A new distribution is a new row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from provision.facts import Facts, PackageAnswer


@dataclass(frozen=True, kw_only=True)
class PackageManager:
    """One package manager, and what QEMU is called there."""

    command: str
    names: tuple[str, ...]
    """The first of these that a repository has is installed. With `{qemu}` it is a package per architecture."""
    systems: tuple[str, ...]
    """The systems whose own manager it is, as ID and ID_LIKE of os-release(5) call them."""

    @property
    def one_for_all(self) -> bool:
        """Whether one package holds every emulator."""
        return "{qemu}" not in self.names[0]

    def packages_for(self, qemu_names: Iterable[str]) -> tuple[str, ...]:
        """The packages that hold these emulators, by the first of the names."""
        return tuple(dict.fromkeys(self.names[0].format(qemu=name) for name in qemu_names))


MANAGERS: Final = (
    PackageManager(
        command="apt-get",
        # Debian 13's qemu-user-static is a package of links to qemu-user, which is static from QEMU 9.1 on. Debian 14
        # and Ubuntu 25.10 have qemu-user alone: the other is a virtual package there (Debian bug 1079603).
        names=("qemu-user-static", "qemu-user"),
        systems=("debian", "ubuntu"),
    ),
    PackageManager(command="dnf", names=("qemu-user-static",), systems=("fedora", "rhel", "centos")),
    PackageManager(command="apk", names=("qemu-{qemu}",), systems=("alpine",)),
    PackageManager(command="pacman", names=("qemu-user-static",), systems=("arch",)),
    PackageManager(command="zypper", names=("qemu-linux-user",), systems=("opensuse", "suse", "sles")),
)

CANDIDATES: Final = (
    "/usr/bin/qemu-{qemu}-static",
    "/usr/bin/qemu-{qemu}",
    "/usr/libexec/qemu-binfmt/{qemu}-binfmt-P",
)
"""Paths that an emulator may have, in order of preference. Which of them a package has is seen once it is installed."""


def manager(facts: Facts) -> PackageManager | None:
    """The package manager of a host: the system's own, if it has several."""
    there = [row for row in MANAGERS if row.command in facts.tools]
    names = {facts.system.distribution, *facts.system.like}
    return next((row for row in there if names & {*row.systems}), there[0] if there else None)


def answer(facts: Facts) -> PackageAnswer | None:
    """What that manager would do, where it was asked: only on a host that lacks a wanted emulator."""
    chosen = manager(facts)
    return facts.package_answers.get(chosen.command) if chosen else None


def installed(facts: Facts) -> tuple[str, ...]:
    """The packages with emulators that are installed, as far as that was asked."""
    chosen = manager(facts)
    return facts.installed_packages.get(chosen.command, ()) if chosen else ()


_ABSENT: Final = re.compile(
    r"No match for argument|Unable to find a match|has no installation candidate", re.IGNORECASE
)
"""dnf and apt-get: no repository has it, by lists that are there."""
_GOES_ON: Final = re.compile(r"aborted", re.IGNORECASE)
"""dnf's last word after --assumeno: it would have gone on."""
_REASON: Final = re.compile(r"(?:E|error|Error|ERROR|Problem): *(.+)")
_REMOVED: Final = (
    re.compile(r"Remv (\S+)"),  # apt-get --simulate
    re.compile(r"\(\d+/\d+\) Purging (\S+)"),  # apk add --simulate
)


def removed(said: PackageAnswer | None) -> tuple[str, ...]:
    """The packages that the manager would remove."""
    lines = said.text.splitlines() if said else []
    found = (pattern.match(line) for line in lines for pattern in _REMOVED)
    return tuple(dict.fromkeys(match[1] for match in found if match))


def absent(said: PackageAnswer | None) -> bool:
    """Whether no repository of the host has the packages."""
    return said is not None and bool(_ABSENT.search(said.text))


def refusal(said: PackageAnswer | None) -> str:
    """Why the manager would install nothing, in its own words; empty if it would, or if that is not known."""
    if said is None or said.status in (None, 0) or _GOES_ON.search(said.text) or said.manager not in _TOLD:
        return ""
    reasons = [match[1] for line in said.text.splitlines() if (match := _REASON.match(line))]
    return " ".join(reasons)


MENDS: Final = {"pacman": "its lists are missing or old: pacman -Syu, then start again"}
"""What helps, where the manager's words do not say it. `pacman -Sy` alone would leave a system upgraded in part."""
_TOLD: Final = ("apt-get", "pacman")
"""Managers whose word counts without new lists: one fetches none, the other is not asked before it has some."""
