"""The product as its users have it: the installed command, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("provision")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def envelope(self) -> Any:
        """What `--format json` printed."""
        return json.loads(self.out)

    @property
    def host(self) -> Any:
        """The one host of the envelope."""
        (host,) = self.envelope["hosts"]
        return host


def environment(home: Path) -> dict[str, str]:
    """Of a person who has nothing but this folder."""
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def provision(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, timeout: float = 900
) -> Outcome:
    """Run `provision ARGUMENTS`. Nothing of the tester's own settings or caches takes part."""
    done = subprocess.run(
        [str(COMMAND), *arguments],
        check=False,
        cwd=cwd,
        env=environment(cwd) | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)
