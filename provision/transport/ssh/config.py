"""The user's SSH configuration of a host, asked from `ssh -G`.

`ssh` resolves Include, Match, tokens and the known_hosts files in some milliseconds. Paramiko's own parser knows none
of Include, UserKnownHostsFile, HostKeyAlias and IdentitiesOnly (paramiko#1044, #1609): it is the fallback where there
is no `ssh`.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provision.errors import UsageError
from provision.lazy import LazyModule
from provision.transport import SshSettings, Target

_paramiko_config: Any = LazyModule("paramiko.config")

_ASK_SECONDS: Final = 20
"""`Match exec` runs the user's own programs, so `ssh -G` can take a while."""

Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A host, and all that is needed to connect to it and log in."""

    host: str
    port: int
    user: str
    key_name: str
    """Its name in known_hosts: HostKeyAlias, or `host`, or `[host]:port`."""
    known_hosts: tuple[Path, ...]
    """The files that are read; a new key goes to the first."""
    identities: tuple[Path, ...]
    certificates: tuple[Path, ...]
    identities_only: bool
    agent: Path | None
    """The agent's socket."""
    jumps: tuple[str, ...]
    proxy_command: str | None
    connect_timeout: float


def resolve(target: Target, ssh: SshSettings) -> Endpoint:
    """The endpoint of a target. Raises UsageError for a name or a configuration that ssh does not accept."""
    if not re.fullmatch(r"[^\s\0-][^\s\0]*", target.host) or (target.user or "").startswith("-"):
        raise UsageError(
            f"{target.name}: {target.host!r} is no host name", hint="Give a name or an address."
        )
    program = shutil.which("ssh")
    return endpoint(target, ssh, _ask_ssh(program, target, ssh) if program else _ask_paramiko(target, ssh))


def endpoint(target: Target, ssh: SshSettings, values: Values) -> Endpoint:
    """The endpoint from the lines of `ssh -G`, by lower-case keyword. Reads nothing else but the environment."""

    def one(keyword: str) -> str | None:
        found = values.get(keyword, ("none",))[0].strip()
        return None if found.lower() == "none" else found

    host, port = one("hostname") or target.host, target.port or int(one("port") or 22)
    user = target.user or one("user") or getpass.getuser()
    tokens = {"h": host, "p": str(port), "r": user, "n": target.host, "d": str(Path.home()), "%": "%"}

    def path(text: str) -> Path:
        return Path(_expand(text, tokens | {"u": getpass.getuser()})).expanduser()

    def files(*keywords: str) -> list[Path]:
        return [path(word) for key in keywords for text in values.get(key, ()) for word in text.split()]

    jump = one("proxyjump") if target.jump is None else target.jump
    command = one("proxycommand")
    known = [ssh.known_hosts] if ssh.known_hosts else files("userknownhostsfile", "globalknownhostsfile")
    return Endpoint(
        host=host,
        port=port,
        user=user,
        key_name=(one("hostkeyalias") or (host if port == 22 else f"[{host}]:{port}")).lower(),
        known_hosts=tuple(file for file in known if str(file) != "none") or (path("~/.ssh/known_hosts"),),
        identities=(*target.identity_files, *(path(text) for text in _lines(values, "identityfile"))),
        certificates=tuple(path(text) for text in _lines(values, "certificatefile")),
        identities_only=one("identitiesonly") == "yes",
        agent=path(agent) if (agent := _agent(values)) else None,
        jumps=tuple(jump.split(",")) if jump and jump != "none" else (),
        proxy_command=_expand(command, tokens) if command and not jump else None,
        # ssh prints 0 where none is set; here every wait has an end.
        connect_timeout=float(one("connecttimeout") or 0) or ssh.connect_timeout,
    )


def hop(text: str, *, name: str, jump: str | None) -> Target:
    """A jump host as ProxyJump writes it: `[user@]host[:port]`, IPv6 in brackets, or an ssh:// URI."""
    match = re.fullmatch(r"(?:ssh://)?(?:([^@]+)@)?(\[[^]]+\]|[^:]+)(?::(\d+))?/?", text.strip())
    if not match:
        raise UsageError(f"{text!r} is no jump host", hint="Write it as [user@]host[:port].")
    user, host, port = match.groups()
    return Target(name=name, host=host.strip("[]"), user=user, port=int(port) if port else None, jump=jump)


def _lines(values: Values, keyword: str) -> Sequence[str]:
    return [text for text in values.get(keyword, ()) if text.lower() != "none"]


def _agent(values: Values) -> str | None:
    """ssh_config(5), IdentityAgent: a path, `none`, SSH_AUTH_SOCK, or a variable after a dollar."""
    text = values.get("identityagent", ("SSH_AUTH_SOCK",))[0]
    if text == "SSH_AUTH_SOCK" or text.startswith("$"):
        text = os.environ.get(text.strip("${}"), "none")
    return None if text in ("none", "") else text


def _expand(text: str, tokens: Mapping[str, str]) -> str:
    """ssh_config(5), TOKENS. An unknown token stays as it is."""
    return re.sub("%(.)", lambda found: tokens.get(found[1], found[0]), text)


def _ask_ssh(program: str, target: Target, ssh: SshSettings) -> Values:
    options = [
        *(("-F", str(ssh.config)) if ssh.config else ()),
        *(("-p", str(target.port)) if target.port else ()),
        *(("-l", target.user) if target.user else ()),
    ]
    command = [program, "-G", *options, "--", target.host]
    try:
        asked = subprocess.run(
            command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=_ASK_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{target.name}: the SSH configuration was not read within {_ASK_SECONDS} s",
            cause="A `Match exec` of it does not end.",
        ) from None
    if asked.returncode:
        raise UsageError(
            f"{target.name}: the SSH configuration cannot be read",
            cause=asked.stderr.decode(errors="replace").strip(),
            hint=f"Fix what this reports: {' '.join(command)}",
        )
    values: dict[str, tuple[str, ...]] = {}
    for line in asked.stdout.decode(errors="surrogateescape").splitlines():
        keyword, _, value = line.partition(" ")
        values[keyword] = (*values.get(keyword, ()), value)
    # Where the configuration names no user, ssh prints our own name. So only another name is from the configuration.
    if ssh.user and values.get("user") == (getpass.getuser(),):
        values["user"] = (ssh.user,)
    return values


def _ask_paramiko(target: Target, ssh: SshSettings) -> Values:
    file = ssh.config or Path("~/.ssh/config").expanduser()
    if not file.is_file():
        return {"user": (ssh.user,)} if ssh.user else {}
    found = _paramiko_config.SSHConfig.from_path(str(file)).lookup(target.host)
    values = {key: tuple(value) if isinstance(value, list) else (value,) for key, value in found.items()}
    return ({"user": (ssh.user,)} if ssh.user else {}) | values
