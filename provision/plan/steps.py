"""The steps of a plan. Each is data: `templates/apply.sh` has a shell function for each kind.

`id`, `action` and `target` are what reports show; `detail` is a diff or a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from provision.facts import Facts
from provision.placed.changes import file_change
from provision.services.manager import Name

Verb = Literal["enable", "disable", "stop"]
"""What a service manager can be told. What starts a daemon proves it, too: `StartDaemon`."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change to a host. `kind` chooses the shell function that makes it."""

    kind: ClassVar[str]
    fatal: ClassVar[bool] = True
    """Whether a failure of this step skips all later steps. A handler that fails does not stop the others."""

    id: str
    action: str
    target: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordLines(Step):
    """Adds lines to the record on the host (provision/facts/host_record.py). Other steps add their own lines."""

    kind: ClassVar[str] = "record"

    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TidyUp(Step):
    """Removes what a run that was killed has left; the list of packages before it is concluded."""

    kind: ClassVar[str] = "tidy"
    fatal: ClassVar[bool] = False

    paths: tuple[str, ...]
    handlers: tuple[str, ...]
    """Entries of the kernel's table that were for a trial, or stood in for another one."""


@dataclass(frozen=True, kw_only=True)
class InstallPackages(Step):
    """Installs QEMU from the distribution."""

    kind: ClassVar[str] = "packages"

    manager: str
    packages: tuple[str, ...]
    instead: str = ""
    """The package where no repository has `packages`, which the host finds out; empty if that is known."""
    removes: tuple[str, ...] = ()
    """Packages that are removed for it. The step fails rather than remove any other."""


@dataclass(frozen=True, kw_only=True)
class InstallRunc(Step):
    """runc comes from the distribution, and is new enough: for a BuildKit that was built from source."""

    kind: ClassVar[str] = "runc"

    manager: str
    oldest: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class MountBinfmt(Step):
    """Loads and mounts binfmt_misc."""

    kind: ClassVar[str] = "mount"

    manager: Name


@dataclass(frozen=True, kw_only=True)
class EnableBinfmt(Step):
    """Enables binfmt_misc where its `status` is 0, which disables every handler."""

    kind: ClassVar[str] = "enable-binfmt"


@dataclass(frozen=True, kw_only=True)
class SendInterpreter(Step):
    """Installs an emulator of this machine: its bytes follow the script, before those of an archive."""

    kind: ClassVar[str] = "interpreter"

    file: Path
    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A handler with one choice of emulator and flags: the same entry under three names (`templates/apply.sh`)."""

    interpreter: str
    flags: str
    line: str
    standby: str
    trial: str


@dataclass(frozen=True, kw_only=True)
class RegisterHandler(Step):
    """Proves a handler and registers it. Programs are never without a handler meanwhile."""

    kind: ClassVar[str] = "handler"
    fatal: ClassVar[bool] = False

    qemu: str
    name: str
    interpreter: str
    probe: str
    """The probe program as POSIX printf's octal escapes."""
    trial_probe: str
    """The same with the padding of the trial entry's magic."""
    argc: int
    variants: tuple[Variant, ...]
    """Best first; the first whose emulator is there and whose probe counts its arguments right is taken."""
    optional: bool
    """`platforms` does not name it: an emulator that the packages lack is no failure."""
    was: str = ""
    """The line of somebody else's entry of that name; empty if there is none."""


@dataclass(frozen=True, kw_only=True)
class WriteRule(Step):
    """Writes the binfmt.d file of a handler, with the line of the variant that was taken."""

    kind: ClassVar[str] = "rule"
    fatal: ClassVar[bool] = False

    qemu: str
    path: str
    header: str
    line: str
    follows: bool
    """Whether a RegisterHandler before it decides the line."""


@dataclass(frozen=True, kw_only=True)
class WriteFile(Step):
    """Gives a file this content and mode, and root as owner."""

    kind: ClassVar[str] = "file"

    path: str
    content: str
    mode: str = "0644"


@dataclass(frozen=True, kw_only=True)
class WriteSecret(WriteFile):
    """The same for a file that nobody else may read: its content is in the script alone."""

    content: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CreateGroup(Step):
    """Creates a system group."""

    kind: ClassVar[str] = "group"

    group: str


@dataclass(frozen=True, kw_only=True)
class AddMember(Step):
    """Adds a user to a group."""

    kind: ClassVar[str] = "member"

    group: str
    user: str
    optional: bool = False
    """The user called sudo, and is not named: that one cannot be added is no failure."""


