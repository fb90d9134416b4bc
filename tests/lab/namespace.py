"""A private user namespace as a host: the real kernel, a binfmt_misc table of its own, and no root needed (Linux 6.7).

The machine's own table and `/etc/binfmt.d` are untouched: the namespace has its own of both.
"""

from __future__ import annotations

from typing import Final

from provision.transport.local import Local

BINFMT: Final = "/proc/sys/fs/binfmt_misc"
_PREPARE: Final = f"""
mount -t binfmt_misc binfmt_misc {BINFMT} &&
mount -t tmpfs tmpfs /etc/binfmt.d &&
mount -t tmpfs tmpfs /opt &&
exec "$@"
"""


class Namespace(Local):
    """`with Namespace() as space: space.run("…")`. Everything is gone afterwards."""

    def __init__(self, prepare: str = _PREPARE) -> None:
        super().__init__("namespace")
        self._prepare = prepare

    def _become(self) -> list[str]:
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", self._prepare, "sh"]

    def run(self, script: str) -> str:
        """The output of a script in the namespace. Raises AssertionError if it fails."""
        answer = self.ask(script, timeout=60)
        assert answer.status == 0, (script, answer)
        return "\n".join(answer.records)
