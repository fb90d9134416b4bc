"""What `ssh -G` says of a host.

`ssh` resolves Include, Match and most tokens in some milliseconds. Paramiko's own parser knows none of Include,
UserKnownHostsFile, HostKeyAlias and IdentitiesOnly (paramiko#1044, #1609).
"""

from __future__ import annotations

import re
import shlex
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from provision.errors import UsageError
from provision.transport import SshSettings, Target
from provision.transport.ssh import openssh
from provision.transport.ssh.addresses import addresses
from provision.transport.ssh.keywords import Values
from provision.transport.ssh.tokens import home

CONNECT_SECONDS: Final = 10.0
"""ConnectTimeout where neither the user nor the SSH configuration gives one: here every wait has an end."""
_ASK_SECONDS: Final = 20
"""`Match exec` runs the user's own programs, so `ssh -G` can take a while."""
_NOBODY: Final = "provision-nobody"


def said(target: Target, ssh: SshSettings) -> dict[str, tuple[str, ...]]:
    """What `ssh -G` prints of a target. Raises UsageError for a name or a configuration that ssh does not accept."""
    if not re.fullmatch(r"[^\s\0-][^\s\0]*", target.host) or (target.user or "").startswith("-"):
        raise UsageError(
            f"{target.name}: {target.host!r} is no host name", hint="Give a name or an address."
        )
    return dict(_ask_ssh(target.name, words(target, ssh), _stamp(ssh)))


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
        addresses(name, 22, values.get("addressfamily", ("any",))[0], seconds or CONNECT_SECONDS)
    except OSError:
        return False
    return True


def words(target: Target, ssh: SshSettings, *more: str) -> tuple[str, ...]:
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


def names_user(target: Target, ssh: SshSettings) -> bool:
    """Whether the configuration itself names the user that is our own: then another one at its end changes nothing."""
    files = [str(ssh.config)] if ssh.config else ["~/.ssh/config", "/etc/ssh/ssh_config"]
    with tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8") as wrapper:
        wrapper.write("".join(f'Include "{file}"\n' for file in files) + f"Match all\n User {_NOBODY}\n")
        wrapper.flush()
        command = words(target, SshSettings(config=Path(wrapper.name)))
        return _ask_ssh(target.name, command, _stamp(ssh)).get("user") != (_NOBODY,)
