"""What the user wants: the typed form of `provision.toml` and the flags.

Nothing here reads a file or judges a value; `provision.config` does, so that every instance it hands
out is known to be valid. The defaults below are the defaults of the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

Fetch = Literal["auto", "host", "controller"]
Source = Literal["auto", "release", "go"]
NetworkMode = Literal["auto", "host", "cni", "bridge"]
LogLevel = Literal["trace", "debug", "info", "warn", "error"]
ServiceSetting = Literal["auto", "systemd", "openrc", "process"]
LogFormat = Literal["text", "json"]

PACKAGES: Final = "packages"
"""The value of `interpreters` that means: QEMU comes from the distribution's packages."""

SEND: Final = "send:"
"""The beginning of `interpreters` when they are files of this machine, to be sent to the host."""

DEFAULT_VERSION: Final = "v0.32.2"
"""The BuildKit release that is installed where the configuration names none."""

LATEST: Final = "latest"
"""The value of `version` that means: the newest release at the time of the run."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """`[emulation]`: where the interpreters come from and what their handlers may do."""

    interpreters: str = PACKAGES
    """`PACKAGES`, or an absolute path pattern holding `{qemu}`, as in `/opt/qemu/qemu-{qemu}`.

    After `SEND` it names files of this machine.
    """
    credentials: bool = False
    """The `C` flag: a setuid program keeps its privileges under the emulator (kernel, binfmt-misc.rst)."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """`[buildkit.log]`: the daemon's own `[log]`. `level` needs BuildKit 0.30, `format` 0.13."""

    level: LogLevel = "info"
    format: LogFormat = "text"


@dataclass(frozen=True, kw_only=True)
class Tls:
    """`[buildkit.tls]`: the daemon's own `[grpc.tls]`. Absolute paths on the host."""

    cert: str
    key: str
    ca: str | None = None
    """With a CA the daemon demands a client certificate; without, anyone who connects is let in."""
    authority: Literal["files", "own"] = "files"
    """The user puts the three files on the host, or the user's own authority makes them and `provision` brings them."""
    days: int = 365
    """How long a host's certificate lives that the own authority makes."""
    passphrase_command: str | None = None
    """Split like a shell would, run here without a shell; its first line of output encrypts the authority's keys."""
    names: tuple[str, ...] = ()
    """Names and addresses of the one host that its certificate has to have."""

    @property
    def own(self) -> bool:
        return self.authority == "own"


@dataclass(frozen=True, kw_only=True)
class Dns:
    """`[buildkit.dns]`: the daemon's own `[dns]`, for build steps."""

    nameservers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    search_domains: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Registry:
    """`[registry."host:port"]`: the daemon's own table. `http` and `insecure` exclude each other."""

    http: bool = False
    insecure: bool = False
    mirrors: tuple[str, ...] = ()
    ca: tuple[str, ...] = ()
    """Absolute paths on the host."""


@dataclass(frozen=True, kw_only=True)
class Buildkit:
    """`[buildkit]`: which release, from where, and how its daemon runs."""

    version: str = DEFAULT_VERSION
    """`vX.Y.Z`, with a pre-release suffix if any, or `LATEST`."""
    mirror: str | None = None
    """An http(s) URL without a trailing slash, or an absolute folder, holding VERSION/ASSET."""
    sha256: Mapping[str, str] = field(default_factory=_nothing)
    """The user's own digests: `linux-<asset>` to 64 lower-case hex digits."""
    source: Source = "auto"
    """A release, a build from the Go module on this machine, or a build where no release can be had (`auto`)."""
    group: str = "buildkit"
    users: tuple[str, ...] = ()
    """Users of the host to put into `group`. Membership amounts to root on that host."""
    service: ServiceSetting = "auto"
    """What runs the daemon; "auto" is what runs as process 1, or else a process that nothing supervises."""
    fetch: Fetch = "auto"
    """Who downloads: the host, this machine (`controller`), or whichever can (`auto`)."""
    drain: str = "10m"
    """How long a restart waits for running builds: a number of seconds, or one with s, m or h behind it."""
    allow_insecure_version: bool = False
    max_parallelism: int | None = None
    """Build steps at once; None leaves it to the daemon (no limit)."""
    labels: Mapping[str, str] = field(default_factory=_nothing)
    log: Log = field(default_factory=Log)
    listen: tuple[str, ...] = ()
    """`tcp://ADDRESS:PORT` beside the socket. Beyond loopback only with TLS and a client CA."""
    tls: Tls | None = None
    network: NetworkMode = "auto"
    dns: Dns = field(default_factory=Dns)
    gc: Mapping[str, int | str] = field(default_factory=_nothing)
    """The daemon's own keys `reservedSpace`, `maxUsedSpace`, `minFreeSpace`: bytes, "10GB" or "30%"."""
    registries: Mapping[str, Registry] = field(default_factory=_nothing)

    @property
    def drain_seconds(self) -> int:
        """`drain` as a number; 0: a restart waits for nothing."""
        number = self.drain.rstrip("smh")
        return int(number) * {"m": 60, "h": 3600}.get(self.drain[len(number) :], 1)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What one host shall be."""

    platforms: tuple[str, ...] | None = None
    """Canonical platforms in the user's order; None means every row the QEMU at hand runs."""
    emulation: Emulation = field(default_factory=Emulation)
    buildkit: Buildkit = field(default_factory=Buildkit)


