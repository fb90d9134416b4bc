"""The environment in which Go runs: what the user decides, and what nobody may switch off.

Everything that is downloaded is checked: against the go.sum that comes with this tool, or by Go's checksum
database. Go has settings that switch that off (GOSUMDB=off, GONOSUMDB, GOPRIVATE, GOINSECURE, flags in GOFLAGS).
None of them reaches Go from here, neither from the environment nor from the file that `go env -w` writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CHOSEN: Final = ("GOPROXY", "GOSUMDB", "GOAUTH")
"""What the user decides, by the environment or `go env -w`: where modules come from, and who vouches for them."""

_FOLDERS: Final = ("GOMODCACHE", "GOCACHE")
_DATABASE: Final = "sum.golang.org"
# What Go reads; GOOGLE_… belongs to others.
_GO: Final = re.compile(r"GO(?!OGLE)[A-Z0-9_]*|CGO_[A-Z0-9_]*|GCCGO")


def environment(
    outer: Mapping[str, str], chosen: Mapping[str, str], folder: Path, target: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a Go that builds.

    `outer` is this process's, `chosen` what the user decided (CHOSEN), `folder` holds what Go keeps, and `target`
    is what it compiles for (`architectures.go_environment`).
    """
    kept = {name: value for name, value in outer.items() if not _GO.fullmatch(name)}
    return {
        **kept,
        # Debian's Go and others have a "local" there, which refuses a module that asks for a newer Go.
        "GOTOOLCHAIN": "auto",
        # The file that `go env -w` writes, and a workspace around the folder, are not part of this.
        "GOENV": "off",
        "GOWORK": "off",
        # Go keeps modules read-only; so the user can delete the cache folder.
        "GOFLAGS": "-modcacherw",
        # An empty variable would count as not given, and the file beside Go (go.env) could say otherwise.
        "GONOSUMDB": "none.invalid",
        "GOPRIVATE": "none.invalid",
        "GOINSECURE": "none.invalid",
        "GOMODCACHE": outer.get("GOMODCACHE") or str(folder / "modules"),
        "GOCACHE": outer.get("GOCACHE") or str(folder / "build"),
        "GOPATH": str(folder / "path"),
        "CGO_ENABLED": "0",
        **{name: chosen[name] for name in CHOSEN if chosen.get(name)},
        **_proxy(chosen.get("GOPROXY", "")),
        "GOSUMDB": database(chosen.get("GOSUMDB", "")),
        **target,
    }


def database(chosen: str) -> str:
    """The checksum database to ask: the user's (a mirror in a closed network), but never none."""
    return _DATABASE if chosen.strip() in ("", "off") else chosen


def _proxy(chosen: str) -> dict[str, str]:
    """From a folder that is the only proxy Go takes a newer Go unchecked (cmd/go/internal/modfetch, useSumDB)."""
    alone = chosen.startswith("file://") and not re.search(r"[,|]", chosen)
    return {"GOPROXY": f"{chosen},off"} if alone else {}
