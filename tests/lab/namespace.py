"""A folder as a host: its own root, its own shell and programs, and a binfmt_misc of its own on the real kernel.

A user and mount namespace whose root is the folder. Nothing outside of it can be written to, and no root is
needed (Linux 6.7). What is in it: one shell as `sh`, and coreutils and util-linux, or busybox and nothing
else. systemctl and package managers are what a test puts there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from provision.transport.local import Local
from tests.lab.needs import SEARCH

SCRIPT: Final = Path(__file__).with_suffix(".sh")
MOUNTED: Final = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"
"""The usual setup. Others: nothing mounted, mounted read-only, disabled …"""

FOLDERS: Final = (
    *("dev", "etc", "host", "lab", "opt", "proc", "root", "run/systemd/system", "sys", "tmp"),
    *("usr/bin", "usr/sbin", "usr/lib", "usr/local/bin", "usr/local/lib", "var/cache", "var/lib", "var/tmp"),
)
TOOLS: Final = (
    *(
        "base64",
        "cat",
        "chmod",
        "chown",
        "chroot",
        "cp",
        "cut",
        "date",
        "dd",
        "df",
        "env",
        "find",
        "getent",
        "grep",
        "gzip",
    ),
    *("head", "id", "ln", "ls", "mkdir", "mkfifo", "mktemp", "mount", "mv", "nproc", "od", "readlink", "rm"),
    *(
        "rmdir",
        "sed",
        "setsid",
        "sha256sum",
        "sleep",
        "sort",
        "stat",
        "sync",
        "tail",
        "tar",
        "timeout",
        "tr",
        "umount",
        "uname",
    ),
    *("unshare", "wc"),
)
"""All that the scripts may use of coreutils, util-linux, grep, sed, tar and gzip: what is not here is not found."""


class Root:
    """The folder, furnished. `shell` is dash, bash or busybox; with busybox every program is one of its applets."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder
        self.shell = shell
        self.programs = folder / "usr/bin"
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        for link, target in (("bin", "usr/bin"), ("sbin", "usr/sbin")):
            (folder / link).symlink_to(target)
        for libraries in Path("/").glob("lib*"):
            (folder / libraries.name).symlink_to(f"host/{libraries.name}")
        (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nops:x:1000:1000::/:/bin/sh\n")
        (folder / "etc/group").write_text("root:x:0:\nops:x:1000:\n")
        (folder / "etc/os-release").write_text('ID=lab\nVERSION_ID=1\nPRETTY_NAME="Lab 1"\nID_LIKE="x y"\n')
        self._furnish()

    def _furnish(self) -> None:
        shutil.copy(_found(self.shell), self.programs / self.shell)
        names: tuple[str, ...] = TOOLS
        if self.shell == "busybox":
            names = tuple(subprocess.check_output([_found("busybox"), "--list"], text=True).split())
        for name in {*names, "sh"} - {"busybox"}:
            self.borrow(name)

    def borrow(self, name: str) -> None:
        """A program of this machine, or the busybox applet of that name."""
        own = name == "sh" or self.shell == "busybox"
        target = self.shell if own else f"/host{_found(name)}"
        self.remove(name)
        (self.programs / name).symlink_to(target)

    def place(self, name: str, text: str) -> None:
        """A program by its text."""
        self.remove(name)  # never write through a link
        file = self.programs / name
        file.write_text(text)
        file.chmod(0o755)

    def remove(self, name: str) -> None:
        (self.programs / name).unlink(missing_ok=True)


class Namespace(Local):
    """The host in a folder, by the session that every host is reached with. Everything is gone after `close`.

    `setup` is run before the session begins, with all mounts still allowed. `before` is a program that starts
    it all in its own way: `("setarch", "--uname-2.6")`.
    """

    def __init__(self, root: Root, setup: str = MOUNTED, before: tuple[str, ...] = ()) -> None:
        enter = ("unshare", "--user", "--map-root-user", "--mount")
        within = (*before, *enter, "sh", str(SCRIPT), str(root.folder), setup)
        super().__init__(name="namespace", become=False, within=within)

    def run(self, script: str) -> str:
        """The output of a script there. Raises AssertionError if it fails."""
        answer = self.ask(script, timeout=60)
        assert answer.status == 0, (script, answer)
        return "\n".join(answer.records)


def _found(name: str) -> str:
    """Where the program is, as it is called: a link may be how it knows what to be."""
    path = shutil.which(name, path=os.pathsep.join((SEARCH, "/usr/bin", "/bin")))
    assert path, f"{name} is not installed"
    return path
