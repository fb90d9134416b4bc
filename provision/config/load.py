"""Reading `provision.toml`: every problem of the file is found at once and named by its place.

A flag beats a host's section, which beats the file, which beats the defaults.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from provision.config import document
from provision.config.settings import SETTINGS
from provision.config.table import Override, Problems, Table
from provision.config.trust import objection
from provision.errors import ConfigError
from provision.spec import DEFAULT_VERSION, Config

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - tomllib is younger than Python 3.10
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

PLACES: Final = (Path("provision.toml"), Path("/etc/provision/provision.toml"))
"""Where a file is looked for when none is named."""


def load(
    path: str | Path | None = None,
    overrides: Iterable[Override] = (),
    *,
    places: Sequence[Path] = PLACES,
    warn: Callable[[str], None] = lambda _line: None,
) -> Config:
    """The configuration of a run: `path`, else the first of `places` that exists, else the defaults.

    `overrides` are the flags that were given. A file of the current folder that others could have written is left out,
    and `warn` is told. Raises ConfigError with every problem there is, TypeError for an
    override of a setting that `settings.SETTINGS` lacks.
    """
    file = (
        Path(path) if path is not None else next((place for place in places if _counts(place, warn)), None)
    )
    given = {each.place: each for each in overrides}
    if unknown := {each.setting for each in given.values()} - SETTINGS.keys():
        raise TypeError(f"no settings: {', '.join(sorted(unknown))}")
    problems = Problems(file=file, overrides=given)
    with Table(_parse(file) if file else {}, rows=SETTINGS, problems=problems) as root:
        spec, ssh = document.spec(root), document.ssh(root)
        inventory = document.inventory(root, spec.buildkit.tls)
        buildx = document.buildx(root)
    problems.refuse_any()
    return Config(
        spec=spec,
        ssh=ssh,
        buildx=buildx,
        inventory=inventory,
        path=file.absolute() if file else None,
        pinned=frozenset(each.setting for each in given.values()),
    )


def _counts(place: Path, warn: Callable[[str], None]) -> bool:
    """Whether there is a file at a place where files are looked for, and nobody else could have written it."""
    try:
        if not place.is_file():
            return False
        found = "" if place.is_absolute() else objection(place)
    except OSError:  # a folder that may not be searched
        return False
    if found:
        warn(f"warning: {place} here is left out, as others could have written it: {found}")
        warn(f"  what to do: if you trust it, name it: --config {place}")
    return not found


def _parse(file: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read",
            cause=error.strerror or type(error).__name__,
            hint="Name an existing file with --config, or leave it out to use the defaults.",
        ) from error
    try:
        values: dict[str, Any] = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{file}:{line}: not UTF-8", hint="TOML files are UTF-8; save it as that."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(file, data, str(error)) from error
    except RecursionError as error:
        raise ConfigError(f"{file}: nested too deeply") from error
    except ValueError as error:  # Python reads no number of more than 4300 digits
        raise ConfigError(
            f"{file}: holds a value that cannot be read", cause=str(error), hint="Write it shorter."
        ) from error
    return values


def _syntax_error(file: Path, data: bytes, message: str) -> ConfigError:
    """The parser's message ends in "(at line 3, column 5)" or "(at end of document)"."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    line = found[1] if found and found[1] else str(data.count(b"\n") + 1)
    words = message[: found.start()] if found else message
    column = f" (column {found[2]})" if found and found[2] else ""
    return ConfigError(
        f"{file}:{line}: {words}{column}",
        cause="the line is not TOML; often a quote or a bracket is missing there or just above",
        hint=f'Text stands in double quotes: version = "{DEFAULT_VERSION}".',
    )
