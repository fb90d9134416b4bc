"""What nobody foresaw: the traceback goes to a log file, the user gets one line and its path."""

from __future__ import annotations

import os
import platform
import tempfile
import time
import traceback
from pathlib import Path

from provision import __version__
from provision.errors import ProvisionError


class CrashError(ProvisionError):
    """A defect of this tool."""

    code = "crash"


def explain(error: Exception) -> CrashError:
    """The error to show; writes the log."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    head = f"provision {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    path = _log()
    path.write_text(head + "".join(lines), encoding="utf-8")
    return CrashError(
        f"an error nobody foresaw: {type(error).__name__}: {error}",
        cause="a defect of this tool",
        hint=f"please report it with {path}",
    )


def _log() -> Path:
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "provision"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir())
    return folder / name
