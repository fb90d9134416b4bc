"""Which digest a download must have: the user's, the pinned one, or that of the release's provenance statement."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, Literal

from provision.buildkit.asset import EMPTY_FILE, Asset
from provision.buildkit.errors import MissingError, once_more
from provision.buildkit.source import read_small, shown
from provision.errors import ChecksumError

Origin = Literal["user", "pinned", "provenance", "built"]
"""Who says so; "built": the digest is that of an archive which this machine has packed itself."""

# A statement has about 100 KB; the cap keeps a broken mirror from filling the memory.
_STATEMENT_LIMIT: Final = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Digest:
    """The SHA-256 that a download must have, in lower-case hex, and where it comes from."""

    value: str
    source: Origin
    note: str = ""
    """A sentence for the report; empty when there is nothing to say."""


@cache
def pinned() -> Mapping[str, str]:
    """File name -> SHA-256 of the releases known when this tool was made (`sha256sum -c` format)."""
    text = resources.files("provision.buildkit").joinpath("sha256sums.txt").read_text(encoding="ascii")
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return MappingProxyType({name: value for value, name in rows})


def known_as(value: str) -> str | None:
    """The release file that has this digest, if the pinned table knows it."""
    return next((name for name, digest in pinned().items() if digest == value), None)


def digest_for(asset: Asset, *, given: Mapping[str, str], location: str) -> Digest:
    """What the archive at `location` must hash to: `given`, else the pinned table, else provenance.

    The user's (`given`) is used even where the table differs, and the note says so. The provenance statement
    lies beside the archive and is read unverified: it guards against accidents, not against intruders.
    Raises ChecksumError where no digest is known for the archive.
    """
    table = pinned().get(asset.name)
    if asset.key in given:
        return _users(asset, given[asset.key], table)
    if table is not None:
        return Digest(value=_good(table, "the pinned table"), source="pinned")
    return _from_provenance(asset, f"{location.rpartition('/')[0]}/{asset.provenance}")


def _users(asset: Asset, value: str, table: str | None) -> Digest:
    note = f"{asset.name} is checked against the digest you gave"
    if table not in (None, value):
        note += f", not against the pinned one ({table})"
    return Digest(value=value, source="user", note=f"{note}.")


def _from_provenance(asset: Asset, location: str) -> Digest:
    try:
        text = once_more(lambda: read_small(location, _STATEMENT_LIMIT))
    except MissingError as error:
        raise _no_digest_error(asset, f"{error.message}, and the pinned table does not know it") from error
    value = _subject(text, asset)
    if value is None:
        raise _no_digest_error(asset, f"{shown(location)} does not name it as its subject")
    note = (
        f"{asset.name} is not in the pinned table; it is checked against the statement published beside it, "
        "which is weaker: anyone who can replace the one can replace the other."
    )
    return Digest(value=_good(value, shown(location)), source="provenance", note=note)


def _subject(text: bytes, asset: Asset) -> str | None:
    """The asset's digest in an in-toto statement (in-toto.io/Statement/v1), if it is there exactly once."""
    try:
        statement: Any = json.loads(text)
        values = {entry["digest"]["sha256"] for entry in statement["subject"] if entry["name"] == asset.name}
        kind = statement["_type"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if len(values) != 1 or not str(kind).startswith("https://in-toto.io/Statement/"):
        return None
    value = str(values.pop())
    return value if re.fullmatch(r"[0-9a-f]{64}", value) else None


def _good(value: str, place: str) -> str:
    if value == EMPTY_FILE:
        raise ChecksumError(
            f"{place} names the digest of an empty file",
            cause="a download that failed was hashed when it was written",
            hint="Take the digest from another source; this one is never accepted.",
        )
    return value


def _no_digest_error(asset: Asset, cause: str) -> ChecksumError:
    return ChecksumError(
        f"no digest is known for {asset.name}",
        cause=cause,
        hint=f'Give its digest, [buildkit] sha256 = {{ "{asset.key}" = "…" }}, or take a pinned version.',
    )
