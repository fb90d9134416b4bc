"""The host and the login that `fab -H`, or a program with a Fabric Connection, gives a task.

All of it is used, or refused with words: what was dropped could mean another machine, or another way to it.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from provision.errors import UsageError
from provision.lazy import LazyModule
from provision.spec import Host
from provision.transport import Secret

_ssh_config: Any = LazyModule("paramiko.config")

_USED: Final = frozenset({"key_filename", "timeout"})
"""Of `connect_kwargs`."""
_DEFAULTS: Final = ("allow_agent", "look_for_keys")
"""Of `connect_kwargs`, what means nothing where it is true."""
_USER_CONFIGURATION: Final = "~/.ssh/config"


@dataclass(frozen=True, kw_only=True)
class FromFabric:
    """What a Fabric Connection was given, beyond Fabric's own reading of the SSH configuration."""

    selection: str
    jump: str | None
    identities: tuple[Path, ...]
    sudo_password: Secret | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of a task that the Connection stands for, where they were not typed."""

    @property
    def words(self) -> tuple[str, ...]:
        """What `fab` has to be given for the same Connection."""
        keys = (word for key in self.identities for word in ("-i", str(key)))
        return (*keys, "-H", self.selection)

    def through(self, host: Host) -> Host:
        """The host by way of the Connection's gateway, if it has one."""
        return replace(host, jump=self.jump) if self.jump else host


def of_fabric(context: Any) -> FromFabric | None:
    """The host of `fab -H`, or of a Connection that a program gave; None for a plain context.

    Values from the SSH configuration are left out: we read more of it than Fabric does (Include, Match).
    Raises UsageError for what a Connection has and this tool cannot do.
    """
    if not getattr(context, "original_host", None):
        return None
    _refuse_unsupported(context)
    password = context.config.sudo.password
    return FromFabric(
        selection=_place(context),
        jump=_jump(context),
        identities=_keys(context),
        sudo_password=Secret(password) if password else None,
        options=dict(_options(context)),
    )


def _options(context: Any) -> Iterator[tuple[str, str]]:
    if file := _ssh_configuration(context):
        yield "ssh_config", file
    seconds = context.connect_timeout
    if seconds == int(context.ssh_config.get("connecttimeout", 0)):
        seconds = None
    if seconds := context.connect_kwargs.get("timeout") or seconds:
        yield "connect_timeout", str(seconds)


def _ssh_configuration(connection: Any) -> str | None:
    """The file to read in place of the user's own. Raises UsageError for a configuration that is in no file."""
    config, name = connection.config, connection.original_host
    # `fab -S`, and what Config() was given: none of them has a public name.
    given, own, system = config._runtime_ssh_path, config._user_ssh_path, config._system_ssh_path  # noqa: SLF001
    if given or own != _USER_CONFIGURATION:
        return str(given or own)
    read = _ssh_config.SSHConfig()
    for file in (Path(own).expanduser(), Path(system)) if config.load_ssh_configs else ():
        if file.is_file():
            with file.open(encoding="utf-8") as lines:
                read.parse(lines)
    carried = dict(connection.ssh_config)
    if carried == dict(read.lookup(name)):
        return None if config.load_ssh_configs else os.devnull
    if carried == {"hostname": name}:  # an empty one, which keeps Fabric from reading any
        return os.devnull
    raise UsageError(
        f"the SSH configuration of the Connection to {name} is in no file",
        cause="a program has made it, and ssh is asked for what the configuration means",
        hint="Write it into a file, and name that: ssh_config_path in Fabric's settings, or fab -S FILE.",
    )


def _place(connection: Any) -> str:
    """`user@host:port`, with what is not Fabric's own default and not from the SSH configuration."""
    name, configured = connection.original_host, connection.ssh_config
    user = None if connection.user == configured.get("user") else connection.user
    # Fabric puts the local user where none was given; only `fab`'s own words tell the two apart.
    if user == getpass.getuser() and f"{user}@{name}" not in _typed_hosts():
        user = None
    port = None if connection.port == int(configured.get("port", 22)) else connection.port
    place = f"[{name}]" if port and ":" in name else name
    return f"{user}@" * bool(user) + place + f":{port}" * bool(port)


def _typed_hosts() -> set[str]:
    """The hosts that `fab -H` names, without their ports."""
    if Path(sys.argv[0]).name != "fab":
        return set()
    words = [word for argument in sys.argv for word in argument.split("=")[-1].removeprefix("-H").split(",")]
    return {word.rpartition(":")[0] or word for word in words} | set(words)


def _jump(context: Any) -> str | None:
    """The gateways as ProxyJump writes them, the nearest first; None if the SSH configuration knows."""
    gateway, configured = context.gateway, context.ssh_config
    if gateway is False:  # "none at all", also where the configuration has one
        return "none" if {"proxyjump", "proxycommand"} & set(configured) else None
    if isinstance(gateway, str) and gateway == configured.get("proxycommand"):
        return None
    chain: list[Any] = []
    while gateway:
        if isinstance(gateway, str):
            raise UsageError(
                "a gateway that is a command cannot be used",
                cause=f"the Connection to {context.original_host} has the gateway {gateway!r}",
                hint="Write it as ProxyCommand into the SSH configuration.",
            )
        chain.insert(0, gateway)
        gateway = None if {"proxyjump", "proxycommand"} & set(gateway.ssh_config) else gateway.gateway
    jumps = configured.get("proxyjump", "").split(",")
    if sorted(each.original_host for each in chain) == sorted(_host_of(jump) for jump in jumps):
        return None
    for each in chain:
        _refuse_unsupported(each, keys=False)
    return ",".join(map(_bracketed, chain)) or None


def _host_of(jump: str) -> str:
    return jump.rpartition("@")[2].partition(":")[0]


def _bracketed(connection: Any) -> str:
    """A place of a list of jump hosts, where an IPv6 address always has its brackets."""
    place, name = _place(connection), connection.original_host
    return place if ":" not in name or "[" in place else place.replace(name, f"[{name}]")


def _keys(connection: Any) -> tuple[Path, ...]:
    """Beyond those of the SSH configuration."""
    keys = connection.connect_kwargs.get("key_filename") or ()
    known = connection.ssh_config.get("identityfile", [])
    given = [str(key) for key in ([keys] if isinstance(keys, str) else keys)]
    given += [str(key) for key in connection.config.get("authentication", {}).get("identities", [])]
    return tuple(Path(key) for key in dict.fromkeys(given) if key not in known)


def _refuse_unsupported(connection: Any, *, keys: bool = True) -> None:
    """`keys`: whether keys of its own can be used."""
    used = _USED if keys else _USED - {"key_filename"}
    name = connection.original_host
    given = connection.connect_kwargs
    brought = [key for key, value in given.items() if value and key not in (*used, *_DEFAULTS)]
    brought += [f"{key}=False" for key in _DEFAULTS if not given.get(key, True)]
    if not keys and not _keys(connection):
        brought = [key for key in brought if key != "key_filename"]
    if connection.config.get("authentication", {}).get("strategy_class"):
        brought.append("authentication.strategy_class")
    if connection.config.sudo.get("user") not in (None, "root"):
        brought.append(f"sudo.user={connection.config.sudo.user}")
    if brought:
        raise UsageError(
            f"the Connection to {name} has {', '.join(brought)}, which cannot be used",
            cause="a login is by keys in files or an agent, as the SSH configuration says; then sudo makes root",
            hint=(
                "Add the key to an agent (ssh-add), or say it in the SSH configuration: IdentityFile, IdentitiesOnly, "
                "IdentityAgent, ConnectTimeout, Ciphers and their like."
            ),
        )
