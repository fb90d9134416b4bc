"""What a service manager is to this tool: its files, its commands, and its answer in words that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from provision.fix import Fix, HostCommand
from provision.spec import Buildkit

Name = Literal["systemd", "openrc", "process"]
LackId = Literal["boot-no-mount", "boot-no-loader"]
State = Literal["missing", "stopped", "failed", "running"]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit of systemd, in the words of `systemctl show`. Empty: not known."""

    load: str = ""
    """Such as "loaded", "masked" or "not-found"."""
    active: str = ""
    """Such as "active", "inactive", "activating" or "failed"."""
    sub: str = ""
    """Such as "running", "dead" or "auto-restart"."""
    file_state: str = ""
    """What the next boot does with it: "enabled", "disabled", "static", "generated", "masked" …"""
    restarts: int = 0
    """How often systemd restarted it by itself since somebody started it."""
    reload_due: bool = False
    """Whether its file changed after systemd read it."""
    path: str = ""
    """Its file; empty if it has none, or is not known."""
    drop_ins: tuple[str, ...] = ()
    """Files that change it."""

    @property
    def found(self) -> bool:
        """Whether systemd knows such a unit. It does if the unit is masked."""
        return self.load not in ("", "not-found")


@dataclass(frozen=True, kw_only=True)
class InitScript:
    """A service of OpenRC that is in /etc/init.d."""

    state: str = ""
    """As the folders of /run/openrc are called: "started", "starting", "failed" …; empty: stopped."""
    runlevels: tuple[str, ...] = ()
    """Those that start it."""
    refuses: bool = False
    """Whether it does not start on such a machine (`keyword` in openrc-run(8)): some do not in containers."""
    restarts: int = 0
    """How often its daemon was started again since somebody started the service."""


@dataclass(frozen=True, kw_only=True)
class DaemonMark:
    """What the script that runs the daemon without systemd has left in /run."""

    state: Literal["running", "ended", "none"] = "none"
    """ended: by itself, since a stop takes the mark away."""
    pid: int = 0
    last_words: str = ""
    """What a daemon that ended by itself printed last."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a host answered about its services. Each manager reads its own part."""

    units: Mapping[str, Unit] = field(default_factory=dict)
    loader_refuses: str = ""
    """Why systemd-binfmt.service does not start at boot; empty if it does."""
    support_early: bool = False
    """Whether binfmt-support.service may register its handlers before systemd-binfmt drops all."""
    init_scripts: Mapping[str, InitScript] = field(default_factory=dict)
    script: bool = False
    """Whether the script that runs the daemon without systemd is there."""
    mark: DaemonMark = field(default_factory=DaemonMark)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The service that runs buildkitd, whoever manages it."""

    state: State = "missing"
    """failed: it ended by itself, or never came up."""
    words: str = ""
    """The state as the manager calls it."""
    enabled: bool | None = False
    """Whether the boot starts it; None where nothing ever does."""
    masked: bool = False
    """Whether somebody forbade to start it."""
    restarts: int = 0
    """How often the manager started it again, since it was last started on purpose."""
    reload_due: bool = False
    """Whether the manager has another version of its files in memory than the disk has."""
    last_words: str = ""
    """What a daemon that ended by itself printed last, where that is known without asking for its log."""

    @property
    def described(self) -> str:
        """The state in words, and how it came to that."""
        return f"{self.words}; it printed last: {self.last_words}" if self.last_words else self.words


@dataclass(frozen=True, kw_only=True)
class ServiceFile:
    """A file that the manager, or the daemon under it, is started from. It belongs to root."""

    id: str
    """Of the step that writes it."""
    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Lack:
    """A reason why handlers do not come back at boot."""

    finding: LackId
    evidence: str
    fix: Fix


@dataclass(frozen=True, kw_only=True)
class Boot:
    """What a host's next boot does with handlers."""

    happens: bool = True
    """Whether anything of this tool's is started at boot at all."""
    folders: tuple[str, ...] = ()
    """Folders whose rules are registered, highest first: a file hides those of its name in the folders after it. Where
    nothing happens by itself, those that the start of the daemon reads.
    """
    lacks: tuple[Lack, ...] = ()
    files: tuple[ServiceFile, ...] = ()
    """Files that are needed, whether they are there already or not."""
    enable: tuple[str, ...] = ()
    """Services that are to be started at boot and are not yet."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that follows from what was seen."""

    service: Service = field(default_factory=Service)
    boot: Boot = field(default_factory=Boot)


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Commands for a shell on the host. None: there is nothing of the kind."""

    start: HostCommand
    stop: HostCommand
    restart: HostCommand
    status: HostCommand
    log: HostCommand
    """The last lines. `ssh -t` and a terminal would start a pager, which waits for a key."""
    log_name: str = "log"
    """What a sentence calls it."""
    enable: HostCommand | None = None
    unmask: HostCommand | None = None
    reload: HostCommand | None = None
    """Has the manager read changed files."""
    forget: HostCommand | None = None
    """Sets the count of restarts back."""
    hold_table: HostCommand
    """Mounts binfmt_misc for process 1: it is lost when the last process that has it mounted ends."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the files of the service are made from. `generation` names all that the daemon is started from: a later
    run reads it from the running daemon's environment.
    """

    buildkit: Buildkit
    version: str
    generation: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceManager:
    """One service manager. A new one is a module here, its texts in `templates/`, and its place in `MANAGERS`."""

    name: Name
    title: str
    """As a sentence calls it."""
    service: str
    """How its commands call the service."""
    path: str
    """The file that says that the service is there, and from which generation."""
    commands: Commands
    files: Callable[[Settings], tuple[ServiceFile, ...]]
    read: Callable[[Seen], Reading]
    loads_modules: bool = True
    """Whether its boot reads modules-load.d."""
    mounts_control_groups: bool = False
    """Whether the daemon's start mounts a tree of control groups where there is none."""
    rests_on: Name | None = None
    """Another manager, whose script its files use: what that one says of the daemon is about the same daemon."""
    drops_handlers: str = ""
    """The service that drops every handler before it registers those of binfmt.d; a restart of it is as a boot."""
    rule_loader: str
    """Who reads binfmt.d at boot, as the header of a rule says it."""
