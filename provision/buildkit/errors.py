"""Errors of fetching a release. The caller treats each kind in another way."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from provision.errors import ReleaseError

T = TypeVar("T")


class MissingError(ReleaseError):
    """The server or folder is there, but has no such file."""


class CutError(ReleaseError):
    """The network broke, or the server was busy: trying again may help."""


class LoopError(ReleaseError):
    """A server redirects without end."""


class SilentError(CutError):
    """The server has no name here, takes no connection, or gave no answer in time."""


class NoAssetError(ReleaseError):
    """No release is published for the machine."""


class StoppedBuildError(ReleaseError):
    """The user pressed Ctrl-C, which ended a build on this machine."""


def once_more(action: Callable[[], T], pause: float = 1.0) -> T:
    """Do `action`, and repeat it once after `pause` seconds if the network broke."""
    try:
        return action()
    except CutError:
        time.sleep(pause)
        return action()


def explain_local(error: OSError, path: str) -> ReleaseError:
    """The error for a failure of this machine's disk."""
    hint = "Check the folder's owner and mode."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Make room, then run it again: what was fetched is kept."
    return ReleaseError(
        f"cannot use {error.filename or path}", cause=error.strerror or str(error), hint=hint
    )
