"""What a host is: typed facts, parsed from the records of `templates/probe.sh`.

A record is a line of tab-separated fields; the lines after it that start with "|" are its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from provision import elf
from provision.binfmt import Entry, parse_entry
from provision.errors import HostError

HEAD = 1024
"""Bytes of an interpreter the probe shows: enough for the program headers of any linker's output."""


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
    page: int = 0
    memory: int = 0
    available: int = 0
    swap: int = 0
    cpus: int = 0
    boot: str = ""
    clock: int = 0
    """Seconds since 1970 by the host's clock when it was asked; 0 if it did not say."""
    cgroup_memory: bool | None = None
    """Whether the kernel can limit and account memory; None where it does not tell."""
    systemd: str | None = None

    @property
    def userland_bits(self) -> int:
        """32 or 64: of the programs, which may differ from the kernel's (Raspberry Pi OS)."""
        header = elf.parse(self.native)
        return header.bits if header else 64


@dataclass(frozen=True, kw_only=True)
class User:
    """Who the script ran as, and who called sudo."""

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
    """What was mounted before the probe looked: "autofs" alone is an automount nobody had triggered."""
    mounted: str = "none"
    options: frozenset[str] = frozenset()
    enabled: bool = True
    problem: str = ""
    fix_binary: bool | None = None
    """Whether a trial registration with the F flag was taken; None where it could not be tried."""
    trial_error: str = ""
    held: bool | None = None
    """Whether init has it mounted: otherwise it ends with the session that looked. None: not known."""

    @property
    def usable(self) -> bool:
        return self.mounted == "binfmt_misc" and "ro" not in self.options


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
    current: str = ""
    version: str = ""
    natively: bool | None = None
    """Whether it also runs where no handler is registered; None where that could not be asked."""
    milliseconds: float | None = None
    """CPU time that its start took."""
    held_sha256: str = ""
    current_sha256: str = ""
    """Of the file the kernel holds and the one at its path; only where these are not the same file."""

    @property
    def ran(self) -> bool:
        return self.status == self.expected

    @property
    def emulated(self) -> bool:
        return bool(self.executable) and not self.executable.rpartition("/")[2].startswith("p-")

    @property
    def shifted(self) -> bool:
        """The program ran but argv is off by one: the P flag does not fit this emulator (binfmt.md §4.8)."""
        return abs(self.status - self.expected) == 1

    @property
    def stale(self) -> bool:
        """The kernel holds another file than the path now names: the emulator was replaced or deleted."""
        return self.emulated and self.held != self.current


@dataclass(frozen=True, kw_only=True)
class File:
    """A file, or a symlink (`target`). `text` is None for what is no regular file."""

    path: str
    mode: int = 0
    owner: str = ""
    group: str = ""
    text: str | None = None
    target: str | None = None


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """The running buildkitd: its program, and the generation of settings it was started with."""

    executable: str
    generation: str
    tmpdir: str = ""
    command: str = ""
    """Its command line."""


