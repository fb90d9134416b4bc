"""The programs that tests start or compile with and that a machine may lack: what for, which package brings each.

This is the only list of them. The marker `needs("ssh-keygen")`, the rungs' requirements and `./inv test --all` all
take a program's row from here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Programs for administrators (sshd, runc) are installed where a normal user's PATH does not look.
SEARCH: Final = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, kw_only=True)
class Need:
    """One program, and the packages (several: separated by spaces) that bring it, by package manager."""

    program: str
    why: str
    apt: str
    dnf: str = ""
    apk: str = ""
    pacman: str = ""
    header: str = ""
    """Where C finds it, if it is a library and no program."""

    @property
    def met(self) -> bool:
        if self.header:
            return Path(self.header).exists()
        return shutil.which(self.program, path=SEARCH) is not None

    def packages(self, manager: str) -> tuple[str, ...]:
        """Empty if it is not known there under any name."""
        names = {"apt-get": self.apt, "dnf": self.dnf, "apk": self.apk, "pacman": self.pacman}
        return tuple(names.get(manager, "").split())


def _same(program: str, why: str, package: str = "") -> Need:
    """A program whose package has one name everywhere."""
    name = package or program
    return Need(program=program, why=why, apt=name, dnf=name, apk=name, pacman=name)


ROWS: Final = (
    _same("bash", "one of the shells that run the scripts on a host"),
    Need(
        program="busybox",
        why="the shell and the programs of small systems",
        apt="busybox-static",
        dnf="busybox",
        apk="busybox-static",
        pacman="busybox",
    ),
    Need(
        program="chromedriver",
        why="the browser that the page of health is shown in",
        apt="chromium chromium-driver fonts-dejavu-core",
        dnf="chromium chromedriver dejavu-sans-fonts",
        apk="chromium chromium-chromedriver font-dejavu",
        pacman="chromium ttf-dejavu",
    ),
    Need(
        program="cloud-init",
        why="judges what is exported for a machine's first boot",
        apt="cloud-init",
        dnf="cloud-init",
        apk="cloud-init",
        pacman="cloud-init",
    ),
    Need(
        program="coreutils",
        why="programs of uutils, which some systems have instead of GNU's",
        apt="rust-coreutils",
    ),
    _same("curl", "one of the ways in which a host downloads"),
    _same("dash", "one of the shells that run the scripts on a host"),
    Need(
        program="doas",
        why="becomes root on small systems, which have no sudo",
        apt="opendoas",
        dnf="opendoas",
        apk="doas",
        pacman="opendoas",
    ),
    Need(program="docker-registry", why="the registry that builds are pushed to", apt="docker-registry"),
    Need(
        program="dropbear",
        why="the SSH server of small systems",
        apt="dropbear-bin",
        dnf="dropbear",
        apk="dropbear",
        pacman="dropbear",
    ),
    _same("fish", "one of the shells that complete commands"),
    Need(
        program="gcc",
        why="compiles runc's part in C",
        apt="gcc libc6-dev pkg-config",
        dnf="gcc glibc-static pkgconf-pkg-config",
        apk="gcc musl-dev pkgconf",
        pacman="gcc pkgconf",
    ),
    Need(
        program="gpg",
        why="encrypts what `pass` keeps",
        apt="gnupg",
        dnf="gnupg2",
        apk="gnupg",
        pacman="gnupg",
    ),
    Need(
        program="libseccomp",
        why="is linked into runc, which starts the steps of a build",
        apt="libseccomp-dev",
        dnf="libseccomp-devel libseccomp-static",
        apk="libseccomp-dev libseccomp-static",
        header="/usr/include/seccomp.h",
    ),
    _same("mke2fs", "makes the disks of test hosts", "e2fsprogs"),
    Need(
        program="mmdebstrap", why="makes the file systems of test hosts", apt="mmdebstrap", dnf="mmdebstrap"
    ),
    _same("openssl", "makes the passwords of test users"),
    _same("pass", "keeps the logins of registries for Docker's helper"),
    Need(
        program="qemu-aarch64-static",
        why="the emulators that the kernel is given",
        apt="qemu-user-static",
        dnf="qemu-user-static",
        pacman="qemu-user-static",
    ),
    Need(
        program="qemu-system-x86_64",
        why="runs a whole machine",
        apt="qemu-system-x86",
        dnf="qemu-system-x86-core",
        apk="qemu-system-x86_64",
        pacman="qemu-system-x86",
    ),
    _same("skopeo", "looks at the images that were pushed"),
    Need(
        program="ssh",
        why="the client of OpenSSH",
        apt="openssh-client",
        dnf="openssh-clients",
        apk="openssh-client",
        pacman="openssh",
    ),
    Need(
        program="ssh-keygen",
        why="makes the keys of test hosts and users",
        apt="openssh-client",
        dnf="openssh",
        apk="openssh-keygen",
        pacman="openssh",
    ),
    Need(
        program="sshd",
        why="the server of OpenSSH",
        apt="openssh-server",
        dnf="openssh-server",
        apk="openssh-server",
        pacman="openssh",
    ),
    _same("sudo", "how a user becomes root"),
    Need(
        program="systemd-nspawn",
        why="boots test hosts",
        apt="systemd-container",
        dnf="systemd-container",
        pacman="systemd",
    ),
    Need(program="vagrant", why="the machines of the Vagrantfile", apt="vagrant"),
    _same("wget", "one of the ways in which a host downloads"),
    _same("zsh", "one of the shells that complete commands"),
    _same("zstd", "packs and unpacks layers of images"),
)
NEEDS: Final[Mapping[str, Need]] = {row.program: row for row in ROWS}

INSTALL: Final[Mapping[str, str]] = {
    # Without Recommends: binfmt-support would write to this machine's own binfmt_misc table.
    "apt-get": "apt-get install -y --no-install-recommends",
    "dnf": "dnf install -y",
    "apk": "apk add",
    "pacman": "pacman -S --needed",
}
"""The words that install packages, by package manager."""


def manager() -> str:
    """The package manager of this machine that the table knows; "" if there is none."""
    return next((name for name in INSTALL if shutil.which(name, path=SEARCH)), "")


def packages(rows: Iterable[Need], by: str) -> tuple[str, ...]:
    """What the package manager `by` calls them, each once."""
    return tuple(dict.fromkeys(name for row in rows for name in row.packages(by)))


def command(row: Need) -> str:
    """What a person types here to have the program."""
    by = manager()
    names = row.packages(by)
    return (
        " ".join((INSTALL[by], *names)) if names else f"install {row.program} (Debian's package: {row.apt})"
    )
