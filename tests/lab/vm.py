"""A whole machine under QEMU's own emulation (never kvm): a kernel to load modules into, and real reboots.

`with Machine() as machine: machine.run("uname -r")`. It starts as an installer leaves it (machine.py)
and is gone afterwards. It reaches this machine's loopback as 10.0.2.2, and package registries as we do.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.lab.cache import Cache
from tests.lab.machine import USER, Image, image, seed
from tests.lab.nspawn import free_port

GATEWAY: Final = "10.0.2.2"
BOOT_SECONDS: Final = 600
STOP_SECONDS: Final = 20
# A login under emulation takes one to three; while all of a machine starts at once, several times that.
ANSWER_SECONDS: Final = 30
SSH_FAILED: Final = 255


class Machine:
    """One machine, from boot to power off.

    `cpus`: a second one costs more than it brings here. QEMU keeps their memories in step, and this machine's
    other core has tests of its own to run.
    """

    def __init__(self, *, cpus: int = 1, megabytes: int = 3072, cache: Cache | None = None) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="lab-vm-"))
        self.console = self.folder / "console.log"
        self._size = (cpus, megabytes)
        self._cache = cache
        self._qemu: subprocess.Popen[bytes] | None = None
        self._parts: Image | None = None

    def __enter__(self) -> Machine:
        try:
            key = self._make_key()
            (self.folder / "seed.tar").write_bytes(_whole_sectors(seed(key)))
            self._parts = image(self._cache)
            # A copy, with its holes: the cached disk stays as it is.
            copy = ("cp", "--sparse=always", "--reflink=auto")
            subprocess.run([*copy, self._parts.disk, self.folder / "disk"], check=True)
            self._start()
            self._wait_for_login("")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(
        self, script: str, *, user: str = USER, check: bool = True, stdin: bytes = b"", timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run shell text in the machine by OpenSSH; `timeout` in s. Raises AssertionError if it fails."""
        done = subprocess.run(
            [*self._ssh(user), script], input=stdin, capture_output=True, timeout=timeout, check=False
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode:
            # 255 is ssh's own: the machine did not answer, and its console may say why.
            console = self.tail() if done.returncode == SSH_FAILED else ""
            raise AssertionError(f"{script!r} in the machine gave {done.returncode}:\n{out}{err}{console}")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def unpack(self, archive: bytes, folder: str) -> None:
        """A tar archive, unpacked by the user into `folder`, which is made."""
        self.run(f"mkdir -p {folder} && tar -x -f - -C {folder}", stdin=archive)

    def reboot(self) -> None:
        """As an operator does it. Returns when the machine that answers has booted since."""
        before = self._boot_id()
        assert before, f"nobody can log in before the reboot:\n{self.tail()}"
        # It may take the connection with it, so its exit code says nothing; ssh itself sees that by asking.
        self.run("sudo systemctl reboot", check=False)
        self._wait_for_login(before)

    def lose_power(self) -> None:
        """At once: what the kernel has not written to its disk is gone. Returns when the machine has booted again."""
        assert self._qemu is not None
        self._qemu.kill()
        self._qemu.wait()
        self._start()
        self._wait_for_login("")

    def tail(self, lines: int = 40) -> str:
        """The end of what the machine wrote on its console."""
        if not self.console.exists():
            return ""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])

    def _boot_id(self) -> str:
        """Of the boot that answers; "" if none does.

        A machine that goes down may take a connection and never speak again: its QEMU, which the other end of
        the line is, lives on. So a login that hangs is no answer, like one that is refused.
        """
        try:
            return self.run(
                "cat /proc/sys/kernel/random/boot_id", check=False, timeout=ANSWER_SECONDS
            ).stdout.strip()
        except subprocess.TimeoutExpired:
            return ""

    def _make_key(self) -> str:
        key = self.folder / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key], check=True)
        return key.with_suffix(".pub").read_text().strip()

    def _ssh(self, user: str) -> list[str]:
        options = {
            "IdentityFile": self.folder / "id_ed25519",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "StrictHostKeyChecking": "accept-new",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            # A machine that was reset says nothing more on its old connections.
            "ServerAliveInterval": "20",
            "ServerAliveCountMax": "6",
            "LogLevel": "ERROR",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "/dev/null", *settings, "-p", str(self.port), "-l", user, "127.0.0.1"]

    def _start(self) -> None:
        assert self._parts is not None
        cpus, megabytes = self._size
        # setpriv: QEMU must not outlive a killed test run.
        # Nehalem: x86-64-v2, what today's programs need; a younger CPU has the guest load more modules.
        command = [
            "setpriv",
            "--pdeathsig",
            "TERM",
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "Nehalem",
        ]
        command += ["-smp", str(cpus), "-m", str(megabytes), "-display", "none", "-nodefaults"]
        command += ["-kernel", str(self._parts.kernel), "-initrd", str(self._parts.initrd)]
        command += ["-append", "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0"]
        command += ["-drive", f"file={self.folder / 'disk'},format=raw,if=virtio,cache=unsafe"]
        command += ["-drive", f"file={self.folder / 'seed.tar'},format=raw,if=virtio,readonly=on"]
        command += ["-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        command += ["-device", "virtio-net-pci,netdev=net0", "-device", "virtio-rng-pci"]
        command += ["-serial", f"file:{self.console}"]
        with (self.folder / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _wait_for_login(self, boot_before: str) -> None:
        """Until someone can log in to a machine whose boot id is not `boot_before`."""
        end = time.monotonic() + BOOT_SECONDS
        while (answer := self._boot_id()) in {"", boot_before}:
            assert self._qemu is not None
            if self._qemu.poll() is not None or time.monotonic() > end:
                log = (self.folder / "qemu.log").read_text(errors="replace")
                raise RuntimeError(
                    f"the machine did not come up ({answer or 'no login'}):\n{self.tail()}\n{log}"
                )
            time.sleep(0.5)

    def _stop(self) -> None:
        """The disk is thrown away, so the power may be cut."""
        if self._qemu is not None and self._qemu.poll() is None:
            self._qemu.terminate()
            try:
                self._qemu.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._qemu.kill()
                self._qemu.wait()
        shutil.rmtree(self.folder)


def _whole_sectors(data: bytes) -> bytes:
    """A disk has whole sectors of 512 bytes; tar ignores what follows its end mark."""
    return data + bytes(-len(data) % 512)
