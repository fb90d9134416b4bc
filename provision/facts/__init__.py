"""The facts of a host, typed. provision/facts/answer.py reads them from what the facts script printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from provision import elf
from provision.architectures import Architecture
from provision.binfmt import Entry
from provision.buildkit.workers import Workers
from provision.facts.basis import Basis
from provision.facts.host_record import HostRecord
from provision.services.manager import DaemonMark, InitScript, Unit

__all__ = [
    "Basis",
    "Binfmt",
    "ControlGroups",
    "Daemon",
    "DaemonMark",
    "Disk",
    "Facts",
    "File",
    "InitScript",
    "Interpreter",
    "LastRun",
    "Mount",
    "PackageAnswer",
    "Previous",
    "Probe",
    "Proof",
    "RegistryAnswer",
    "Rule",
    "System",
    "Unit",
    "User",
]


PATIENCE: Final = 10
"""Seconds in which the probe programs must end, once told to."""
LATE: Final = -3
"""The status of a probe program that did not."""
ControlGroups = Literal["", "1", "2", "partial", "none"]


@dataclass(frozen=True, kw_only=True)
class System:
    """The machine. Sizes in KiB; `page` is the kernel's page size in KiB."""

    kernel: str = ""
    machine: str = ""
    distribution: str = ""
    version: str = ""
    pretty: str = "unknown"
    like: tuple[str, ...] = ()
    native: bytes = b""
    """The first bytes of one of its own programs."""
    page: int = 0
    memory: int = 0
    available: int = 0
    swap: int = 0
    cpus: int = 0
    boot: str = ""
    clock: int = 0
    """Seconds since 1970 by the host's clock; 0 if it is not known."""
    cgroup_memory: bool | None = None
    """Whether the kernel can limit and account memory; None if that is not known."""
    control_groups: ControlGroups = ""
    """The version that runc would use; partial: it cannot use what is mounted. Empty: not known."""
    init: str = ""
    """What runs as process 1, by its name; empty if it is not known."""
    systemd: str | None = None
    """Its version, where it runs the machine."""
    openrc: str | None = None
    """Its version, where it runs the machine."""
    container: str = ""
    """The container manager around this, such as "docker" or "podman"; empty if nothing names one."""
    contained: bool = False
    """Whether this is a container, as far as its namespaces and its manager tell."""
    own_users: bool = False
    """Whether it has a user namespace of its own. Since Linux 6.7 a table that it mounts is its own too, and hides any
    other (commit 21ca59b365c0)."""
    shared_table: bool | None = False
    """Whether the table of handlers belongs to a machine around this container. None: not known."""
    identity: str = ""
    """What no other machine or container has at the same time; empty if that is not known."""

    @cached_property
    def header(self) -> elf.Header | None:
        """The ELF header of its own programs; None if that is not known."""
        return elf.parse(self.native)

    @property
    def architecture(self) -> Architecture | None:
        """The architecture of its own programs; None if it is not known or not in the table."""
        return self.header.architecture if self.header else None

    @property
    def userland_bits(self) -> int:
        """32 or 64: of the programs, which may differ from the kernel's (Raspberry Pi OS)."""
        return self.header.bits if self.header else 64


@dataclass(frozen=True, kw_only=True)
class User:
    """The user that the facts script ran as. `login` is the user who called sudo, if any."""

    name: str = ""
    uid: int = -1
    login: str = ""
    sudo: str = ""
    """How a user who is not root would become it: "free", "password" or "none"."""

    @property
    def root(self) -> bool:
        return self.uid == 0


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One mount point, as proc(5) has it in mountinfo."""

    point: str
    type: str
    options: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Room on the filesystem that holds a path. KiB; inodes are a count (0 where the filesystem has none)."""

    size: int
    free: int
    inodes: int
    all_inodes: int = 0


