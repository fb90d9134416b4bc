"""BuildKit's version numbers: reading them, and which are safe enough."""

from __future__ import annotations

import re
from typing import Final

from packaging.version import Version

from provision.errors import ConfigError
from provision.spec import DEFAULT_VERSION

# Tags of the repository: v0.12.5, v0.33.0-rc1, v0.6.0-beta1. It also holds dockerfile/1.26.0 and the like.
_PART: Final = r"(?:0|[1-9][0-9]*)"
_TAG: Final = re.compile(rf"v?(?P<number>{_PART}\.{_PART}\.{_PART})(?P<pre>-(?:rc|beta)[0-9]+)?")

REFUSED_BELOW: Final = "v0.12.5"
"""Older versions are installed only with `allow_insecure_version`."""
WARNED_BELOW: Final = "v0.31.2"
_SHOULD_BE_SKIPPED: Final = {
    "v0.32.0": "it pushes attestations in the wrong order and breaks ADD of hard links",
    "v0.32.1": "it was a partial repair of v0.32.0",
}


def canonical(text: str) -> str:
    """The tag a person means: "0.12.5" and "v0.12.5" are "v0.12.5". Raises ConfigError for anything else."""
    found = _TAG.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"{text!r} is not a BuildKit version",
            cause=f"a version has three numbers, as in {DEFAULT_VERSION}",
            hint='Write one as on https://github.com/moby/buildkit/releases, or "latest".',
        )
    return f"v{found['number']}{found['pre'] or ''}"


def is_version(text: str) -> bool:
    """Whether `text` names one version, finished or not."""
    return _TAG.fullmatch(text) is not None


def is_finished(text: str) -> bool:
    """Whether `text` names a finished version, not a release candidate or beta."""
    found = _TAG.fullmatch(text)
    return found is not None and found["pre"] is None


def number(version: str) -> Version:
    """What to compare and sort by; a release candidate comes before its release."""
    return Version(canonical(version))


def at_least(version: str, floor: str) -> bool:
    """Whether `version` has what appeared in `floor`."""
    return number(version) >= number(floor)


def warnings(version: str) -> tuple[str, ...]:
    """What a user should know of a version, each a sentence; none for a good one.

    Warned under v0.31.2, the newest security release (CVE-2026-15788 and others).
    """
    if not at_least(version, WARNED_BELOW):
        return (f"BuildKit {version} has known security holes; {WARNED_BELOW} is the first without them.",)
    if version in _SHOULD_BE_SKIPPED:
        return (
            f"BuildKit {version} should be skipped: {_SHOULD_BE_SKIPPED[version]}. Use {DEFAULT_VERSION}.",
        )
    return ()
