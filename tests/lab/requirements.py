"""What each rung of the ladder needs from the machine, and the command that brings it.

A rung is a list of parts. A part is a program of `tests.lab.needs`, or a condition with a function that says what is
missing, or None.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NoReturn

import pytest

from provision.buildkit.go import toolchain
from tests.lab import needs


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


def require(*parts: str) -> None:
    """Ends the test that calls it if this machine lacks one of these parts."""
    if lacking := _lacking(parts):
        refuse("; ".join(map(str, lacking)))


def missing(*names: str) -> tuple[Missing, ...]:
    """What the machine lacks for the rungs or parts of these names. Raises KeyError for a name of neither."""
    return _lacking([part for name in names for part in RUNGS.get(name, (name,))])


def _lacking(parts: Iterable[str]) -> tuple[Missing, ...]:
    found = (_ask(part) for part in dict.fromkeys(parts))
    return tuple(dict.fromkeys(lack for lack in found if lack))


@cache
def _ask(part: str) -> Missing | None:
    """Asked once a run: some checks start a process."""
    if condition := CONDITIONS.get(part):
        return condition()
    row = needs.NEEDS[part]
    return None if row.met else Missing(reason=f"{part} is not installed", command=needs.command(row))


def _root() -> Missing | None:
    if os.geteuid() == 0:
        return None
    return Missing(reason="this rung boots hosts, which needs root", command="sudo ./inv test --all")


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


CONDITIONS: Final[Mapping[str, Check]] = {
    "root": _root,
    "go": _go,
    "private-binfmt": _private_binfmt,
}
"""What is more than a program on PATH. All other parts are rows of `needs.NEEDS`."""

RUNGS: Final[Mapping[str, tuple[str, ...]]] = {
    "unit": (),
    "kernel": ("private-binfmt", "qemu-aarch64-static", "go"),
    "shells": ("dash", "bash", "busybox"),
    "ssh": ("ssh", "ssh-keygen", "sshd"),
    "builds": ("go",),
    "bare": ("root", "private-binfmt", "mmdebstrap", "mke2fs"),
    "sid": ("root", "private-binfmt", "mmdebstrap", "mke2fs"),
    "host": (
        "root",
        "systemd-nspawn",
        "mmdebstrap",
        "mke2fs",
        "private-binfmt",
        "go",
        "gcc",
        "libseccomp",
        "docker-registry",
        "skopeo",
        "ssh",
        "ssh-keygen",
    ),
    "vm": (
        "root",
        "qemu-system-x86_64",
        "mmdebstrap",
        "mke2fs",
        "go",
        "gcc",
        "libseccomp",
        "ssh",
        "ssh-keygen",
    ),
}
"""The ladder, from the bottom up: what each rung needs."""
APART: Final = ("sid",)
"""Runs only if it is named: it goes by an archive that moves."""
QUICK: Final = ("unit", "kernel", "shells", "ssh")
"""What `./inv test` runs: about five minutes on two cores. The others boot machines."""
