"""Bare Debian disks: what a fresh machine has, and neither QEMU nor BuildKit nor Python nor curl.

The disk is made once, as an ext4 image, and kept. Each host gets a copy, and a seed with its name, port and
keys. It is one file because copying a tree of 9000 took ten seconds as soon as another copy had just been
deleted: ext4 does not use an inode again at once, and searches on (recently_deleted in fs/ext4/ialloc.c).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.apt import source
from tests.lab.cache import Cache, fingerprint
from tests.lab.inits import SYSTEMD, Init

SUITE: Final = "bookworm"
"""What this machine's own sources are for; other releases of Debian come from the same mirror."""
COMMON: Final = ("openssh-server", "sudo", "iproute2", "kmod", "ca-certificates")
PACKAGES: Final = (*SYSTEMD.packages, *COMMON)
DISK: Final = "16G"  # sparse: it takes what is written
# How each user becomes root: `ci` cannot, `ops` without a password, `pw` with PASSWORD.
USERS: Final = ("ci", "ops", "pw")
PASSWORD: Final = "a b'c\"d$e"  # quoting mistakes do not survive this one
SOURCES: Final = Path("/etc/apt/sources.list.d")
CERTIFICATES: Final = Path("/usr/local/share/ca-certificates")
# One key for root and all users, in a place that asks nothing of their home folders.
SSHD: Final = (
    "HostKey /etc/ssh/ssh_host_ed25519_key\nAuthorizedKeysFile .ssh/authorized_keys /etc/ssh/lab_keys\n"
)
# They fail in every container that has all capabilities, and a failed unit would hide one of ours.
MASKED: Final = ("sys-kernel-debug.mount", "sys-kernel-tracing.mount")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes one copy of the disk a host of its own."""

    name: str
    port: int
    authorized_key: str


def image(
    cache: Cache | None = None, *, extra: Sequence[str] = (), suite: str = SUITE, init: Init = SYSTEMD
) -> Path:
    """The disk that hosts start from a copy of, with packages beyond the bare ones. Made as root."""
    packages = (*init.packages, *COMMON, *extra)
    lines = _lines(suite)
    key = fingerprint(Path(__file__), suite, " ".join(packages), *lines, *sources(), *certificates())

    def build(target: Path) -> None:
        tree = target.parent / "tree"
        command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(packages)}", suite]
        _run([*command, str(tree), *lines])
        _make_its_own(tree, init)
        _run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(target), DISK])

    return (cache or Cache.default()).get("rootfs", key, build)


def _lines(suite: str) -> list[str]:
    """Where packages come from: a mirror that this machine uses; without one, mmdebstrap's own default."""
    if suite == SUITE:
        return [str(path) for path in sources()]
    with suppress(RuntimeError):
        return [source(suite)]
    return []


def copy(
    target: Path,
    *,
    cache: Cache | None = None,
    extra: Sequence[str] = (),
    suite: str = SUITE,
    init: Init = SYSTEMD,
) -> None:
    """A fresh disk at `target`."""
    disk = image(cache, extra=extra, suite=suite, init=init)
    _run(["cp", "--sparse=always", "--reflink=auto", str(disk), str(target)])


def seed(target: Path, identity: Identity) -> str:
    """Files to lay over the disk at its first boot, in the folder `target`. Returns its public key."""
    ssh = target / "etc/ssh"
    (ssh / "sshd_config.d").mkdir(parents=True)
    (target / "etc/hostname").write_text(f"{identity.name}\n")
    (target / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {identity.name}\n")
    (ssh / "lab_keys").write_text(f"{identity.authorized_key}\n")
    settings = f"Port {identity.port}\nListenAddress 127.0.0.1\n{SSHD}"
    (ssh / "sshd_config.d/lab.conf").write_text(settings)
    host_key = ssh / "ssh_host_ed25519_key"
    make_key(host_key, identity.name)
    return host_key.with_suffix(".pub").read_text().strip()


def make_key(path: Path, comment: str) -> None:
    """A key pair without a passphrase: `path`, and `path` with `.pub`."""
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def _make_its_own(root: Path, init: Init) -> None:
    """What a fresh machine of ours is beyond its packages."""
    trust(root)
    _add_users(root)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for unit in MASKED if init is SYSTEMD else ():
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")


def sources() -> list[Path]:
    """This machine's apt sources, if they are for the suite."""
    found = (*SOURCES.glob("*.sources"), *SOURCES.glob("*.list"), SOURCES.parent / "sources.list")
    debian = f"/debian {SUITE}", f"Suites: {SUITE}"
    return sorted(
        path for path in found if path.is_file() and any(one in path.read_text() for one in debian)
    )


def certificates() -> list[Path]:
    return sorted(CERTIFICATES.glob("*.crt"))


def trust(root: Path) -> None:
    """A guest trusts what this machine trusts: a proxy between them and the network may need it."""
    for certificate in certificates():
        shutil.copy(certificate, root / CERTIFICATES.relative_to("/"))
    _run(["chroot", str(root), "update-ca-certificates"])


def _add_users(root: Path) -> None:
    for user in USERS:
        _run(["chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", user])
    _run(["chroot", str(root), "chpasswd"], stdin=f"pw:{PASSWORD}\n")
    rules = root / "etc/sudoers.d/lab"
    rules.write_text("ops ALL=(ALL:ALL) NOPASSWD: ALL\npw ALL=(ALL:ALL) ALL\n")
    rules.chmod(0o440)


def _run(command: list[str], *, stdin: str | None = None) -> None:
    done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
