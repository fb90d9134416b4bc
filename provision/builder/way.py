"""The endpoint of a host for buildx, and what the user's `ssh` has to know so that it goes there as this tool does.

buildx starts `ssh -l USER -p PORT -- HOST buildctl dial-stdio` from PATH (client/connhelper/ssh of BuildKit) and can
be given no other option. Where that reaches the host as this tool does, it is all. Where [ssh] or [hosts] have more to
say (another configuration, another known_hosts, a jump host), HOST is an alias: a section in a file of ours, which one
line of the user's own SSH configuration includes. The section has every value as `ssh -G` resolved it, and each jump
host has an alias of its own. What it says comes first, and what it does not say could be said by a `Host *` of the
user: so it also says what is not to be done.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from provision import paths
from provision.errors import UsageError
from provision.transport import MOST_JUMPS, SshSettings, Target
from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.jumps import parsed
from provision.transport.ssh.tokens import own_user

Resolve = Callable[[Target, SshSettings], Endpoint]

LOCAL: Final = f"unix://{paths.SOCKET}"
"""The endpoint of this machine."""
_IN_URL: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
"""What Go takes for the host of a URL; the second is IPv6."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A `Host` of an SSH configuration."""

    alias: str
    end: Endpoint
    jump: str | None = None
    """The alias of the last host before it."""
    plain: Endpoint | None = None
    """The same host without any configuration. What is as there is not written: another `ssh` may not know it."""

    @property
    def patience(self) -> int:
        """ConnectTimeout, in whole seconds."""
        return max(round(self.end.connect_timeout), 1)

    @property
    def agent(self) -> str | None:
        """IdentityAgent; None where ssh does by itself what this tool did, which is to take SSH_AUTH_SOCK."""
        own = os.environ.get("SSH_AUTH_SOCK")
        if self.end.agent is None:
            return "none" if own else None
        return None if str(self.end.agent) == own else str(self.end.agent)

    @property
    def own(self) -> Mapping[str, str]:
        """What is not as `ssh` has it by itself, by the keyword: each a word that OpenSSH knows, or a number."""
        end, plain = self.end, self.plain or self.end
        texts = {
            **({"AddressFamily": end.family} if end.family != plain.family else {}),
            **({"RequiredRSASize": str(end.smallest_rsa)} if end.smallest_rsa != plain.smallest_rsa else {}),
            **({"ProxyUseFdpass": "yes"} if end.passes_socket else {}),
            **({"ConnectionAttempts": str(end.connections)} if end.connections != plain.connections else {}),
        }
        changed = {key: each for key, each in end.algorithms.items() if each != plain.algorithms.get(key)}
        return {**texts, **{key: ",".join(each) for key, each in changed.items()}}

    @property
    def command(self) -> str | None:
        """ProxyCommand, in which `ssh` replaces tokens once more."""
        return self.end.proxy_command and self.end.proxy_command.replace("%", "%%")

    @property
    def key_alias(self) -> str | None:
        """HostKeyAlias, where the host's name in known_hosts is not the one that `ssh` looks for by itself."""
        plain = self.end.host if self.end.port == 22 else f"[{self.end.host}]:{self.end.port}"
        return None if self.end.key_name == plain.lower() else self.end.key_name


@dataclass(frozen=True, kw_only=True)
class Way:
    """An endpoint, and the sections that it needs; the host's own section is the last."""

    endpoint: str
    sections: tuple[Section, ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of buildx's driver."""


def way(builder: str, node: str, target: Target, ssh: SshSettings, resolve: Resolve) -> Way:
    """How buildx is to reach a host. `resolve` asks the user's SSH configuration. Raises UsageError as it does."""
    end = resolve(target, ssh)
    if ssh.config or ssh.known_hosts or target.jump or target.identity_files or not _plain(target.host):
        sections = _sections(f"{builder}.{node}", target, ssh, resolve)
        return Way(endpoint=f"ssh://{sections[-1].alias}", sections=sections)
    # What [hosts] does not say is left to the user's own configuration. [ssh] user counts where that names none.
    user = target.user or (end.user if ssh.user and end.user != own_user() else None)
    host = f"[{target.host}]" if ":" in target.host else target.host
    before = f"{quote(user, safe='')}@" if user else ""
    after = f":{target.port}" if target.port else ""
    return Way(endpoint=f"ssh://{before}{host}{after}")


def _plain(host: str) -> bool:
    return _IN_URL.fullmatch(host) is not None


def _sections(
    alias: str, target: Target, ssh: SshSettings, resolve: Resolve, depth: int = 0
) -> tuple[Section, ...]:
    """The sections of a host and of all jump hosts before it, the first of these at the front."""
    if depth > MOST_JUMPS:
        raise UsageError(f"{target.name}: more than {MOST_JUMPS} jump hosts, or a circle of them")
    name = f"provision.{alias}"
    end = resolve(target, ssh)
    # `-F none`: no file at all.
    plain = resolve(replace(target, jump="none"), SshSettings(config=Path("none")))
    if not end.jumps:
        return (Section(alias=name, end=end, plain=plain),)
    *before, last = end.jumps
    jump = parsed(last, name=f"{target.name} (jump host {last})", jump=",".join(before) or None)
    sections = _sections(f"{alias}.jump", jump, ssh, resolve, depth + 1)
    return (*sections, Section(alias=name, end=end, plain=plain, jump=sections[-1].alias))


def destination(endpoint: str) -> tuple[str, ...]:
    """The words of `ssh` for an endpoint `ssh://…`, as BuildKit's connection helper makes them, up to the host."""
    place = endpoint.removeprefix("ssh://").partition("/")[0]
    user, _, where = place.rpartition("@")
    found = re.fullmatch(r"\[(.+)](?::(\d+))?|([^:]+)(?::(\d+))?", where)
    if found is None:
        raise UsageError(f"{endpoint!r} is no endpoint over SSH", hint="Make the builder anew.")
    host, port = found[1] or found[3], found[2] or found[4]
    return (*(("-l", user) if user else ()), *(("-p", port) if port else ()), "--", host)
