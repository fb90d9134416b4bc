"""The daemon's history: `buildctl debug histories --format '{{json .}}'`, a line for each build."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from provision.result.logs import BuildRow, BuildStatus

_CANCELED: Final = 1
"""google.rpc.Code."""
_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MOST: Final = 2000
"""Characters of an error that are kept: it may quote a whole command."""


def parse_builds(lines: Iterable[str], outputs: Mapping[str, tuple[str, ...]]) -> tuple[BuildRow, ...]:
    """The builds, the newest last. `outputs` are the last lines of some, by their ref. The rest is left out."""
    found = {}
    for line in lines:
        try:
            row = _row(json.loads(line)["record"], outputs)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
        found[row.ref] = row
    return tuple(sorted(found.values(), key=lambda row: row.created or 0.0))


def _row(record: Mapping[str, Any], outputs: Mapping[str, tuple[str, ...]]) -> BuildRow:
    ref = str(record["Ref"])
    if not _REF.fullmatch(ref):
        raise ValueError(ref)
    begun, ended = _moment(record.get("CreatedAt")), _moment(record.get("CompletedAt"))
    error = record.get("error") or {}
    attributes = record.get("FrontendAttrs") or {}
    return BuildRow(
        ref=ref,
        status=_status(ended, error),
        created=begun,
        seconds=round(ended - begun, 3) if begun is not None and ended is not None else None,
        platforms=tuple(filter(None, str(attributes.get("platform", "")).split(","))),
        steps=int(record.get("numTotalSteps") or 0),
        cached=int(record.get("numCachedSteps") or 0),
        error=str(error.get("message", ""))[:_MOST],
        output=outputs.get(ref, ()),
    )


def _status(ended: float | None, error: Mapping[str, Any]) -> BuildStatus:
    if ended is None:
        return "running"
    if not error:
        return "completed"
    return "canceled" if error.get("code") == _CANCELED else "failed"


def _moment(stamp: Mapping[str, Any] | None) -> float | None:
    """A protobuf timestamp as Go's encoding/json writes it."""
    if not stamp:
        return None
    return int(stamp.get("seconds") or 0) + int(stamp.get("nanos") or 0) / 1e9
