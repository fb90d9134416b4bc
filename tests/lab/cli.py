"""The product as its users have it: the command `provision`, in a process of its own.

tests/unit/house/test_wheel.py has it installed; everywhere else it runs from this checkout.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.lab.cache import Cache, fingerprint
from tests.lab.checkout import ROOT

# As pip writes it: the interpreter's path may hold blanks, which a first line of its own may not.
SCRIPT: Final = """\
#!/bin/sh
'''exec' {python} "$0" "$@"
' '''
import sys
sys.path.insert(1, {root!r})
from provision.cli.start import main
sys.exit(main())
"""


def _command() -> Path:
    """The script of that name in an environment that this checkout is installed in; it is alone in its folder."""
    text = SCRIPT.format(python=shlex.quote(sys.executable), root=str(ROOT))

    def build(target: Path) -> None:
        target.mkdir()
        (target / "provision").write_text(text)
        (target / "provision").chmod(0o755)

    return Cache.default().get("command", fingerprint(text), build) / "provision"


COMMAND: Final = _command()
FAB: Final = Path(sys.executable).with_name("fab")


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
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, timeout: float = 900, given: str = ""
) -> Outcome:
    """Run `provision ARGUMENTS` with `given` on standard input, and nothing of the tester's settings or caches."""
    done = subprocess.run(
        [str(COMMAND), *arguments],
        check=False,
        cwd=cwd,
        env=environment(cwd) | (env or {}),
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)
