"""Whether an endpoint leads to a daemon, tried as buildx goes: by the same `ssh`, as the same user, unattended."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provision import paths
from provision.builder.way import LOCAL, destination
from provision.buildkit.workers import Workers, parse_workers
from provision.errors import HostError, ProvisionError, UnreachableError, UsageError
from provision.fix import Fix, run

_PATIENCE: Final = 60.0
"""Seconds for a connection and one answer; `ssh` has its own, shorter limits."""
_USERS: Final = "\nMatch all\nInclude ~/.ssh/config\nInclude /etc/ssh/ssh_config\n"
"""What `ssh` reads after our sections, once they are in the user's configuration."""
_REMOTE: Final = "date +%s; exec buildctl debug workers --format '{{json .}}'"
"""For the login's shell, which may be any."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A daemon's answer at its endpoint."""

    workers: Workers | None
    """None where the daemon let us in, and did not tell them."""
    skew: float | None = None
    """Seconds by which the host's clock is ahead of this machine's; None if that is not known."""
    certificate: str = ""
    """The daemon's, in PEM; none over SSH."""


def reach(host: str, endpoint: str, ssh_text: str = "") -> Reached:
    """The daemon's answer at `unix://…` or `ssh://…`. `ssh_text` are sections that the user's configuration lacks.

    Raises UnreachableError, HostError; UsageError where there is no `ssh`.
    """
    if endpoint == LOCAL:
        return Reached(workers=_answer(host, _local(host)))
    if shutil.which("ssh") is None:
        raise UsageError(
            "there is no ssh on this machine, and buildx reaches its nodes by it",
            hint="Install OpenSSH's client.",
        )
    begun = time.time()
    if not ssh_text:
        done = _ssh(host, (), endpoint)
    else:
        with tempfile.NamedTemporaryFile("w", prefix="provision-ssh-", encoding="utf-8") as file:
            file.write(ssh_text + _USERS)
            file.flush()
            done = _ssh(host, ("-F", file.name), endpoint)
    if done.returncode:
        raise _failure(host, endpoint, done.returncode, done.stderr)
    clock, _, answer = done.stdout.partition("\n")
    skew = float(clock) - begun if clock.isdigit() else None
    return Reached(workers=_answer(host, answer), skew=skew)


def _ssh(host: str, options: Sequence[str], endpoint: str) -> subprocess.CompletedProcess[str]:
    # BatchMode: the ssh of buildx has no terminal to ask on either.
    command = ["ssh", *options, "-o", "BatchMode=yes", *destination(endpoint), _REMOTE]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise UnreachableError(
            f"{host}: ssh gave no answer within {_PATIENCE:g} s", hint=f"Try it by hand: {' '.join(command)}"
        ) from None


def _local(host: str) -> str:
    client = paths.CLIENT if Path(paths.CLIENT).exists() else shutil.which("buildctl")
    if client is None or not os.access(paths.SOCKET, os.R_OK | os.W_OK):
        raise HostError(
            f"{host}: this user cannot use buildkitd on this machine",
            cause=f"{paths.SOCKET} is not there, or is not for this user",
            hint="Run provision here, and be in the daemon's group: a new member has to log in again.",
        )
    command = [str(client), "--addr", LOCAL, "--timeout", "10", "debug", "workers", "--format", "{{json .}}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostError(f"{host}: buildkitd does not answer", cause=done.stderr.strip()[-300:])
    return done.stdout


def _answer(host: str, text: str) -> Workers:
    try:
        return parse_workers(text)
    except HostError as error:
        raise HostError(f"{host}: {error.message}", cause=error.cause, hint=error.hint) from error


def _failure(host: str, endpoint: str, status: int, words: str) -> ProvisionError:
    """What the exit status and the words of `ssh` or `buildctl` mean."""
    last = next((line for line in reversed(words.splitlines()) if line.strip()), "it said nothing").strip()
    by_hand = " ".join(("ssh", *destination(endpoint)))
    if status == 255:
        return UnreachableError(
            f"{host}: ssh does not get there as this tool does",
            cause=last,
            hint=f"{by_hand} true must work, without a question.",
        )
    if status == 127 or "not found" in last:
        return HostError(
            f"{host}: a login without a terminal does not find buildctl",
            cause=f"{last}; its PATH lacks {paths.BUILDCTL.rpartition('/')[0]}",
            fix=Fix.by(run("ln", "-s", paths.CLIENT, "/usr/bin/buildctl"), words="there PATH always looks"),
        )
    if "permission denied" in words.lower():
        return HostError(
            f"{host}: the user who logs in there may not use buildkitd",
            cause=last,
            hint='Put that user into the daemon\'s group: [buildkit] users = ["…"], then provision.',
        )
    return HostError(
        f"{host}: buildkitd does not answer",
        cause=last,
        hint=f"Try it by hand: {by_hand} buildctl debug workers",
    )
