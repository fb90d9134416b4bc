"""What buildkitd and its build steps stand on: folders, programs, limits. Read from templates/facts/basis.sh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from provision.facts.records import Record, number, words

Kind = Literal["none", "folder", "file", "link", "other"]
_KINDS: Final[Mapping[str, Kind]] = {"folder": "folder", "file": "file", "link": "link", "other": "other"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder that the daemon writes to, or the file of its log."""

    kind: Kind = "none"
    """link: a symlink that leads nowhere. One that leads to a folder is a folder. other: no folder."""
    target: str = ""
    """Where it leads, if it is a symlink."""
    problem: str = ""
    """Why no file could be made there, or why the file cannot be written to."""

    @property
    def full(self) -> bool:
        """Whether it is only that: how much room is left is a fact of its own."""
        return self.problem.startswith("No space left")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A program of a release that is not as it was unpacked."""

    program: str
    lost: bool
    """Whether it is gone; else its content, mode or owner is another."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The program that starts build steps. An empty path: there is none."""

    path: str = ""
    said: str = ""
    """The first line of its version."""
    problem: str = ""
    """How it ended instead."""


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """A buildkitd of somebody else that is in the way of this tool's."""

    pid: int
    program: str
    unit: str
    """The last part of its control group: "buildkitd.service", "session-3.scope"."""
    state: bool
    """Whether it has the state folder's lock."""
    socket: bool
    """Whether it listens on the socket."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A file of `[buildkit.tls]`."""

    lost: bool = False
    modified: int = 0
    """Seconds since 1970."""
    text: str = ""
    """Empty for a key, which never leaves the host."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """All of it. What was not looked at is empty, and nothing is concluded from it."""

    places: Mapping[str, Place] = field(default_factory=dict)
    damage: Mapping[str, tuple[Damage, ...]] = field(default_factory=dict)
    """By the folder of the release."""
    runtime: Runtime | None = None
    capabilities: Mapping[str, int] = field(default_factory=dict)
    """The bounding sets of the daemon ("daemon"), of process 1 ("init") and of this session ("self")."""
    lock: bool | None = None
    """Whether the state that the daemon has open is the one at its path."""
    strangers: tuple[Stranger, ...] = ()
    no_namespaces: tuple[str, ...] = ()
    """Kinds of namespaces of which the kernel allows none."""
    namespaces_used_up: bool = False
    """Whether there are as many of some kind as the kernel allows."""
    no_control_group: str = ""
    """Why no control group could be made."""
    no_devices: tuple[str, ...] = ()
    """Devices of build steps that are not there, or are no devices."""
    resolvers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the file that names them."""
    no_resolvers: str = ""
    """Why the file that names them cannot be read."""
    command_line: str = ""
    """The file that holds the kernel's command line."""
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    public_key: str = ""
    """The sha256 of the public half of the TLS key, or another word where it is known not to fit; empty: not known."""


def read(of: Mapping[str, Sequence[Record]]) -> Basis:
    """The basis in the records of an answer, by their kind."""
    damage: dict[str, tuple[Damage, ...]] = {}
    for each in of.get("damage", ()):
        found = Damage(program=each[1], lost=each[2] == "lost")
        damage[each[0]] = (*damage.get(each[0], ()), found)
    lock, groups, key = of.get("lock"), of.get("no-control-group"), of.get("public-key")
    return Basis(
        places={
            r[0]: Place(kind=_KINDS.get(r[1], "none"), target=r[2], problem=r[3])
            for r in of.get("place", ())
        },
        damage=damage,
        runtime=next((Runtime(path=r[0], said=r[1], problem=r[2]) for r in of.get("runtime", ())), None),
        capabilities={r[0]: number(r[1], 16) for r in of.get("capabilities", ())},
        lock=lock[0][0] == "yes" if lock else None,
        strangers=tuple(map(_stranger, of.get("stranger", ()))),
        no_namespaces=tuple(r[0] for r in of.get("no-namespaces", ())),
        namespaces_used_up="namespaces-used-up" in of,
        no_control_group=(groups[0][0] or "mkdir failed") if groups else "",
        no_devices=next((words(r[0], " ") for r in of.get("no-devices", ())), ()),
        resolvers={r[0]: words(r[1], " ") for r in of.get("resolvers", ())},
        no_resolvers=next(((r[0] or "it is no file") for r in of.get("no-resolvers", ())), ""),
        command_line=next((r[0] for r in of.get("command-line", ())), ""),
        certificates={
            r[0]: Certificate(lost=r[1] == "lost", modified=number(r[1]), text=r.text)
            for r in of.get("certificate", ())
        },
        public_key=key[0][0].partition(" ")[0] if key else "",
    )


def _stranger(record: Record) -> Stranger:
    has = words(record[3], " ")
    return Stranger(
        pid=number(record[0]),
        program=record[1],
        unit=record[2],
        state="state" in has,
        socket="socket" in has,
    )