@dataclass(frozen=True, kw_only=True)
class Binfmt:
    """The state of the kernel's binfmt_misc on this host."""

    present: bool = False
    before: str = "none"
    """What was mounted before the facts script opened it: "autofs" alone is an automount that nothing had triggered."""
    mounted: str = "none"
    options: frozenset[str] = frozenset()
    enabled: bool = True
    problem: str = ""
    fix_binary: bool | None = None
    """Whether the kernel took a trial registration with the F flag; None if it could not be tried."""
    trial_error: str = ""
    writable: bool | None = None
    """Whether root may register handlers there; None if it is not mounted, or not asked as root."""
    module: Literal["", "there", "gone", "none"] = ""
    """Whether the kernel has it or its module. gone: there are no modules of the kernel that runs. Empty: not known."""
    held: bool | None = None
    """Whether init has it mounted too: if not, it ends with the session that has it. None: not known."""
    support: frozenset[str] = frozenset()
    """The handlers that binfmt-support registers at boot, by name."""
    support_early: bool = False
    """Whether it may do so before systemd-binfmt, which drops them."""
    loader_refuses: str = ""
    """The conditions for which systemd-binfmt.service does not start at boot, and the files that have them."""

    @property
    def usable(self) -> bool:
        return self.mounted == "binfmt_misc" and "ro" not in self.options and self.writable is not False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A file in a binfmt.d folder; `target` is set when it is a symlink (/dev/null masks)."""

    path: str
    target: str
    text: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def masked(self) -> bool:
        return self.target == "/dev/null"


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """An emulator's file. `identity` is "device:inode"."""

    path: str
    identity: str
    size: int
    mode: int
    header: elf.Header | None
    real: str = ""
    """The path without symlinks; empty if it is not known."""

    @property
    def executable(self) -> bool:
        return bool(self.mode & 0o111)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The run of one architecture's probe program. `expected` and `status` are argument counts."""

    expected: int
    status: int
    executable: str = ""
    """What the kernel ran: the emulator's path, or the probe itself when it ran natively."""
    held: str = ""
    """"device:inode" of the file that the kernel ran."""
    version: str = ""
    natively: bool | None = None
    """Whether it also runs where no handler is registered; None if that could not be tried."""
    milliseconds: float | None = None
    """CPU time that its start took."""
    held_sha256: str = ""
    current_sha256: str = ""
    """Of the file the kernel ran and the one that its path names now; only where these are not the same file."""

    @property
    def ran(self) -> bool:
        return self.status == self.expected

    @property
    def late(self) -> bool:
        """Whether it had to be ended. That the machine is busy is as likely as that its emulator hangs."""
        return self.status == LATE

    @property
    def emulated(self) -> bool:
        return bool(self.executable) and not self.executable.rpartition("/")[2].startswith("p-")

    @property
    def qemu(self) -> str | None:
        """The number in "qemu-aarch64 version 7.2.22 (Debian …)", which the file that the kernel ran printed."""
        words = self.version.split()
        return words[words.index("version") + 1] if "version" in words[:-1] else None

    @property
    def shifted(self) -> bool:
        """The program ran but argv is off by one: the P flag does not fit this emulator (kernel, binfmt-misc.rst)."""
        return abs(self.status - self.expected) == 1


