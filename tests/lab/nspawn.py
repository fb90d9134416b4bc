"""A Debian host: an init, sshd and a kernel table of its own for binfmt_misc, booted in a second or two.

Hosts share this machine's network, so each has its sshd on a port of its own on loopback, apt works in them,
and they reach a registry on this machine's loopback. Needs root.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

from tests.lab import rootfs
from tests.lab.cache import Cache
from tests.lab.inits import SYSTEMD, Init
from tests.lab.patience import until

SCRIPT: Final = Path(__file__).with_suffix(".sh")
BOOT_SECONDS: Final = 60
STOP_SECONDS: Final = 30
REBOOT: Final = 133  # nspawn's exit code when the host rebooted and --keep-unit leaves the restart to others
BINFMT: Final = "/proc/sys/fs/binfmt_misc"


class Host:
    """One machine to provision: `with Host("ci1") as host: host.run("id")`. Gone after.

    Bare at first, or with packages that are installed already: that saves a test the time, and is what a host
    looks like whose owner did half the work.
    """

    def __init__(
        self,
        name: str = "lab",
        *,
        cache: Cache | None = None,
        packages: Sequence[str] = (),
        suite: str = rootfs.SUITE,
        init: Init = SYSTEMD,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"lab-{name}-"))
        self.key = self.folder / "id_ed25519"
        self.known_hosts = self.folder / "known_hosts"
        self.console = self.folder / "console.log"
        self._cache = cache
        self._packages = packages
        self._suite = suite
        self.init = init
        self._strict = "yes"
        # The cgroup tree is one for all: this name must be nobody else's.
        self._unit = f"{name}-{os.getpid()}-{self.port}"
        self._nspawn: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Host:
        try:
            self._prepare()
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def reboot(self) -> None:
        """As an operator does it, with the init's own command. Returns when it is up again."""
        # The connection may end before the answer comes.
        self.run(self.init.reboot, check=False)
        assert self._nspawn is not None
        if (code := self._nspawn.wait(STOP_SECONDS)) != REBOOT:
            raise RuntimeError(f"{self.name} did not reboot but ended with {code}:\n{self._tail()}")
        self._start()

    @property
    def ssh_target(self) -> str:
        """Root's login, as the product takes it. Other users: `target("ops")`."""
        return self.target("root")

    def target(self, user: str) -> str:
        return f"{user}@127.0.0.1:{self.port}"

    @property
    def ssh_config(self) -> str:
        """An ssh_config section for a host of this name: how to log in as root with the lab's key."""
        lines = {
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": "root",
            "IdentityFile": self.key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "StrictHostKeyChecking": self._strict,
        }
        return f"Host {self.name}\n" + "".join(f"  {key} {value}\n" for key, value in lines.items())

    def run(
        self, script: str, *, user: str = "root", check: bool = True, stdin: str = "", timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run shell text in the host through OpenSSH. Raises AssertionError with its output if it fails."""
        options = ["-F", str(self.folder / "ssh_config"), "-o", "BatchMode=yes", "-l", user]
        command = ["ssh", *options, self.name, script]
        done = subprocess.run(
            command, input=stdin, check=False, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode:
            raise AssertionError(
                f"{script!r} on {self.name} gave {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def put(self, source: Path, destination: str) -> None:
        """Copy a file into the host, as root."""
        config = str(self.folder / "ssh_config")
        subprocess.run(["scp", "-q", "-F", config, str(source), f"{self.name}:{destination}"], check=True)

    @property
    def leader(self) -> int:
        """The process id, on this machine, of the host's PID 1."""
        assert self._nspawn is not None
        for process in psutil.Process(self._nspawn.pid).children(recursive=True):
            status = Path(f"/proc/{process.pid}/status").read_text()
            ids = next(line.split() for line in status.splitlines() if line.startswith("NSpid:"))
            if ids[2:] == ["1"]:
                return process.pid
        raise RuntimeError(f"{self.name} has no PID 1:\n{self._tail()}")

    @property
    def root(self) -> Path:
        """The running host's file system, seen from this machine: for what ssh could not show unaltered."""
        return Path(f"/proc/{self.leader}/root")

    def _prepare(self) -> None:
        rootfs.make_key(self.key, "lab")
        public = self.key.with_suffix(".pub").read_text().strip()
        identity = rootfs.Identity(name=self.name, port=self.port, authorized_key=public)
        host_key = rootfs.seed(self.folder / "seed", identity)
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}\n")
        disk = self.folder / "disk"
        rootfs.copy(disk, cache=self._cache, extra=self._packages, suite=self._suite, init=self.init)
        (self.folder / "root").mkdir()
        (self.folder / "ssh_config").write_text(self.ssh_config)

    def _start(self) -> None:
        begin = ["unshare", "--mount", "--cgroup", "sh", str(SCRIPT)]
        command = [*begin, self._unit, str(self.folder), self.init.kill_signal]
        with self.console.open("ab") as console:
            # A session of its own: Ctrl-C in the test's terminal must not reach the host's systemd.
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        self._wait_for(lambda: self.run(self.init.up, check=False).returncode == 0)

    def _wait_for(self, ready: Callable[[], bool]) -> None:
        assert self._nspawn is not None
        end = time.monotonic() + BOOT_SECONDS
        while not ready():
            if self._nspawn.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not come up:\n{self._tail()}")
            time.sleep(0.1)

    def power_off(self) -> None:
        """Returns when it is off. Its disk stays until the end."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            # nspawn asks the host's init to power off; killed, it takes the host with it.
            self._nspawn.terminate()
            try:
                self._nspawn.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        remove_cgroup(self._unit)

    def _stop(self) -> None:
        self.power_off()
        shutil.rmtree(self.folder)

    def _tail(self) -> str:
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-20:])


class Copy(Host):
    """The first boot of a copy of a host's disk: `with Copy(host) as copy:`. The host is off.

    It has the host's name and port; its host keys are its own, and are taken at the first connection.
    """

    def __init__(self, original: Host) -> None:
        super().__init__(original.name, init=original.init)
        self.port, self.key = original.port, original.key
        self._original = original
        self._strict = "accept-new"

    def _prepare(self) -> None:
        disk = self._original.folder / "disk"
        # Its mount ends a little later than the last process that saw it.
        while subprocess.run(["losetup", "-j", str(disk)], check=True, capture_output=True).stdout:
            time.sleep(0.05)
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(disk), str(self.folder)], check=True)
        (self.folder / "root").mkdir()
        (self.folder / "ssh_config").write_text(self.ssh_config)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def machine_table() -> tuple[str, ...]:
    """The handlers in this machine's own binfmt_misc, read through a mount that ends with the reader."""
    script = f"mount -t binfmt_misc binfmt_misc {BINFMT} && ls {BINFMT}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], check=True, capture_output=True, text=True
    )
    return tuple(sorted(done.stdout.split()))


def remove_cgroup(name: str) -> None:
    """Remove the empty cgroups that a host leaves behind, in this machine's cgroup2 tree."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    trees = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"]
    own = next(
        line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")
    )
    for tree in trees:
        top = tree / own.lstrip("/") / name
        folders = [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
        for folder in folders:
            # The last process of a host that was killed may need a moment to be gone.
            assert until(partial(_removed, folder)), f"{folder} holds processes"


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
