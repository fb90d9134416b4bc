"""How the hosts of earlier runs came out, for `--only-failed`.

A small file for each command, configuration file and selection.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provision.errors import UsageError
from provision.result import HostResult, HostStatus

WELL: Final[tuple[HostStatus, ...]] = ("ok", "changed", "pending")
"""How a host comes out that need not be asked again."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The records of one command under one configuration file. `folder` may not exist yet."""

    folder: Path
    command: str
    config: Path | None

    @classmethod
    def of(cls, command: str, config: Path | None) -> Ledger:
        """In the user's state folder (XDG base directories)."""
        base = os.environ.get("XDG_STATE_HOME")
        state = Path(base) if base else Path.home() / ".local/state"
        return cls(folder=state / "provision/runs", command=command, config=config)

    def write(self, selection: str, results: Sequence[HostResult], *, others: bool) -> None:
        """Remember a run. `others`: hosts that it left out (`--only-failed`) keep what was said of them.

        A state folder that cannot be written is no reason to fail a run that is over.
        """
        seen = dict(self._read(self._file(selection))) if others else {}
        seen |= {result.host: result.status in WELL for result in results}
        record = {"command": self.command, "selection": selection, "well": seen}
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(record, file, indent=1)
            Path(name).replace(self._file(selection))

    def last(self) -> str:
        """The selection of the last run, whichever it was. Raises UsageError if there is none."""
        files = sorted(self.folder.glob(f"{self._prefix}*"), key=lambda file: file.stat().st_mtime)
        for file in reversed(files):
            with suppress(OSError, ValueError, KeyError, TypeError):
                return str(json.loads(file.read_text(encoding="utf-8"))["selection"])
        raise self._nothing()

    def failed(self, selection: str) -> frozenset[str]:
        """The names of hosts that did not come out well in the last run of `selection`.

        Raises UsageError if there was no such run, or all came out well.
        """
        seen = self._read(self._file(selection))
        if not seen:
            raise self._nothing()
        failed = frozenset(host for host, well in seen.items() if not well)
        if not failed:
            raise UsageError(
                f"no host is left to repeat: all {len(seen)} came out well in the last `{self.command}`",
                hint="Run it without --only-failed to go over all of them.",
            )
        return failed

    def _nothing(self) -> UsageError:
        return UsageError(
            f"there is no earlier `{self.command}` of these hosts whose failures could be repeated",
            cause="records are kept for each command, configuration file and --hosts",
            hint="Run it without --only-failed first.",
        )

    @property
    def _prefix(self) -> str:
        return f"{self.command}-{_short(str(self.config or ''))}-"

    def _file(self, selection: str) -> Path:
        return self.folder / f"{self._prefix}{_short(' '.join(selection.replace(',', ' ').split()))}"

    @staticmethod
    def _read(file: Path) -> Mapping[str, bool]:
        """Empty for a record that is missing or not ours."""
        with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
            found = json.loads(file.read_text(encoding="utf-8"))["well"]
            return {str(host): bool(well) for host, well in found.items()}
        return {}


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