@dataclass(frozen=True, kw_only=True)
class File:
    """A file, or a symlink (`target`). `text` is None unless it is a regular file."""

    path: str
    mode: int = 0
    owner: str = ""
    group: str = ""
    text: str | None = None
    target: str | None = None
    modified: int = 0
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Runc:
    """The host's own runc."""

    path: str
    version: str
    """"1.1.5+ds1"."""

    @property
    def number(self) -> tuple[int, int]:
        """The first two parts of the version; (0, 0) if it has none."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True, kw_only=True)
class PackageAnswer:
    """What a package manager said when it was asked to install the emulators, and to change nothing."""

    manager: str
    status: int | None
    """Its exit status; None: its lists do not have the packages, or there are none yet."""
    packages: tuple[str, ...] = ()
    """What it was asked to install."""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """The running buildkitd: its program, and the generation of the settings that it was started with."""

    executable: str
    generation: str
    tmpdir: str = ""
    command: str = ""
    """Its command line."""


@dataclass(frozen=True, kw_only=True)
class Previous:
    """What a daemon was started from, as it was saved before it was replaced (templates/host/daemon.sh)."""

    generation: str
    version: str
    """Of BuildKit."""
    folder: str
    """Of its release."""
    files: Mapping[str, File] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """A run of this tool that changed the host, as the host's lock has it (templates/host/lock.sh)."""

    token: str
    state: Literal["done", "killed", "changing"]
    """changing: it was at work when the facts were asked, so they may be of a host that is half changed."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What an earlier run built through the daemon of that generation."""

    generation: str = ""
    platforms: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class RegistryAnswer:
    """What a registry of the configuration answered to the host."""

    curl: int
    """curl's exit status."""
    status: int = 0
    """Of HTTP."""
    date: str = ""
    """By its clock, as HTTP writes it."""
    login: str = ""
    """"valid" or "refused": the login of the user who logs in there. Empty: not tried."""
    problem: str = ""
    """curl's words."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that is known of a host."""

    system: System = System()
    user: User = User()
    tools: frozenset[str] = frozenset()
    temporary: Mapping[str, bool] = field(default_factory=dict)
    """Folder for temporary files -> programs may run there."""
    mounts: tuple[Mount, ...] = ()
    late_mounts: frozenset[str] = frozenset()
    """Mount points that the boot does not wait for, by fstab(5)."""
    trees: Mapping[str, str] = field(default_factory=dict)
    """Folder that a step or the daemon may write to -> the real one behind it, or the one that it would be made in."""
    disks: Mapping[str, Disk] = field(default_factory=dict)
    binfmt: Binfmt = Binfmt()
    entries: tuple[Entry, ...] = ()
    """Newest first, the order in which the kernel tries them."""
    rules: tuple[Rule, ...] = ()
    interpreters: Mapping[str, Interpreter] = field(default_factory=dict)
    installed_packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Package manager -> the packages with emulators that are installed; asked where a wanted emulator is missing."""
    package_answers: Mapping[str, PackageAnswer] = field(default_factory=dict)
    """By package manager; only where a wanted emulator is missing and no package with emulators is installed."""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    """QEMU's name of the architecture -> how its program ran."""
    files: Mapping[str, File] = field(default_factory=dict)
    accounts: Mapping[str, bool] = field(default_factory=dict)
    """User of `[buildkit] users` -> whether the host knows it."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    """Folder of an unpacked BuildKit release -> sha256 of the archive it came from."""
    cached: Mapping[str, int] = field(default_factory=dict)
    """Name in the host's download cache -> bytes."""
    units: Mapping[str, Unit] = field(default_factory=dict)
    runc: Runc | None = None
    """None where there is none, or where BuildKit has its own."""
    init_scripts: Mapping[str, InitScript] = field(default_factory=dict)
    """Services of OpenRC, by name."""
    mark: DaemonMark = field(default_factory=DaemonMark)
    """What is left of the start of a daemon without systemd."""
    daemon: Daemon | None = None
    worker: Workers | None = None
    """What buildkitd answered; None if it was not asked (no socket, no buildctl) or did not answer."""
    worker_error: str = ""
    """The error of buildctl, or why its answer cannot be read; empty if there is an answer or it was not asked."""
    record: HostRecord | None = None
    """None where this tool has written none yet."""
    leftovers: tuple[str, ...] = ()
    """Paths of what a run that was killed has left."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """KiB in folders of this tool; empty if that was not asked."""
    previous: Previous | None = None
    """What the daemon before this one was started from; None where there is no way back."""
    older: Previous | None = None
    """What was saved before that; only after a run that was cut before its daemon had proven itself."""
    last_run: LastRun | None = None
    """The run that changed this host last, since its boot."""
    basis: Basis = field(default_factory=Basis)
    proof: Proof = Proof()
    registries: Mapping[str, RegistryAnswer] = field(default_factory=dict)
    """Those that were asked, by name."""
    skew: float | None = None
    """Seconds by which the host's clock is ahead of this machine's; None if they were not compared."""

    def unit(self, name: str) -> Unit:
        """A unit; an empty one where systemd does not run."""
        return self.units.get(name, Unit())

    def mount_behind(self, folder: str) -> Mount | None:
        """The mount that really holds a folder, or would: a link may lead to another than its path."""
        return self.mount_of(self.trees.get(folder) or folder)

    def mount_of(self, path: str) -> Mount | None:
        """The mount that holds `path`: the one with the longest mount point above it, of equals the last."""
        above = [m for m in self.mounts if m.point in ("/", path) or path.startswith(m.point + "/")]
        return max(reversed(above), key=lambda mount: len(mount.point), default=None)
