"""Unexpected errors: the traceback goes to a log file, the user gets one line and the path of the log."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

from provision import __version__, user_folders
from provision.errors import ProvisionError
from provision.plain import clean


class CrashError(ProvisionError):
    """A defect of this tool."""

    code = "crash"


def explain(error: BaseException) -> CrashError:
    """The error to show. Writes the log."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    system = os.uname()
    head = (
        f"provision {__version__}, Python {sys.version.split()[0]}, "
        f"{system.sysname} {system.release} {system.machine}\n\n"
    )
    log = _write_log(clean(head + "".join(lines)))
    return CrashError(
        f"unexpected error: {type(error).__name__}: {error}",
        cause="a defect of this tool",
        hint=f"please report it with {log}"
        if log
        else f"please report it; no log can be written; {_place_of(error)}",
    )


def _write_log(text: str) -> Path | None:
    """The log; None where none can be written, which must not hide the error itself."""
    for folder_of in (_made_state_folder, lambda: Path(tempfile.gettempdir())):
        # RuntimeError: there is no home.
        with suppress(OSError, RuntimeError):
            folder = folder_of()
            # A name of its own for each, as several hosts may fail in one second; never through a link in /tmp.
            descriptor, name = tempfile.mkstemp(
                prefix=f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-", suffix=".log", dir=folder
            )
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(name)
    return None


def _made_state_folder() -> Path:
    folder = user_folders.state()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place_of(error: BaseException) -> str:
    """The line that a report needs most when there is no log."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        f"it was raised in {frames[-1].filename}, line {frames[-1].lineno}"
        if frames
        else "it has no traceback"
    )
