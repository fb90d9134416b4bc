"""Releases for the scripts to unpack: a good one, and every kind of bad one."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from provision.architectures import of_platform
from provision.elf import probe
from provision.spec import DEFAULT_VERSION

VERSION: Final = DEFAULT_VERSION
# What the scripts need of a release's programs: that they start, and what a worker answers.
BUILDKITD: Final = f"#!/bin/sh\necho buildkitd github.com/moby/buildkit {VERSION} abc\n".encode()
BUILDCTL: Final = rb"""#!/bin/sh
case " $* " in
  *' build '*) printf '%s\n' "$*" >>/lab/builds; [ ! -e /lab/broken ] || { cat /lab/broken; exit 1; } ;;
  *'{{range'*) tr , '\n' </lab/workers | sed -n 's|.*"architecture": "\([a-z0-9]*\)".*|linux/\1|p' | tr '\n' ' ' ;;
  *) cat /lab/workers ;;
esac
"""
PLAIN: Final = {"bin/buildkitd": BUILDKITD, "bin/buildctl": BUILDCTL, "bin/buildkit-runc": b"\0\n" * 50_000}


def member(name: str, content: bytes = b"", *, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    # Whoever packed it is nobody here, and has more rights than are good.
    made.size, made.mode, made.uid, made.gid, made.uname = len(content), mode, 1001, 127, "runner"
    return made, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    made, _ = member(name)
    made.type, made.linkname = kind, target
    return made, b""


def pack(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def plain(*more: tuple[tarfile.TarInfo, bytes], leave: str = "", **other: bytes) -> bytes:
    """A release, with more members at its end, without one, or with others by the name of the program."""
    content = {**PLAIN, **{f"bin/{name}": data for name, data in other.items()}}
    return pack([*(member(name, data) for name, data in content.items() if name != leave), *more])


FOREIGN: Final = probe(of_platform("linux/s390x"))
NOT_A_RELEASE: Final = {
    "absolute": (plain(member("/opt/pwned", b"x")), "opt/pwned"),
    "absolute-inside": (plain(member("/bin/buildkitd", BUILDKITD)), "/bin/buildkitd"),
    "parent": (plain(member("../pwned", b"x")), "pwned"),
    "parent-inside": (plain(member("bin/../../pwned", b"x")), "pwned"),
    "elsewhere": (plain(member("etc/passwd", b"x")), "etc/passwd"),
    "deeper": (plain(member("bin/x/y", b"x")), "bin/x/y"),
    "space": (plain(member("bin/x y", b"x")), "bin/x y"),
    "newline": (plain(member("bin/x\n/opt/pwned", b"x")), "pwned"),
    "hidden-first": (pack([member("/opt/pwned", b"x"), member("bin/buildkitd", BUILDKITD)]), "opt/pwned"),
    "symlink": (plain(special("bin/x", tarfile.SYMTYPE, "/opt/pwned")), "a link"),
    "symlink-inside": (plain(special("bin/x", tarfile.SYMTYPE, "buildctl")), "a link"),
    "symlink-then-file": (
        pack([special("bin", tarfile.SYMTYPE, "/opt"), member("bin/pwned", b"x")]),
        "bin",
    ),
    "hard-link": (plain(special("bin/x", tarfile.LNKTYPE, "/opt/victim")), "a link"),
    "hard-link-out": (plain(special("bin/x", tarfile.LNKTYPE, "../../victim")), "a link"),
    "hard-link-inside": (plain(special("bin/x", tarfile.LNKTYPE, "bin/buildctl")), "a link"),
    "device": (plain(special("bin/x", tarfile.BLKTYPE)), "device"),
    "fifo": (plain(special("bin/x", tarfile.FIFOTYPE)), "device"),
    "no-gzip": (b"<html>please log in</html>" * 100, "could not be unpacked"),
    "cut-gzip": (plain()[:-100], "could not be unpacked"),
    "gzip-of-text": (gzip.compress(b"no tar\n" * 200, mtime=0), "could not be unpacked"),
    "no-members": (pack([]), "holds no buildkitd"),
    "no-daemon": (plain(leave="bin/buildkitd"), "holds no buildkitd"),
    "no-client": (plain(leave="bin/buildctl"), "holds no buildctl"),
    "daemon-is-a-folder": (
        plain(special("bin/buildkitd", tarfile.DIRTYPE), leave="bin/buildkitd"),
        "holds bin/buildkitd/",
    ),
    "other-machine": (plain(buildkitd=FOREIGN), "is not made for this machine"),
    "does-not-start": (plain(buildkitd=b"#!/bin/sh\nexit 1\n"), "does not run on this machine"),
    "no-program": (plain(buildkitd=b": just words\n"), "is not made for this machine"),
}
"""Name -> an archive that must not become a release, and words of the reason."""
STRIPPED: Final = "absolute-inside"
"""What busybox's tar makes harmless by itself: it takes the slash off in the listing and in unpacking."""

HARMLESS: Final = {
    "plain": plain(),
    "dot-names": pack([member(f"./{name}", data) for name, data in PLAIN.items()]),
    "folder-member": pack(
        [special("bin/", tarfile.DIRTYPE), *(member(name, data) for name, data in PLAIN.items())]
    ),
    "too-many-rights": plain(member("bin/extra", b"#!/bin/sh\n", mode=0o6777)),
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def save(folder: Path, data: bytes) -> Path:
    file = folder / f"{sha256(data)[:12]}.tar.gz"
    file.write_bytes(data)
    return file
