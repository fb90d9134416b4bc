"""`login` and `logout`: a registry's login in Docker's configuration, on this machine or on others."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass, replace
from typing import TextIO

from provision.commands import remote_login
from provision.errors import UsageError
from provision.registry.credentials import Credentials
from provision.registry.login import attempt, forget, save
from provision.registry.reference import registry_host
from provision.result import HostResult, StepResult
from provision.spec import Config, Host
from provision.transport import Secret, Transport

_LONGEST = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A login that the registry takes."""

    host: str
    user: str
    password: Secret
    notes: tuple[str, ...]


def tried(registry: str, config: Config, *, user: str, from_stdin: bool) -> Tried:
    """Asks for a login and tries it from here. Raises UsageError, ConfigError, RegistryError, RegistrySilentError."""
    host = registry_host(registry)
    name, password = _asked(host, user, sys.stdin, from_stdin=from_stdin)
    timeout = config.ssh.patience
    credentials = Credentials(user=name, password=password, source="what was given now")
    asked = attempt(host, config.spec.buildkit.registries, credentials, connect_timeout=timeout)
    notes = () if asked else (f"{host} asked for no login, so this one was not tried",)
    return Tried(host=host, user=name, password=Secret(password), notes=notes)


def login(given: Tried) -> HostResult:
    """Keeps it on this machine. Raises ConfigError, RegistryError."""
    host, name = given.host, given.user
    place = save(host, name, given.password.reveal())
    notes = [*given.notes]
    if not place.startswith("docker-credential-"):
        notes.append(
            f"the password is in {place}, not encrypted; a credential helper (credsStore) would keep it"
        )
    if os.environ.get("DOCKER_AUTH_CONFIG"):
        notes.append("DOCKER_AUTH_CONFIG is set, and beats it")
    step = StepResult(id="login", action="log in to", target=f"{host} as {name}", status="done")
    return HostResult(host=host, status="changed", steps=(step,), notes=tuple(notes))


def login_there(transport: Transport, host: Host, given: Tried) -> HostResult:
    """Keeps it on a host, this machine or another."""
    if host.local:
        return replace(login(given), host=host.name)
    result = remote_login.login(transport, given.host, given.user, given.password)
    return replace(result, notes=(*given.notes, *result.notes))


def logout_there(transport: Transport, host: Host, registry: str) -> HostResult:
    """Removes it there."""
    if host.local:
        return replace(logout(registry), host=host.name)
    return remote_login.logout(transport, registry_host(registry))


def logout(registry: str) -> HostResult:
    """Removes a login. Raises UsageError, ConfigError, RegistryLoginError."""
    host = registry_host(registry)
    if not forget(host):
        return HostResult(host=host, status="ok", notes=(f"there was no login for {host}",))
    step = StepResult(id="logout", action="log out of", target=host, status="done")
    return HostResult(host=host, status="changed", steps=(step,))


def _asked(host: str, user: str, stdin: TextIO, *, from_stdin: bool) -> tuple[str, str]:
    """User and password: from standard input, or typed on a terminal."""
    if from_stdin:
        if not user:
            raise UsageError("--password-stdin needs a user", hint="Give it with --username.")
        password = stdin.read(_LONGEST).removesuffix("\n").removesuffix("\r")
    elif not stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the password",
            hint="Give it on standard input, with --password-stdin.",
        )
    else:
        user = user or input(f"user of {host}: ").strip()
        password = getpass.getpass(f"password of {user} at {host}: ")
    if not user or ":" in user:
        raise UsageError("a user has a name, without a colon", hint="Give it with --username.")
    if not password:
        raise UsageError("the password is empty", hint="Look at what writes to standard input.")
    return user, password