@dataclass(frozen=True, kw_only=True)
class UnpackRelease(Step):
    """Verifies a BuildKit release and unpacks it into a folder of its own."""

    kind: ClassVar[str] = "release"

    folder: str
    archive: str
    sha256: str
    header: str
    """The pattern for the first bytes of its programs (`elf.pattern`): a handler could run those of another machine."""
    url: str | None
    """Where the host downloads the archive itself; None: its bytes follow the script, or are in the host's cache."""


@dataclass(frozen=True, kw_only=True)
class MakeLink(Step):
    """Switches a symlink."""

    kind: ClassVar[str] = "link"

    path: str
    to: str


@dataclass(frozen=True, kw_only=True)
class WaitForBuilds(Step):
    """Waits until the daemon works on no build. When time is up, this step fails and the daemon is left as it is."""

    kind: ClassVar[str] = "drain"

    seconds: int
    only_after: tuple[str, ...] = ()
    """Ids of steps: if none of them was done, this one is skipped. Empty: it depends on none."""


@dataclass(frozen=True, kw_only=True)
class SaveGeneration(Step):
    """Saves what the running daemon was started from, for a way back."""

    kind: ClassVar[str] = "save"

    generation: str
    version: str
    folder: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StartDaemon(Step):
    """Starts the daemon, anew if it runs, and has it answer. One that is worse than the old one is taken back."""

    kind: ClassVar[str] = "start"

    manager: Name
    service: str
    generation: str
    """What it is started from."""
    back: str = ""
    """The saved generation to go back to; empty if there is none: then a daemon that fails is stopped for good."""
    copy_for: str = ""
    """The version whose state's metadata is copied before, as an older one takes it over; empty: nothing is copied."""
    platforms: tuple[str, ...] = ()
    """What it has to list, without variants: the old one does."""
    only_after: tuple[str, ...] = ()
    """As for `WaitForBuilds`."""


@dataclass(frozen=True, kw_only=True)
class RemoveTree(Step):
    """Removes a folder of this tool with all in it, or a file."""

    kind: ClassVar[str] = "remove-tree"
    fatal: ClassVar[bool] = False

    path: str
    entry: str = "release"
    """The kind of its entry in the record."""


@dataclass(frozen=True, kw_only=True)
class RemoveFile(Step):
    """Removes a file or link of this tool; what was there before comes back."""

    kind: ClassVar[str] = "remove-file"
    fatal: ClassVar[bool] = False

    path: str
    file_kind: Literal["file", "link"]


@dataclass(frozen=True, kw_only=True)
class RemoveHandler(Step):
    """Removes a handler of this tool; the one of before comes back."""

    kind: ClassVar[str] = "remove-handler"
    fatal: ClassVar[bool] = False

    name: str
    was: str


@dataclass(frozen=True, kw_only=True)
class RemoveFolders(Step):
    """Removes folders that this tool made, if they are empty."""

    kind: ClassVar[str] = "remove-folders"
    fatal: ClassVar[bool] = False

    folders: tuple[str, ...]
    """The deepest first."""


@dataclass(frozen=True, kw_only=True)
class RemovePackages(Step):
    """Removes packages that came with this tool, unless others depend on them."""

    kind: ClassVar[str] = "remove-packages"
    fatal: ClassVar[bool] = False

    manager: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RemoveGroup(Step):
    """Removes a group that this tool made."""

    kind: ClassVar[str] = "remove-group"
    fatal: ClassVar[bool] = False

    group: str


@dataclass(frozen=True, kw_only=True)
class RemoveRecord(Step):
    """Removes what runs of this tool keep for themselves, and the record if nothing is left in it."""

    kind: ClassVar[str] = "remove-record"
    fatal: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class RunService(Step):
    """Gives a service manager a command for a service (templates/services/MANAGER.sh)."""

    kind: ClassVar[str] = "service"

    manager: Name
    verb: Verb
    service: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All changes to one host, in their order; empty if it is as wanted."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the user about what no step changes: a shadowed entry, a weaker checksum."""
    generation: str = ""

    @property
    def empty(self) -> bool:
        return not self.steps


def write_file(id_: str, path: str, content: str, facts: Facts, mode: int = 0o644) -> tuple[WriteFile, ...]:
    """The step that makes that change; empty if none is needed."""
    change = file_change(path, content, facts, mode)
    if change is None:
        return ()
    return (
        WriteFile(
            id=id_,
            action=change.action,
            target=path,
            detail=change.detail,
            path=path,
            content=content,
            mode=f"{mode:04o}",
        ),
    )
