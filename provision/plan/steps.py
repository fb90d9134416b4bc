"""The steps a plan is made of. Each is data: `templates/apply.sh` has one shell function per kind.

`id`, `action` and `target` are what reports show; `detail` is a diff or a sentence.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from provision.facts import Facts


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to be done. `kind` chooses the shell function that does it."""

    kind: ClassVar[str]
    fatal: ClassVar[bool] = True
    """Whether the steps after a failed one are skipped. One handler's failure does not stop the others."""

    id: str
    action: str
    target: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class InstallPackages(Step):
    """QEMU comes from the distribution."""

    kind: ClassVar[str] = "packages"

    manager: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MountBinfmt(Step):
    """binfmt_misc is loaded and mounted now."""

    kind: ClassVar[str] = "mount"


@dataclass(frozen=True, kw_only=True)
class EnableBinfmt(Step):
    """Somebody wrote 0 to binfmt_misc's `status`: every handler is off."""

    kind: ClassVar[str] = "enable-binfmt"


@dataclass(frozen=True, kw_only=True)
class SendInterpreter(Step):
    """An emulator of this machine: its bytes come with the script, before those of an archive."""

    kind: ClassVar[str] = "interpreter"

    file: Path
    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A handler with one choice of flags: the same entry under three names (`templates/apply.sh`)."""

    flags: str
    line: str
    standby: str
    trial: str


@dataclass(frozen=True, kw_only=True)
class RegisterHandler(Step):
    """A handler is proven and put into the kernel, without a moment without one."""

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
    """Best first; the first whose probe gets its arguments right is taken."""
    optional: bool
    """Nobody named this platform: an emulator that the packages lack is no failure."""


@dataclass(frozen=True, kw_only=True)
class WriteRule(Step):
    """The binfmt.d file of a handler: holds the line of the variant that was taken."""

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
    """A file gets this content and mode, and belongs to root."""

    kind: ClassVar[str] = "file"

    path: str
    content: str
    mode: str = "0644"


@dataclass(frozen=True, kw_only=True)
class CreateGroup(Step):
    """A system group."""

    kind: ClassVar[str] = "group"

    group: str


@dataclass(frozen=True, kw_only=True)
class AddMember(Step):
    """A user joins a group."""

    kind: ClassVar[str] = "member"

    group: str
    user: str


@dataclass(frozen=True, kw_only=True)
class UnpackRelease(Step):
    """A BuildKit release is verified and unpacked into a folder of its own."""

    kind: ClassVar[str] = "release"

    folder: str
    archive: str
    sha256: str
    header: str
    """How its programs begin (`elf.pattern`): a handler may well run those of another machine."""
    url: str | None
    """Where the host downloads the archive itself; None: its bytes come with the script, or are cached there."""


@dataclass(frozen=True, kw_only=True)
class MakeLink(Step):
    """A symlink is switched."""

    kind: ClassVar[str] = "link"

    path: str
    to: str


@dataclass(frozen=True, kw_only=True)
class RunUnit(Step):
    """systemd is told to do something."""

    kind: ClassVar[str] = "unit"

    verb: Literal["enable", "start", "restart"]
    unit: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to be done on one host, in this order; empty when all is as wanted."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    """What is worth knowing and changes nothing: a shadowed entry, a weaker checksum."""
    generation: str = ""

    @property
    def empty(self) -> bool:
        return not self.steps


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """How a file differs from what it shall be."""

    action: str
    detail: str


def file_change(path: str, content: str, facts: Facts) -> FileChange | None:
    """The change to a file that belongs to root and everybody may read; None if it is so already."""
    old = facts.files.get(path)
    if old is None:
        return FileChange(action="create", detail=diff(path, None, content))
    if old.text != content:
        return FileChange(action="update", detail=diff(path, old.text, content))
    if (old.mode, old.owner, old.group) != (0o644, "root", "root"):
        rights = f"-mode {old.mode:04o} {old.owner}:{old.group}\n+mode 0644 root:root"
        return FileChange(action="update", detail=rights)
    return None


def write_file(id_: str, path: str, content: str, facts: Facts) -> tuple[WriteFile, ...]:
    """The step that makes a file so; none if it is."""
    change = file_change(path, content, facts)
    if change is None:
        return ()
    return (
        WriteFile(
            id=id_, action=change.action, target=path, detail=change.detail, path=path, content=content
        ),
    )


def diff(path: str, old: str | None, new: str) -> str:
    """A unified diff; of a new file all lines are additions."""
    before = [] if old is None else old.splitlines()
    lines = difflib.unified_diff(
        before, new.splitlines(), fromfile="/dev/null" if old is None else path, tofile=path, lineterm=""
    )
    return "\n".join(lines)
