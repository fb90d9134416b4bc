"""Whether a file that nobody named may be obeyed: its commands run here, as the user, who may be root.

As Ansible does for ansible.cfg: a file of the current folder counts only if nobody else could have written it.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path


def objection(file: Path) -> str:
    """What stands against a file found in the current folder: a clause; empty if nothing does. Raises OSError."""
    folder = file.absolute().parent
    # Whoever may write the folder of what a link leads to may put another file there.
    places = dict.fromkeys((folder, file.resolve().parent, file))
    return next((words for place in places if (words := _written_by_others(place, place.stat()))), "")


def _written_by_others(place: Path, seen: os.stat_result) -> str:
    name = "the folder" if stat.S_ISDIR(seen.st_mode) else "it"
    if seen.st_uid not in _trusted():
        return f"{name} belongs to {_name(seen.st_uid)}"
    if seen.st_mode & stat.S_IWOTH:
        return f"every user may write {place}"
    if seen.st_mode & stat.S_IWGRP and not _is_private(seen.st_gid):
        return f"the group {_group(seen.st_gid)} may write {place}"
    return ""


def _trusted() -> set[int]:
    """root, this user, and who became root by sudo: that user could run anything as root anyway."""
    trusted = {0, os.geteuid()}
    invoker = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and invoker.isdecimal():
        trusted.add(int(invoker))
    return trusted


def _is_private(gid: int) -> bool:
    """Whether only trusted users are in the group: root's, or a user's own, as Debian makes one for each user."""
    if gid == 0:
        return True
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        members = set()
    names = {user.pw_name for user in pwd.getpwall() if user.pw_gid == gid} | members
    return names <= {_name(uid) for uid in _trusted()}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
