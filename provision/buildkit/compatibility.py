"""What a version of BuildKit must be for the wanted settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from provision.buildkit.version import REFUSED_BELOW, at_least
from provision.spec import Buildkit, Log

# The first release whose configuration knows the key (cmd/buildkitd/config/config.go at each tag). An older
# daemon would ignore it without a word.
LIMITS_SINCE: Final = "v0.17.0"
_LEVEL_SINCE: Final = "v0.30.0"
_FORMAT_SINCE: Final = "v0.13.0"
_BRIDGE_SINCE: Final = "v0.13.0"
_PARALLELISM_SINCE: Final = "v0.9.0"


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A setting that a version cannot be installed with."""

    setting: str
    """Its place in the configuration, `buildkit.log.level`."""
    problem: str
    """The rest of a sentence that the setting begins, with what to do."""


def conflicts(buildkit: Buildkit, version: str) -> tuple[Conflict, ...]:
    """What stands against installing `version` with these settings; nothing if it suits.

    The reader of the configuration asks for the version that it names, `release.wanted_version` for the one that
    "latest" turns out to be. No later step needs to ask again.
    """
    too_new = (
        Conflict(
            setting=f"buildkit.{setting}",
            problem=f"needs BuildKit {since} or newer, not {version} (which would ignore it without a word); "
            f"leave it out, or choose a newer version",
        )
        for setting, since in _needs(buildkit)
        if not at_least(version, since)
    )
    return (*_insecure(buildkit, version), *too_new)


def _needs(buildkit: Buildkit) -> Iterator[tuple[str, str]]:
    """The settings that were changed from their defaults, and the first release that knows each."""
    if buildkit.log.format != Log.format:
        yield "log.format", _FORMAT_SINCE
    if buildkit.log.level != Log.level:
        yield "log.level", _LEVEL_SINCE
    if buildkit.network == "bridge":
        yield "network", _BRIDGE_SINCE
    if buildkit.max_parallelism is not None:
        yield "max_parallelism", _PARALLELISM_SINCE
    for key in buildkit.gc:
        yield f"gc.{key}", LIMITS_SINCE


def _insecure(buildkit: Buildkit, version: str) -> Iterator[Conflict]:
    """Below v0.12.5 a build step or image can leave its container and become root on the host.

    "Leaky Vessels": CVE-2024-23650 to 23653, and CVE-2024-21626 in its runc.
    """
    if not at_least(version, REFUSED_BELOW) and not buildkit.allow_insecure_version:
        yield Conflict(
            setting="buildkit.version",
            problem=f"is refused: a build can break out of {version} and take over the host "
            f'("Leaky Vessels", CVE-2024-23651, 23653 and 21626, fixed in {REFUSED_BELOW}); '
            "choose a newer version, or set allow_insecure_version = true",
        )