@dataclass(frozen=True, kw_only=True)
class WorkerAnswer:
    """What `buildctl debug workers` said: JSON when `ok`, otherwise its error."""

    ok: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that is known of a host."""

    system: System = System()
    user: User = User()
    tools: frozenset[str] = frozenset()
    temporary: Mapping[str, bool] = field(default_factory=dict)
    """Folder for temporary files -> programs may run there."""
    mounts: tuple[Mount, ...] = ()
    disks: Mapping[str, Disk] = field(default_factory=dict)
    binfmt: Binfmt = Binfmt()
    entries: tuple[Entry, ...] = ()
    """Newest first, the order in which the kernel tries them."""
    rules: tuple[Rule, ...] = ()
    interpreters: Mapping[str, Interpreter] = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    """QEMU's name of the architecture -> how its program ran."""
    files: Mapping[str, File] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    releases: Mapping[str, str] = field(default_factory=dict)
    """Folder of an unpacked BuildKit release -> sha256 of the archive it came from."""
    cached: Mapping[str, int] = field(default_factory=dict)
    """Name in the host's download cache -> bytes."""
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    daemon: Daemon | None = None
    workers: WorkerAnswer | None = None
    skew: float | None = None
    """Seconds the host's clock is ahead of this machine's; None if nobody compared them."""

    def mount_of(self, path: str) -> Mount | None:
        """The mount that holds `path`: the longest point above it, the last one of equals."""
        above = [m for m in self.mounts if m.point in ("/", path) or path.startswith(m.point + "/")]
        return max(above, key=lambda mount: len(mount.point), default=None)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of the probe: its kind, its fields, and the text below it."""

    kind: str
    fields: tuple[str, ...]
    text: str = ""

    def __getitem__(self, index: int) -> str:
        return self.fields[index] if index < len(self.fields) else ""


def records(lines: Iterable[str]) -> Iterator[Record]:
    """Group lines into records."""
    head: list[str] | None = None
    text: list[str] = []
    for line in lines:
        if line.startswith("|"):
            text.append(line[1:])
            continue
        if head is not None:
            yield Record(kind=head[0], fields=tuple(head[1:]), text="".join(f"{each}\n" for each in text))
        head, text = line.split("\t"), []
    if head is not None:
        yield Record(kind=head[0], fields=tuple(head[1:]), text="".join(f"{each}\n" for each in text))


def number(text: str, base: int = 10) -> int:
    """An integer, or 0 for what the host could not say."""
    try:
        return int(text, base)
    except ValueError:
        return 0


def words(text: str, separator: str = ",") -> tuple[str, ...]:
    """The parts of a list that are not empty."""
    return tuple(word for word in text.split(separator) if word)


def parse(lines: Iterable[str], expected: Mapping[str, int]) -> Facts:
    """Facts from the probe's output.

    `expected` is the argument count each probe program was started with, by QEMU name.
    Raises HostError when the output does not end as a whole answer does.
    """
    found: dict[str, list[Record]] = {}
    for record in records(lines):
        found.setdefault(record.kind, []).append(record)
    if "end" not in found:
        raise HostError(
            "the host's answer is not whole",
            cause="its shell stopped half-way, or a login script prints and exits",
            hint="log in by hand and run `sh -c true`: it must print nothing",
        )
    of = {kind: tuple(these) for kind, these in found.items()}
    return Facts(
        system=_system(of),
        user=_user(of),
        tools=frozenset(r[0] for r in of.get("tool", ())),
        temporary={r[0]: r[1] == "exec" for r in of.get("temporary", ())},
        mounts=tuple(
            Mount(point=r[0], type=r[1], options=frozenset(words(r[2]))) for r in of.get("mount", ())
        ),
        disks={
            r[0]: Disk(size=number(r[1]), free=number(r[2]), inodes=number(r[3]), all_inodes=number(r[4]))
            for r in of.get("disk", ())
        },
        binfmt=_binfmt(of),
        entries=tuple(parse_entry(r[0], r.text) for r in of.get("entry", ()) if r.text),
        rules=tuple(Rule(path=r[0], target=r[1], text=r.text) for r in of.get("rule", ())),
        interpreters=_interpreters(of),
        probes=_probes(of, expected),
        files=_files(of),
        groups={r[0]: words(r[1]) for r in of.get("group", ())},
        releases={r[0]: r[1] for r in of.get("release", ())},
        cached={r[0]: number(r[1]) for r in of.get("cached", ())},
        units=_units(of.get("unit", ())),
        daemon=next(
            (
                Daemon(executable=r[0], generation=r[1], tmpdir=r[2], command=r[3].strip())
                for r in of.get("daemon", ())
            ),
            None,
        ),
        workers=next((WorkerAnswer(ok=r[0] == "ok", text=r.text) for r in of.get("workers", ())), None),
    )


Found = Mapping[str, tuple[Record, ...]]
_NOTHING = Record(kind="", fields=())


def _one(of: Found, kind: str) -> Record:
    return of.get(kind, (_NOTHING,))[0]


def _system(of: Found) -> System:
    kernel, release, memory = _one(of, "kernel"), _one(of, "os"), _one(of, "memory")
    return System(
        kernel=kernel[0],
        machine=kernel[1],
        distribution=release[0],
        version=release[1],
        pretty=release[2] or "unknown",
        like=words(release[3], " "),
        native=bytes.fromhex(_one(of, "native")[0]),
        page=number(_one(of, "page")[0]),
        memory=number(memory[0]),
        available=number(memory[1]),
        swap=number(memory[2]),
        cpus=number(_one(of, "cpus")[0]),
        boot=_one(of, "boot")[0],
        clock=number(_one(of, "clock")[0]),
        cgroup_memory=_cgroup_memory(_one(of, "cgroup")),
        systemd=_one(of, "systemd")[0] if "systemd" in of else None,
    )


def _cgroup_memory(record: Record) -> bool | None:
    """In a container neither file need be there, and its own cgroup may lack what the machine has."""
    if record[1]:
        return record[1] == "1"
    return "memory" in record[0].split() if record[0] else None


def _user(of: Found) -> User:
    user = _one(of, "user")
    return User(name=user[0], uid=number(user[1]), login=user[2], sudo=user[3])


def _binfmt(of: Found) -> Binfmt:
    state, trial = _one(of, "binfmt"), _one(of, "trial")
    return Binfmt(
        present=state[0] == "present",
        before=state[1] or "none",
        mounted=state[2] or "none",
        options=frozenset(words(state[3])),
        enabled=state[4] != "disabled",
        problem=state[5],
        fix_binary={"yes": True, "no": False}.get(trial[0]),
        trial_error=trial[1],
        held={"yes": True, "no": False}.get(_one(of, "binfmt-held")[0]),
    )


def _interpreters(of: Found) -> Mapping[str, Interpreter]:
    heads = bytes.fromhex(_one(of, "heads").text.replace("\n", ""))
    found = {}
    at = 0
    for record in of.get("interpreter", ()):
        size = number(record[2])
        head = heads[at : at + min(size, HEAD)]
        at += len(head)
        found[record[0]] = Interpreter(
            path=record[0], identity=record[1], size=size, mode=number(record[3], 8), header=elf.parse(head)
        )
    return found


def _probes(of: Found, expected: Mapping[str, int]) -> Mapping[str, Probe]:
    emulators = {record[0]: record for record in of.get("emulator", ())}
    natively = {record[0]: record[1] == "yes" for record in of.get("runs-natively", ())}
    spent = {record[0]: number(record[1]) / 1e6 for record in of.get("spent", ())}
    found = {}
    for record in of.get("probe", ()):
        name = record[0]
        seen = emulators.get(name, _NOTHING)
        found[name] = Probe(
            expected=expected[name],
            status=number(record[1]),
            executable=seen[1],
            held=seen[2],
            current=seen[3],
            version=seen[4],
            natively=natively.get(name),
            milliseconds=spent.get(name),
            held_sha256=seen[5],
            current_sha256=seen[6],
        )
    return found


def _files(of: Found) -> Mapping[str, File]:
    found = {r[0]: File(path=r[0], target=r[1]) for r in of.get("link", ())}
    for record in of.get("file", ()):
        text = record.text if record[4].startswith("regular") else None
        found[record[0]] = File(
            path=record[0], mode=number(record[1], 8), owner=record[2], group=record[3], text=text
        )
    return found


def _units(found: tuple[Record, ...]) -> Mapping[str, Mapping[str, str]]:
    """Systemctl separates units by an empty line, which arrives as a record without fields."""
    units: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for record in (*found, _NOTHING):
        if record[0]:
            current[record[0]] = record[1]
        elif current:
            units[current.get("Id", "")] = current
            current = {}
    return units
