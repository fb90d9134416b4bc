"""Where this machine keeps the authority, and how its passphrase is got."""

from __future__ import annotations

import shlex
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from provision.certificates.authority import Authority, AuthorityError
from provision.spec import Tls
from provision.transport import Secret


@dataclass(kw_only=True)
class Passphrase:
    """The first line that a command prints, asked once for all threads; None without a command."""

    command: str | None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: list[Secret] = field(default_factory=list)

    def __call__(self) -> Secret | None:
        """Raises AuthorityError if the command fails."""
        if self.command is None:
            return None
        with self._lock:
            if not self._found:
                self._found.append(_printed(self.command))
            return self._found[0]


def authority(folder: Path, tls: Tls | None) -> Authority:
    """The authority in the user's folder."""
    command = tls.passphrase_command if tls else None
    return Authority(folder=folder / "authority", passphrase=Passphrase(command=command))


def _printed(command: str) -> Secret:
    try:
        # Its standard error and input are the user's: `pass` asks there.
        done = subprocess.run(shlex.split(command), check=False, stdout=subprocess.PIPE, text=True)
    except (OSError, ValueError) as error:
        raise AuthorityError(
            f"passphrase_command cannot be run: {error}",
            hint="Check its name; it runs here, without a shell.",
        ) from error
    line = done.stdout.partition("\n")[0]
    if done.returncode or not line:
        raise AuthorityError(
            f"passphrase_command printed {'a' if line else 'no'} passphrase and ended with status {done.returncode}",
            hint=f"Run it by hand: {command}",
        )
    return Secret(line)
