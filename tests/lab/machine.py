"""The disk and the kernel of a fresh Debian machine (tests/lab/vm.py). Made as root, once, and cached.

It is what an installer leaves: systemd, OpenSSH, sudo and git; no Python, no QEMU, no BuildKit.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import registries, rootfs
from tests.lab.cache import Cache, fingerprint

USER: Final = "builder"
USER_ID: Final = 1000
PACKAGES: Final = (*rootfs.PACKAGES, "git", "linux-image-cloud-amd64")
DISK_SIZE: Final = "8G"  # sparse: it takes what is written

# QEMU's user network has fixed addresses (QEMU manual, "Using the user mode network stack").
NETWORK: Final = """\
[Match]
Name=eth0
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
IPv6AcceptRA=no
"""
# A machine that gets little of a busy CPU must not fail for it: 90 s for a device or a service are too few then.
PATIENCE: Final = "[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n"
# What a test gives to one machine (keys, settings) comes as a tar archive on a disk of its own.
SEED: Final = """\
[Unit]
Description=Unpack what the test gives to this machine
ConditionPathExists=!/etc/lab-seeded
DefaultDependencies=no
After=local-fs.target
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/tar -x -f /dev/vdb -C /
ExecStart=/bin/touch /etc/lab-seeded
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One machine's parts. They are shared: nothing may write to them."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"


def image(cache: Cache | None = None) -> Image:
    """The image for this machine's apt sources and certificates. Takes about a minute the first time."""
    sources, certificates = rootfs.sources(), rootfs.certificates()
    key = fingerprint(Path(__file__), *sources, *certificates)
    return Image(folder=(cache or Cache.default()).get("machine", key, _build))


def _build(target: Path) -> None:
    target.mkdir()
    root = target / "root"
    _run(
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        f"--include={','.join(PACKAGES)}",
        rootfs.SUITE,
        root,
        *rootfs.sources(),
    )
    rootfs.trust(root)
    _set_up(root)
    shutil.copy(root / "vmlinuz", target / "vmlinuz")
    shutil.copy(root / "initrd.img", target / "initrd.img")
    _run("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, target / "disk", DISK_SIZE)
    shutil.rmtree(root)


def _set_up(root: Path) -> None:
    """What an installer asks for: a user who may use sudo, a name, the network."""
    etc = root / "etc"
    _run("chroot", root, "useradd", "--create-home", "--uid", str(USER_ID), "--shell", "/bin/bash", USER)
    sudoers = etc / "sudoers.d/builder"
    sudoers.write_text(f"{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
    (etc / "hostname").write_text("fresh\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 fresh\n")
    (etc / "fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    (etc / "resolv.conf").write_text("nameserver 10.0.2.3\n")
    (etc / "systemd/system.conf.d").mkdir()
    (etc / "systemd/system.conf.d/patience.conf").write_text(PATIENCE)
    (etc / "systemd/network/10-eth0.network").write_text(NETWORK)
    (etc / "systemd/system/lab-seed.service").write_text(SEED)
    _run("chroot", root, "systemctl", "enable", "systemd-networkd", "lab-seed")
    # Half of what `apt-get update` reads is descriptions in English, and reading is slow under emulation.
    (etc / "apt/apt.conf.d/no-languages").write_text('Acquire::Languages "none";\n')
    # sshd need not wait for the network, the console is read and not written to, and apt is the test's alone.
    unwanted = ("systemd-networkd-wait-online.service", "serial-getty@ttyS0.service", "apt-daily.timer")
    _run("chroot", root, "systemctl", "mask", *unwanted)


def seed(authorized_key: str) -> bytes:
    """What one machine is given: who may log in, and how this machine reaches package registries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for home, owner in ((f"home/{USER}", USER_ID), ("root", 0)):
            _folder(tar, f"{home}/.ssh", owner)
            _file(
                tar, f"{home}/.ssh/authorized_keys", f"{authorized_key}\n".encode(), owner=owner, mode=0o600
            )
        for path in registries.files():
            _file(tar, str(path).lstrip("/"), path.read_bytes())
        _file(tar, "etc/environment", _environment(registries.environment()).encode())
    return buffer.getvalue()


def _environment(ours: Mapping[str, str]) -> str:
    """For pam_env."""
    return "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin\n" + "".join(
        f'{name}="{value}"\n' for name, value in ours.items()
    )


def _folder(tar: tarfile.TarFile, name: str, owner: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o700, owner, owner
    tar.addfile(entry)


def _file(tar: tarfile.TarFile, name: str, content: bytes, *, owner: int = 0, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.uid, entry.gid = len(content), mode, owner, owner
    tar.addfile(entry, io.BytesIO(content))


def _run(*command: str | Path) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr}")
