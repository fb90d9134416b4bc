"""What each rung of the ladder needs from the machine, and the command that brings it.

A part is a name ("go", "systemd-nspawn") with a function that says what is missing, or None. A rung is a
list of parts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Final, NoReturn

import pytest

from provision.buildkit.go import toolchain

# Programs for administrators (sshd, runc) are installed where a normal user's PATH does not look.
SEARCH: Final = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, kw_only=True)
class Missing:
    """One thing this machine lacks, and the command that would enable it."""

    reason: str
    command: str

    def __str__(self) -> str:
        return f"{self.reason}; enable with: {self.command}"


Check = Callable[[], Missing | None]


def refuse(why: str) -> NoReturn:
    """Ends a test that cannot run here: a failure in CI (`CI=true`), a skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def missing(*names: str) -> tuple[Missing, ...]:
    """What is lacking for the rungs or parts of these names. Raises KeyError for a name of neither."""
    parts = dict.fromkeys(part for name in names for part in RUNGS.get(name, (name,)))
    found = (_ask(part) for part in parts)
    return tuple(dict.fromkeys(lack for lack in found if lack))


@cache
def _ask(part: str) -> Missing | None:
    """Asked once a run: some checks start a process."""
    return PARTS[part]()


def _program(name: str, package: str) -> Missing | None:
    if shutil.which(name, path=SEARCH):
        return None
    return Missing(reason=f"{name} is not installed", command=f"apt-get install -y {package}")


def _root() -> Missing | None:
    if os.geteuid() == 0:
        return None
    return Missing(reason="this rung boots hosts, which needs root", command="sudo ./inv test")


def _go() -> Missing | None:
    """A Go that builds BuildKit: one that fetches the Go that BuildKit asks for."""
    if toolchain.find().program is not None:
        return None
    return Missing(
        reason="there is no Go 1.21 or newer", command="install Go from https://go.dev/dl/ (1.21 or newer)"
    )


def _private_binfmt() -> Missing | None:
    """Since Linux 6.7 a user namespace can mount a binfmt_misc of its own (kernel commit 21ca59b365c0)."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc"]
    asked = subprocess.run([*unshare, *mount], check=False, capture_output=True, text=True)
    if asked.returncode == 0:
        return None
    return Missing(
        reason=f"no binfmt_misc in a private user namespace ({asked.stderr.strip()})",
        command="a kernel from 6.7 on with binfmt_misc (modprobe binfmt_misc) and user namespaces allowed "
        "(sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)",
    )


PARTS: Final[Mapping[str, Check]] = {
    "root": _root,
    "go": _go,
    "private-binfmt": _private_binfmt,
    "qemu-user": partial(_program, "qemu-aarch64-static", "qemu-user-static"),
    "systemd-nspawn": partial(_program, "systemd-nspawn", "systemd-container"),
    "mmdebstrap": partial(_program, "mmdebstrap", "mmdebstrap"),
    "docker-registry": partial(_program, "docker-registry", "docker-registry"),
    "skopeo": partial(_program, "skopeo", "skopeo"),
    "runc": partial(_program, "runc", "runc"),
    "ssh": partial(_program, "ssh", "openssh-client"),
    "sshd": partial(_program, "sshd", "openssh-server"),
    "dropbear": partial(_program, "dropbear", "dropbear-bin"),
    "sudo": partial(_program, "sudo", "sudo"),
    "busybox": partial(_program, "busybox", "busybox-static"),
    "dash": partial(_program, "dash", "dash"),
    "bash": partial(_program, "bash", "bash"),
    "qemu-system": partial(_program, "qemu-system-x86_64", "qemu-system-x86"),
    "mke2fs": partial(_program, "mke2fs", "e2fsprogs"),
}

RUNGS: Final[Mapping[str, tuple[str, ...]]] = {
    "unit": (),
    "kernel": ("private-binfmt", "qemu-user", "go"),
    "shells": ("dash", "bash", "busybox"),
    "ssh": ("ssh", "sshd"),
    "builds": ("go",),
    "host": (
        "root",
        "systemd-nspawn",
        "mmdebstrap",
        "mke2fs",
        "private-binfmt",
        "go",
        "runc",
        "docker-registry",
        "skopeo",
        "ssh",
    ),
    "vm": ("root", "qemu-system", "mmdebstrap", "mke2fs", "go", "runc", "ssh"),
}
