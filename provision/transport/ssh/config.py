"""The user's SSH configuration of a host, asked from `ssh -G`.

`ssh` resolves Include, Match and most tokens in some milliseconds. Paramiko's own parser knows none of Include,
UserKnownHostsFile, HostKeyAlias and IdentitiesOnly (paramiko#1044, #1609). What each keyword means here is in
`keywords`.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from provision.errors import UsageError
from provision.transport import SshSettings, Target
from provision.transport.ssh import openssh
from provision.transport.ssh.addresses import addresses
from provision.transport.ssh.jumps import through
from provision.transport.ssh.keywords import Values, refused
from provision.transport.ssh.tokens import expand, home, in_jumps, tokens, with_home, with_variables

_ASK_SECONDS: Final = 20
"""`Match exec` runs the user's own programs, so `ssh -G` can take a while."""
_CONNECT_SECONDS: Final = 10.0
"""ConnectTimeout where neither the user nor the SSH configuration gives one: here every wait has an end."""
_NOBODY: Final = "provision-nobody"
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
    own = pwd.getpwuid(os.getuid()).pw_name
    if ssh.user and not target.user and values.get("user") == (own,) and not _names_user(target, ssh):
        values["user"] = (ssh.user,)
    return endpoint(target, ssh, values, depth)


def said(target: Target, ssh: SshSettings) -> dict[str, tuple[str, ...]]:
    """What `ssh -G` prints of a target. Raises UsageError for a name or a configuration that ssh does not accept."""
    if not re.fullmatch(r"[^\s\0-][^\s\0]*", target.host) or (target.user or "").startswith("-"):
        raise UsageError(
            f"{target.name}: {target.host!r} is no host name", hint="Give a name or an address."
        )
    return dict(_ask_ssh(target.name, _words(target, ssh), _stamp(ssh)))


def means_something(name: str, ssh: SshSettings) -> bool:
    """Whether the configuration has an address or a way for a name, or it resolves. Raises UsageError as `said`.

    What else is wrong with a host's configuration is that host's failure.
    """
    values = said(Target(name=name, host=name), ssh)
    # Behind a jump host or a command, the name is for that one to resolve.
    ways = (values.get(keyword, ("none",))[0] for keyword in ("proxyjump", "proxycommand"))
    if values["hostname"][0].lower() != name.lower() or any(way != "none" for way in ways):
        return True
    seconds = ssh.connect_timeout or float(values.get("connecttimeout", ("0",))[0].replace("none", "0"))
    try:
        # A resolver that does not answer in time has not said no.
        addresses(name, 22, values.get("addressfamily", ("any",))[0], seconds or _CONNECT_SECONDS)
    except OSError:
        return False
    return True


def _words(target: Target, ssh: SshSettings, *more: str) -> tuple[str, ...]:
    """`ssh` with what of a target has a say in its configuration, and more options."""
    return (
        "ssh",
        *(("-F", str(ssh.config)) if ssh.config else ()),
        *more,
        *(("-p", str(target.port)) if target.port else ()),
        *(("-l", target.user) if target.user else ()),
        "--",
        target.host,
    )


def _by_hand(target: Target, ssh: SshSettings, values: Values) -> tuple[str, ...]:
    """How a person would call `ssh` to get there as this tool does."""
    return _words(
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
    user = target.user or one("user") or getpass.getuser()
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
    seconds = ssh.connect_timeout or float(one("connecttimeout") or 0) or _CONNECT_SECONDS
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


def _stamp(ssh: SshSettings) -> int:
    """Changes with the configuration file."""
    with suppress(OSError):
        return (ssh.config or home() / ".ssh/config").stat().st_mtime_ns
    return 0


@cache
def _ask_ssh(name: str, command: tuple[str, ...], _stamp: int) -> Values:
    """Once for each host of a run: `Match exec` may be slow."""
    try:
        done = openssh.ask((command[0], "-G", "-v", *command[1:]), _ASK_SECONDS)
    except openssh.EndlessError as error:
        started = re.findall(r"Executing command: '(.*)'", error.err)
        raise UsageError(
            f"{name}: the SSH configuration was not read {error.why}",
            cause=f"A `Match exec` of it does not end: {started[-1]}"
            if started
            else "A program of it does not end.",
            hint=f"See where it stops: {shlex.join((command[0], '-G', '-vv', *command[1:]))}",
        ) from None
    if done.status:
        told = [line for line in done.err.splitlines() if not line.startswith(("debug", "OpenSSH_"))]
        raise UsageError(
            f"{name}: the SSH configuration cannot be read",
            cause="\n".join(told).strip(),
            hint=f"Fix what this reports: {shlex.join((command[0], '-G', *command[1:]))}",
        )
    values: dict[str, tuple[str, ...]] = {}
    for line in done.out.splitlines():
        keyword, _, value = line.partition(" ")
        values[keyword.lower()] = (*values.get(keyword.lower(), ()), value)
    return values


def _names_user(target: Target, ssh: SshSettings) -> bool:
    """Whether the configuration itself names the user that is our own: then another one at its end changes nothing."""
    files = [str(ssh.config)] if ssh.config else ["~/.ssh/config", "/etc/ssh/ssh_config"]
    with tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8") as wrapper:
        wrapper.write("".join(f'Include "{file}"\n' for file in files) + f"Match all\n User {_NOBODY}\n")
        wrapper.flush()
        command = _words(target, SshSettings(config=Path(wrapper.name)))
        return _ask_ssh(target.name, command, _stamp(ssh)).get("user") != (_NOBODY,)
