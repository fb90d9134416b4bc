"""The SSH configuration of a builder's nodes: a file of ours in ~/.ssh, and one line in ~/.ssh/config that reads it.

Only where a node needs an alias (`way`). Both are changed by a temporary file and a rename.
"""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from provision.builder.way import Section
from provision.errors import UsageError
from provision.render import render

MARK: Final = "made by provision, which removes it when no builder needs it"
INCLUDE: Final = "Include provision/*.conf"
"""Relative to ~/.ssh (ssh_config(5)). It comes first: behind a `Host` it would count for that host alone."""
_COMMENT: Final = f"# the nodes of buildx builders: {MARK}"
_LINES: Final = (_COMMENT, INCLUDE)


def folder() -> Path:
    """The ~/.ssh that `ssh` reads: it goes by the password database, whatever HOME says."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh"


def text(builder: str, sections: Iterable[Section], keepalive: int) -> str:
    """The file of a builder."""
    sections = tuple({each.alias: each for each in sections}.values())
    return render("builder.ssh.conf", builder=builder, sections=sections, keepalive=keepalive, mark=MARK)


def write(builder: str, wanted: str, ssh: Path) -> tuple[str, ...]:
    """Put a builder's file in its place, and the line that includes it; the paths that were changed.

    Raises UsageError where they cannot be written.
    """
    place, config = _place(builder, ssh), ssh / "config"
    try:
        changed = []
        if _read(place) != wanted:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(place, wanted)
            changed.append(str(place))
        if INCLUDE not in _read(config).splitlines():
            _replace(config, "\n".join((*_LINES, "", _read(config))))
            changed.append(str(config))
    except OSError as error:
        raise _refused(error, ssh) from error
    return tuple(changed)


def remove(builder: str, ssh: Path) -> tuple[str, ...]:
    """Take a builder's file away, and the line with the last of them; the paths that were changed."""
    place, config = _place(builder, ssh), ssh / "config"
    try:
        if not place.is_file():
            return ()
        place.unlink()
        changed = [str(place)]
        if not any(place.parent.glob("*.conf")):
            with suppress(OSError):  # somebody keeps another file there
                place.parent.rmdir()
            lines = _read(config).splitlines(keepends=True)
            kept = [line for line in lines if line.rstrip("\n") not in _LINES]
            if len(kept) < len(lines):
                _replace(config, "".join(kept).lstrip("\n"))
                changed.append(str(config))
    except OSError as error:
        raise _refused(error, ssh) from error
    return tuple(changed)


def _place(builder: str, ssh: Path) -> Path:
    return ssh / "provision" / f"{builder.lower()}.conf"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _replace(path: Path, content: str) -> None:
    """A link stays one: configurations are often kept in a repository. ssh refuses a file that others may write."""
    real = Path(os.path.realpath(path))
    mode = real.stat().st_mode & 0o777 if real.exists() else 0o600
    if not content and real.exists():
        real.unlink()
        return
    with tempfile.NamedTemporaryFile("wb", dir=real.parent, prefix=f".{real.name}.", delete=False) as file:
        try:
            file.write(content.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
            os.replace(file.name, real)  # noqa: PTH105 - the name is text
        except BaseException:
            os.unlink(file.name)  # noqa: PTH108
            raise


def _refused(error: OSError, ssh: Path) -> UsageError:
    return UsageError(
        f"{error.filename or ssh} cannot be changed",
        cause=error.strerror or type(error).__name__,
        hint="buildx's ssh needs it to reach the hosts as this tool does. Make it writable for you.",
    )
