"""How earlier runs ended for each host, for `--only-failed`.

One small file for each command, configuration file and selection.
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

from provision import user_folders
from provision.errors import UsageError
from provision.result import HostResult, HostStatus

SUCCEEDED: Final[tuple[HostStatus, ...]] = ("ok", "changed", "pending")
"""Statuses of hosts that need not be repeated."""


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """The records of one command under one configuration file. `folder` may not exist yet."""

    folder: Path
    command: str
    config: Path | None

    @classmethod
    def of(cls, command: str, config: Path | None) -> RunHistory:
        """The records in the user's state folder."""
        return cls(folder=user_folders.state() / "runs", command=command, config=config)

    def write(self, selection: str, results: Sequence[HostResult], *, others: bool) -> None:
        """Record a run. `others`: the records of hosts that it left out (`--only-failed`) are kept.

        A state folder that cannot be written is no reason to fail a run that is over.
        """
        succeeded = dict(self._read(self._file(selection))) if others else {}
        succeeded |= {result.host: result.status in SUCCEEDED for result in results}
        record = {"command": self.command, "selection": selection, "well": succeeded}
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
        raise self._no_run_error()

    def failed(self, selection: str) -> frozenset[str]:
        """The names of hosts that did not succeed in the last run of `selection`.

        Raises UsageError if there was no such run, or all hosts succeeded.
        """
        succeeded = self._read(self._file(selection))
        if not succeeded:
            raise self._no_run_error()
        failed = frozenset(host for host, good in succeeded.items() if not good)
        if not failed:
            raise UsageError(
                f"no host is left to repeat: all {len(succeeded)} succeeded in the last `{self.command}`",
                hint="Run it without --only-failed to repeat all of them.",
            )
        return failed

    def _no_run_error(self) -> UsageError:
        return UsageError(
            f"there is no earlier `{self.command}` of these hosts whose failures could be repeated",
            cause="records are kept for each command, configuration file and --hosts",
            hint="Run it without --only-failed first.",
        )

    @property
    def _prefix(self) -> str:
        return f"{self.command}-{_digest(str(self.config or ''))}-"

    def _file(self, selection: str) -> Path:
        return self.folder / f"{self._prefix}{_digest(' '.join(selection.replace(',', ' ').split()))}"

    @staticmethod
    def _read(file: Path) -> Mapping[str, bool]:
        """Whether each host succeeded. Empty for a record that is missing or not ours."""
        with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
            found = json.loads(file.read_text(encoding="utf-8"))["well"]
            return {str(host): bool(good) for host, good in found.items()}
        return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
