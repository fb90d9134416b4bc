"""The answer of `buildctl debug workers --format json`, and which platforms it covers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from provision.architectures import normalise
from provision.buildkit.version import at_least, is_version
from provision.errors import HostError

Coverage = Literal["listed", "native-compatible"]

_PREFIX: Final = "org.mobyproject.buildkit.worker."
_VERSION: Final = re.compile(r"v([0-9]+)(?:\.([0-9]+))?")

# An architecture whose processors run another's programs, by containerd's word (platforms.Only, which the
# daemon matches with): a listed arm64 stands for arm of any version, a listed amd64 for 386.
_RUNS_TOO: Final = {"arm64": "arm", "amd64": "386"}
# What a platform without a variant stands for, where variants are ordered.
# The first release that looks for an architecture (util/archutil at each tag); it looks for all others since v0.9.
_LOOKED_FOR_SINCE: Final = {"loong64": "v0.13.0", "ppc64": "v0.11.0"}
_UNWRITTEN: Final = {"arm64": "v8", "amd64": "v1"}


@dataclass(frozen=True, kw_only=True)
class GcRule:
    """One rule of garbage collection. Bytes and seconds; None means that the rule has no such limit."""

    everything: bool
    filters: tuple[str, ...]
    keep_seconds: float | None
    reserved: int | None
    max_used: int | None
    min_free: int | None


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The daemon and its default worker, the only one that builds."""

    id: str
    platforms: tuple[str, ...]
    """Canonical, in the daemon's order, each once."""
    version: str | None = None
    """As the daemon calls itself ("vX.Y.Z"); it has done so since v0.11."""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    gc: tuple[GcRule, ...] = ()

    @property
    def snapshotter(self) -> str | None:
        """Such as "overlayfs"; "native" copies every layer in full."""
        return self.labels.get(f"{_PREFIX}snapshotter")

    @property
    def network(self) -> str | None:
        """Such as "host" or "bridge"."""
        return self.labels.get(f"{_PREFIX}network")

    @property
    def process_mode(self) -> str | None:
        """Such as "sandbox"."""
        return self.labels.get(f"{_PREFIX}oci.process-mode")

    @property
    def min_free(self) -> int:
        """Bytes of the disk the daemon tries to keep free; 0 if it does not."""
        return max((rule.min_free or 0 for rule in self.gc), default=0)


def parse_workers(text: str) -> Workers:
    """The default worker out of `--format json` (or `'{{json .}}'`), which buildctl knows since v0.10.

    Platforms are normalised: one that was detected after the start comes without its variant.
    Raises HostError for what is no such answer.
    """
    try:
        answer: Any = json.loads(text)
        return _worker(answer[0])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise HostError(
            "the answer of buildctl debug workers cannot be read",
            cause=f"{type(error).__name__}: {text.strip()[:200] or 'it is empty'}",
            hint="Ask by hand: buildctl debug workers --format json",
        ) from error


def _worker(row: Mapping[str, Any]) -> Workers:
    platforms = (normalise(p["os"], p["architecture"], p.get("variant", "")) for p in row["platforms"])
    return Workers(
        id=str(row["id"]),
        platforms=tuple(dict.fromkeys(platforms)),
        version=(row.get("buildkitVersion") or {}).get("version") or None,
        labels=MappingProxyType({str(key): str(value) for key, value in (row.get("labels") or {}).items()}),
        gc=tuple(_rule(rule) for rule in row.get("gcPolicy") or ()),
    )


def _rule(row: Mapping[str, Any]) -> GcRule:
    """Before v0.17 there was one limit, keepBytes, a maximum. Durations come in nanoseconds."""
    return GcRule(
        everything=bool(row.get("all")),
        filters=tuple(row.get("filter") or ()),
        keep_seconds=int(row.get("keepDuration") or 0) / 1e9 or None,
        reserved=int(row.get("reservedSpace") or 0) or None,
        max_used=int(row.get("maxUsedSpace") or row.get("keepBytes") or 0) or None,
        min_free=int(row.get("minFreeSpace") or 0) or None,
    )


def covers(listed: Sequence[str], platform: str) -> Coverage | None:
    """How the daemon takes a canonical `platform`, going by the canonical ones it lists; None: as foreign.

    "listed": it is in the list. "native-compatible": one of the list stands for it by containerd's
    `platforms.Only` (arm64 for arm, a later variant for an earlier one). Such a platform is not added to the
    list when it is registered later, and whether the processor runs it is another question (an Apple M1 does
    not run arm).
    """
    if platform in listed:
        return "listed"
    return "native-compatible" if any(_stands_for(other, platform) for other in listed) else None


def unknown_to(worker: Workers, platform: str) -> str:
    """The first BuildKit that can list a canonical platform, where the daemon's is older; else empty."""
    since = _LOOKED_FOR_SINCE.get(_parts(platform)[1], "")
    version = worker.version or ""
    return since if since and is_version(version) and not at_least(version, since) else ""


def undetected(listed: Sequence[str], runs: Iterable[str]) -> tuple[str, ...]:
    """Of canonical platforms that run, those of whose architecture the daemon lists nothing.

    It looks when it starts (util/archutil), so a restart helps. What it does not list of an architecture that it has
    found is a variant that this processor or emulator does not have.
    """
    found = {_parts(platform)[1] for platform in listed}
    return tuple(each for each in runs if not covers(listed, each) and _parts(each)[1] not in found)


def _stands_for(listed: str, platform: str) -> bool:
    os, name, level = _parts(listed)
    wanted_os, wanted, wanted_level = _parts(platform)
    if os != wanted_os:
        return False
    if name == wanted:
        return level is not None and wanted_level is not None and wanted_level <= level
    return _RUNS_TOO.get(name) == wanted


def _parts(platform: str) -> tuple[str, str, tuple[int, int] | None]:
    """OS, architecture and the variant as a number, None where it has none."""
    os, name, variant = (*platform.split("/"), "", "")[:3]
    found = _VERSION.fullmatch(variant or _UNWRITTEN.get(name, ""))
    return os, name, (int(found[1]), int(found[2] or 0)) if found else None
