"""Reading `provision.toml`: every problem of the file is found at once and named by its place.

A flag beats a host's section, which beats the file, which beats the defaults.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from provision.config import settings
from provision.config.table import FLAGS, Section, Sink
from provision.errors import ConfigError
from provision.spec import Config

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - tomllib is younger than Python 3.10
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

PLACES: Final = (Path("provision.toml"), Path("/etc/provision/provision.toml"))
"""Where a file is looked for when none is named."""


def load(
    path: str | Path | None = None,
    flags: Mapping[str, object] | None = None,
    *,
    places: Sequence[Path] = PLACES,
) -> Config:
    """The configuration of a run: `path`, else the first of `places` that exists, else the defaults.

    `flags` are the values of command-line options by name (`buildkit_version`); None means not given.
    Raises ConfigError with every problem there is, TypeError for a flag that `section.FLAGS` lacks.
    """
    file = Path(path) if path is not None else next((place for place in places if place.is_file()), None)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    sink = Sink(
        file=file,
        overrides={FLAGS[name].path: (name, FLAGS[name].read(given[name])) for name in _known(given)},
    )
    with Section(_parse(file) if file else {}, sink=sink) as root:
        spec, ssh, inventory = settings.spec(root), settings.ssh(root), settings.inventory(root)
    sink.complain()
    return Config(
        spec=spec,
        ssh=ssh,
        inventory=inventory,
        path=file.absolute() if file else None,
        pinned=frozenset(given),
    )


def _known(flags: Mapping[str, object]) -> Mapping[str, object]:
    if unknown := set(flags) - set(FLAGS):
        raise TypeError(f"no flags of the configuration: {', '.join(sorted(unknown))}")
    return flags


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
    return values


def _syntax_error(file: Path, data: bytes, said: str) -> ConfigError:
    """The parser's words end in "(at line 3, column 5)" or "(at end of document)"."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", said)
    line = found[1] if found and found[1] else str(data.count(b"\n") + 1)
    words = said[: found.start()] if found else said
    column = f" (column {found[2]})" if found and found[2] else ""
    return ConfigError(
        f"{file}:{line}: {words}{column}",
        cause="the line is not TOML; often a quote or a bracket is missing there or just above",
        hint='Text stands in double quotes: version = "v0.32.2".',
    )
