"""Fixtures of the ssh rung: real OpenSSH servers on loopback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from provision.transport import SshSettings, Target
from provision.transport.ssh import SSH
from provision.transport.ssh.new_keys import NewKeys
from tests.lab.requirements import refuse, require
from tests.lab.sshd import Dropbear, Sshd

Serve = Callable[..., Sshd]


def well(target: Target, settings: SshSettings, new_keys: NewKeys | None = None) -> bool:
    """Whether a script runs at the target. Raises what the login raises."""
    with SSH(target, settings, new_keys=new_keys) as host:
        return host.ask("echo well", timeout=10).records == ("well",)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(path=…, MaxStartups="1")` starts a server; all end with the test."""
    with ExitStack() as stack:

        def start(
            *, users: bool = False, path: Path | None = None, kind: type[Sshd] = Sshd, **options: str
        ) -> Sshd:
            if users and os.geteuid() != 0:
                refuse("throw-away users need root; enable with: sudo ./inv test --all")
            if users:
                require("sudo", "openssl")
            folder = tmp_path / f"sshd{len(list(tmp_path.glob('sshd*')))}"
            folder.mkdir()
            return stack.enter_context(kind(folder=folder, options=options, users=users, path=path))

        yield start


@pytest.fixture
def sshd(serve: Serve) -> Sshd:
    """One server that lets the user who runs the tests in by key, and is known."""
    return serve()


@pytest.fixture
def dropbear(serve: Serve) -> Sshd:
    """The other SSH server, with the throw-away users, and known."""
    require("dropbear")
    return serve(users=True, kind=Dropbear)
