"""What a host's SSH configuration (`asked`) means for the connection to it. `keywords` has a row for each keyword."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provision.errors import UsageError
from provision.transport import SshSettings, Target
from provision.transport.ssh.asked import CONNECT_SECONDS, names_user, said, words
from provision.transport.ssh.jumps import through
from provision.transport.ssh.keywords import Values, refused
from provision.transport.ssh.tokens import (
    expand,
    home,
    in_jumps,
    own_user,
    tokens,
    with_home,
    with_variables,
)

_ACCEPT: Final = ("accept-new", "no", "off", "false")
_ALGORITHMS: Final = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms")


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
    connect_timeout: float
    by_hand: tuple[str, ...] = ()
    """The words of `ssh` by which a person would get there."""
    proxy: tuple[str, ...] = ()
    """The program that makes the connection; none for TCP."""
    connections: int = 1
    """Times that TCP is tried (ConnectionAttempts)."""
    jumps: tuple[str, ...] = ()
    """The jump hosts that `proxy` goes through."""
    proxy_command: str | None = None
    """The user's own command that `proxy` runs, with its tokens replaced."""
    passes_socket: bool = False
    """`proxy` makes the connection and hands it over (ProxyUseFdpass)."""
    family: str = "any"
    bind: str | None = None
    """The address that connections come from."""
    interface: str | None = None
    identities: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: Path | None = None
    """The agent's socket."""
    accept_new: bool = False
    """Unknown host keys are to be accepted, by the SSH configuration."""
    hash_names: bool = False
    revoked: tuple[Path, ...] = ()
    """Files of keys that must not be accepted."""
    vouching: Mapping[str, str] = field(default_factory=dict)
    """From where else `ssh` may know the host's key: a command, or DNS; by the keyword, as it was written."""
    smallest_rsa: int = 0
    algorithms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the keyword, the algorithms that are allowed, the best first."""
    unsupported: Mapping[str, str] = field(default_factory=dict)
    """Settings by which `ssh` might log in and this tool does not, with words."""


def resolve(target: Target, ssh: SshSettings, depth: int = 0) -> Endpoint:
    """The endpoint of a target. `depth`: of how many hosts it is the jump host of a jump host.

    Raises UsageError for a name or a configuration that ssh does not accept, or that is not supported.
    """
    values = said(target, ssh)
    # Where the configuration names no user, ssh prints our own name.
    own = own_user()
    if ssh.user and not target.user and values.get("user") == (own,) and not names_user(target, ssh):
        values["user"] = (ssh.user,)
    return endpoint(target, ssh, values, depth)


def _by_hand(target: Target, ssh: SshSettings, values: Values) -> tuple[str, ...]:
    """How a person would call `ssh` to get there as this tool does."""
    return words(
        target,
        ssh,
        *(("-o", f'UserKnownHostsFile="{ssh.known_hosts}"') if ssh.known_hosts else ()),
        *(word for file in target.identity_files for word in ("-i", str(file))),
        *(("-J", target.jump) if target.jump else ()),
        # With one, ssh takes no program to run.
        *(("-o", "RemoteCommand=none") if "remotecommand" in values else ()),
    )


def endpoint(target: Target, ssh: SshSettings, values: Values, depth: int = 0) -> Endpoint:
    """The endpoint from the lines of `ssh -G`, by lower-case keyword. Raises UsageError."""
    for setting, why in refused(values, at_once=True):
        raise UsageError(
            f"{target.name}: {setting} is not supported", cause=f"In the SSH configuration: {why}."
        )

    def one(keyword: str) -> str | None:
        found = values.get(keyword, ("none",))[0].strip()
        return None if found.lower() == "none" else found

    host, port = one("hostname") or target.host, target.port or int(one("port") or 22)
    user = target.user or one("user") or own_user()
    jump = one("proxyjump") if target.jump is None else target.jump
    jump = None if jump == "none" else jump
    alias = one("hostkeyalias")
    known = tokens(host=host, port=port, user=user, name=target.host, alias=alias, jump=jump)
    jumps = tuple(in_jumps(jump, known).split(",")) if jump else ()

    # The other files are printed with their tokens replaced (ssh.c).
    def paths(keyword: str) -> tuple[Path, ...]:
        return tuple(
            with_home(target.name, with_variables(target.name, expand(target.name, text, known)))
            for text in values.get(keyword, ())
            if text.lower() != "none"
        )

    command = expand(target.name, text, known) if (text := one("proxycommand")) and not jumps else None
    if jumps:
        proxy = through(
            target.name, jumps, ssh, f"[{host}]:{port}", lambda hop: resolve(hop, ssh, depth + 1), depth
        )
    elif command:
        shell = os.environ.get("SHELL") or "/bin/sh"
        proxy = (shell, "-c", f"exec {command}")
    else:
        proxy = ()
    seconds = ssh.connect_timeout or float(one("connecttimeout") or 0) or CONNECT_SECONDS
    return Endpoint(
        host=host,
        port=port,
        user=user,
        key_name=(alias or (host if port == 22 else f"[{host}]:{port}")).lower(),
        known_hosts=(ssh.known_hosts,) if ssh.known_hosts else tuple(_known_hosts(values)),
        connect_timeout=seconds,
        by_hand=_by_hand(target, ssh, values),
        proxy=proxy,
        jumps=jumps,
        proxy_command=command,
        connections=int(one("connectionattempts") or 1),
        passes_socket=command is not None and one("proxyusefdpass") == "yes",
        family=one("addressfamily") or "any",
        bind=one("bindaddress"),
        interface=one("bindinterface"),
        identities=(
            *target.identity_files,
            *(each for each in paths("identityfile") if each not in target.identity_files),
        ),
        certificates=paths("certificatefile"),
        identities_only=one("identitiesonly") == "yes",
        agent=with_home(target.name, agent) if (agent := _agent(values)) else None,
        accept_new=(one("stricthostkeychecking") or "ask") in _ACCEPT,
        hash_names=one("hashknownhosts") == "yes",
        revoked=tuple(with_home(target.name, text) for text in (one("revokedhostkeys"),) if text),
        vouching=dict(_vouching(one)),
        smallest_rsa=int(one("requiredrsasize") or 0),
        algorithms={key: tuple((one(key) or "").split(",")) for key in _ALGORITHMS if one(key)},
        unsupported=dict((*refused(values, at_once=False), *_shared(one))),
    )


def _vouching(one: Callable[[str], str | None]) -> Iterator[tuple[str, str]]:
    if command := one("knownhostscommand"):
        yield "KnownHostsCommand", command
    if one("verifyhostkeydns") in ("yes", "true"):
        yield "VerifyHostKeyDNS", "yes"


def _shared(one: Callable[[str], str | None]) -> Iterator[tuple[str, str]]:
    """A connection that a person has opened, perhaps by a way that this tool does not know."""
    path = one("controlpath")
    if path and Path(path).is_socket():
        yield f"ControlPath {path}", "the connection that is open there is not shared"


def _known_hosts(values: Values) -> Iterator[Path]:
    """The user's files come first, and new keys go to the first of all: nowhere, where the user has none."""
    for text in values.get("userknownhostsfile", (str(home() / ".ssh/known_hosts"),)):
        yield from (Path(os.devnull if word == "none" else word) for word in _split(text))
    for text in values.get("globalknownhostsfile", ()):
        yield from (Path(word) for word in _split(text) if word != "none")


def _split(text: str) -> list[str]:
    """Files in one line of `ssh -G`, which does not show where a name with blanks ends: each next one is absolute."""
    files: list[str] = []
    for word in text.split(" "):
        if files and word != "none" and not word.startswith(("/", "~", "%", "$")):
            files[-1] += f" {word}"
        elif word:
            files.append(word)
    return files


def _agent(values: Values) -> str | None:
    """ssh_config(5), IdentityAgent: a path, `none`, SSH_AUTH_SOCK, or a variable after a dollar."""
    text = values.get("identityagent", ("SSH_AUTH_SOCK",))[0]
    if text == "SSH_AUTH_SOCK" or text.startswith("$"):
        text = os.environ.get(text.strip("${}"), "none")
    return None if text in ("none", "") else text
