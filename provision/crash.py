"""What nobody foresaw: the traceback goes to a log file, the user gets one line and its path."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

from provision import __version__
from provision.errors import ProvisionError


class CrashError(ProvisionError):
    """A defect of this tool."""

    code = "crash"


def explain(error: BaseException) -> CrashError:
    """The error to show; writes the log."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    system = os.uname()
    head = (
        f"provision {__version__}, Python {sys.version.split()[0]}, "
        f"{system.sysname} {system.release} {system.machine}\n\n"
    )
    path = _written(head + "".join(lines))
    return CrashError(
        f"an error nobody foresaw: {type(error).__name__}: {error}",
        cause="a defect of this tool",
        hint=f"please report it with {path}"
        if path
        else f"please report it; no log can be written; {_where(error)}",
    )


def _written(text: str) -> Path | None:
    """The log, where one can be written. That it cannot must not hide the error itself."""
    for place in (_state, lambda: Path(tempfile.gettempdir())):
        # RuntimeError: there is no home.
        with suppress(OSError, RuntimeError):
            folder = place()
            # A name of its own for each, as several hosts may fail in one second; never through a link in /tmp.
            descriptor, name = tempfile.mkstemp(
                prefix=f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-", suffix=".log", dir=folder
            )
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(name)
    return None


def _state() -> Path:
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "provision"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _where(error: BaseException) -> str:
    """The line of ours that a report needs most, when there is no log."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        f"it arose in {frames[-1].filename}, line {frames[-1].lineno}"
        if frames
        else "it arose nowhere known"
    )
