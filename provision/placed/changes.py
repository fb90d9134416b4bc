"""How a file or link on a host differs from what is to be there. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from provision.facts import Facts
from provision.placed import Link


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """How a file differs from what is wanted. `action`: create or update."""

    action: str
    detail: str


def file_change(path: str, content: str, facts: Facts, mode: int = 0o644) -> FileChange | None:
    """The change that gives a file this content and mode, and root as owner; None if it is already so."""
    old = facts.files.get(path)
    if old is None:
        return FileChange(action="create", detail=diff(path, None, content))
    if old.text != content:
        return FileChange(action="update", detail=diff(path, old.text, content))
    if (old.mode, old.owner, old.group) != (mode, "root", "root"):
        rights = f"-mode {old.mode:04o} {old.owner}:{old.group}\n+mode {mode:04o} root:root"
        return FileChange(action="update", detail=rights)
    return None


def link_change(link: Link, facts: Facts) -> FileChange | None:
    """The change that makes the link; None if it is already so."""
    old = facts.files.get(link.path)
    if old is None:
        return FileChange(action="create", detail=f"+{link.to}")
    if old.target == link.to:
        return None
    before = old.target or "a file of its own (kept as .before-provision)"
    return FileChange(action="update", detail=f"-{before}\n+{link.to}")


def diff(path: str, old: str | None, new: str) -> str:
    """A unified diff. In that of a new file (`old` is None) all lines are additions."""
    before = [] if old is None else old.splitlines()
    lines = difflib.unified_diff(
        before, new.splitlines(), fromfile="/dev/null" if old is None else path, tofile=path, lineterm=""
    )
    return "\n".join(lines)