@dataclass(frozen=True, kw_only=True)
class Buildx:
    """`[buildx]`: where this machine gets buildx from, if it has none."""

    mirror: str | None = None
    """As `Buildkit.mirror`."""
    sha256: Mapping[str, str] = field(default_factory=_nothing)
    """The user's own digests, as `Buildkit.sha256`. With one, a release is downloaded; without, buildx is built."""


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """`[ssh]`: how hosts are reached. Durations are seconds."""

    config: str | None = None
    """An OpenSSH client configuration other than `~/.ssh/config`."""
    known_hosts: str | None = None
    """A known_hosts file other than those the SSH configuration names."""
    user: str | None = None
    """The login name where neither the host's section nor the SSH configuration gives one."""
    accept_new_host_keys: bool = False
    connect_timeout: float | None = None
    """For each of: TCP connect, banner, authentication. None: as the SSH configuration says, else ten."""
    timeout: float = 1800.0
    """For one script on a host."""
    keepalive: int = 15
    jobs: int = 8
    """Hosts at once."""
    sudo_password_command: str | None = None
    """Split like a shell would, run here without a shell; its first line of output is the password."""

    @property
    def patience(self) -> float:
        """The same where no SSH configuration has a say: for a registry."""
        return self.connect_timeout or 10.0


@dataclass(frozen=True, kw_only=True)
class Host:
    """One machine: `[hosts.NAME]`, a destination typed at `--hosts`, or this machine (`LOCAL`)."""

    name: str
    """How reports call it."""
    host: str | None = None
    """The address or SSH alias; None means that `name` is one."""
    user: str | None = None
    port: int | None = None
    jump: str | None = None
    """ProxyJump's syntax: `[user@]host[:port]`, several with commas."""
    platforms: tuple[str, ...] | None = None
    interpreters: str | None = None
    service: ServiceSetting | None = None
    names: tuple[str, ...] = ()
    """Names and addresses at which clients reach its TLS listener, besides `host`."""
    listen: tuple[str, ...] | None = None
    sudo: bool | None = None
    """True: always through sudo. False: never (the login is root). None: sudo unless the login is root."""
    sudo_password_command: str | None = None
    local: bool = False

    @property
    def address(self) -> str:
        return self.host or self.name


LOCAL: Final = Host(name="localhost", local=True)
"""This machine, reached without SSH: what an empty `--hosts` means."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """`[hosts]` and `[groups]`. Group members are host names of `hosts` or SSH destinations."""

    hosts: Mapping[str, Host] = field(default_factory=_nothing)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything one run was told."""

    spec: Spec = field(default_factory=Spec)
    ssh: Ssh = field(default_factory=Ssh)
    buildx: Buildx = field(default_factory=Buildx)
    inventory: Inventory = field(default_factory=Inventory)
    path: Path | None = None
    """The file it came from; None if there was none."""
    pinned: frozenset[str] = frozenset()
    """The settings that a flag gave, such as "emulation.interpreters"; they beat a host's section."""

    def spec_for(self, host: Host) -> Spec:
        """The spec of one host: flag, else its section, else the file, else the default."""
        spec = self.spec
        if host.platforms is not None and "platforms" not in self.pinned:
            spec = replace(spec, platforms=host.platforms)
        if host.interpreters is not None and "emulation.interpreters" not in self.pinned:
            spec = replace(spec, emulation=replace(spec.emulation, interpreters=host.interpreters))
        if host.service is not None and "service" not in self.pinned:
            spec = replace(spec, buildkit=replace(spec.buildkit, service=host.service))
        if host.listen is not None:
            spec = replace(spec, buildkit=replace(spec.buildkit, listen=host.listen))
        if spec.buildkit.tls is not None and spec.buildkit.tls.own:
            tls = replace(spec.buildkit.tls, names=(*host.names, host.address))
            spec = replace(spec, buildkit=replace(spec.buildkit, tls=tls))
        return spec

    def sudo_password_command_for(self, host: Host) -> str | None:
        """The command that prints the host's sudo password, by the same order; None means: ask."""
        if host.sudo_password_command is not None and "ssh.sudo_password_command" not in self.pinned:
            return host.sudo_password_command
        return self.ssh.sudo_password_command
