"""A root without systemd, ssh, git, Python or compilers: the machine of a CI job, on this machine's kernel and network.

It has user, mount, pid and cgroup namespaces and a binfmt_misc of its own. Its users 0 to 65535 are this machine's:
so files need no other owners, and programs may become any of them. Needs root.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.lab import checkout, registries, rootfs
from tests.lab.cache import Cache, fingerprint
from tests.lab.nspawn import remove_cgroup
from tests.lab.patience import until

SCRIPTS: Final = Path(__file__).parent
SUITES: Final = ("bookworm", "trixie")
"""Debian 12 and 13."""
PACKAGES: Final = ("ca-certificates",)
USER: Final = "ci"
"""A user of the root who cannot become root: there is no sudo."""
HOMES: Final = {"root": "/root", USER: f"/home/{USER}"}
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DISK: Final = "16G"  # sparse: it takes what is written
START_SECONDS: Final = 30


class BareRoot:
    """`with BareRoot("trixie") as root: root.run("id")`. Everything in it ends with it."""

    def __init__(self, suite: str = SUITES[0], *, cache: Cache | None = None) -> None:
        self.suite = suite
        self.folder = Path(tempfile.mkdtemp(prefix=f"lab-{suite}-"))
        self._cache = cache
        # The cgroup tree is one for all: this name must be nobody else's.
        self._name = self.folder.name
        self._unshare: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BareRoot:
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

    def command(
        self, *words: str, user: str = "root", env: Mapping[str, str] | None = None, cwd: str = ""
    ) -> list[str]:
        """What runs a program in the root: for Popen, or on a terminal. Background processes outlive it there."""
        become = (
            ()
            if user == "root"
            else ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--")
        )
        own = {"HOME": HOMES[user], "USER": user, "LOGNAME": user, "PATH": PATH, "LANG": "C.UTF-8"}
        variables = [
            f"{name}={value}" for name, value in {**own, **registries.environment(), **(env or {})}.items()
        ]
        there = ("env", "-i", f"--chdir={cwd or HOMES[user]}", *variables, *become, *words)
        enter = ("unshare", "--mount", "--propagation=private", "sh", str(SCRIPTS / "bare-enter.sh"))
        return [*enter, self._name, str(self.init), *there]

    def run(
        self,
        script: str,
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        check: bool = True,
        stdin: bytes = b"",
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run shell text in the root, in the user's home or in `cwd`; `timeout` in s.

        Raises AssertionError with its output if it fails and `check` is set.
        """
        command = self.command("sh", "-c", script, user=user, env=env, cwd=cwd)
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode:
            raise AssertionError(f"{script!r} in {self.suite} gave {done.returncode}:\n{out}{err}")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def clone(self, user: str = "root") -> str:
        """This checkout once more, in the user's home; its path in the root."""
        path = f"{HOMES[user]}/checkout"
        self.run(f"mkdir {path} && tar -x -f - -C {path}", user=user, stdin=checkout.archive())
        return path

    @property
    def init(self) -> int:
        """The process id, on this machine, of the root's PID 1."""
        assert self._unshare is not None
        return _children(self._unshare.pid)[0]

    @property
    def tree(self) -> Path:
        """The root's file system, seen from this machine."""
        return Path(f"/proc/{self.init}/root")

    def _prepare(self) -> None:
        (self.folder / "root").mkdir()
        disk = image(self.suite, cache=self._cache)
        _run("cp", "--sparse=always", "--reflink=auto", disk, self.folder / "disk")

    def _start(self) -> None:
        begin = ["unshare", "--mount", "--cgroup", "sh", str(SCRIPTS / "bare.sh")]
        command = [*begin, self._name, str(self.folder), str(SCRIPTS / "bare-inside.sh")]
        log = self.folder / "log"
        with log.open("wb") as errors:
            # A session of its own: Ctrl-C in the test's terminal must not reach it.
            self._unshare = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        assert self._unshare.stdin
        assert self._unshare.stdout
        self._wait_for_user_namespace(log)
        for kind in ("uid", "gid"):
            Path(f"/proc/{self._unshare.pid}/{kind}_map").write_text("0 0 65536\n")
        self._unshare.stdin.write(b"\n")
        self._unshare.stdin.flush()
        with self._unshare.stdout as answer:
            ready = answer.readline() == b"ready\n"
        if not ready:
            raise RuntimeError(f"the root of {self.suite} could not be made:\n{log.read_text()}")
        self._connect()

    def _wait_for_user_namespace(self, log: Path) -> None:
        assert self._unshare is not None
        process = f"/proc/{self._unshare.pid}"
        made = until(
            lambda: (self._unshare and self._unshare.poll() is not None) or not _same_namespace(process),
            START_SECONDS,
        )
        if not made or self._unshare.poll() is not None:
            raise RuntimeError(f"the root of {self.suite} could not be made:\n{log.read_text()}")

    def _connect(self) -> None:
        """How this machine reaches registries and resolves names."""
        for path in (*registries.files(), Path("/etc/resolv.conf"), Path("/etc/hosts")):
            self.run(f"mkdir -p {path.parent} && cat >{path}", stdin=path.read_bytes())

    def _stop(self) -> None:
        if self._unshare is not None:
            # PID 1 ends with its standard input, the kernel then ends all in its namespace, and unshare ends last.
            with self._unshare:
                pass
        remove_cgroup(self._name)
        shutil.rmtree(self.folder)


def image(suite: str, *, cache: Cache | None = None) -> Path:
    """The disk that roots start from a copy of. Made as root."""
    sources = rootfs._lines(suite)
    key = fingerprint(suite, *PACKAGES, DISK, USER, *sources, *rootfs.sources(), *rootfs.certificates())

    def build(target: Path) -> None:
        tree = target.parent / "tree"
        include = f"--include={','.join(PACKAGES)}"
        # A mirror may stand still for longer than sid's lists are valid.
        still = ("--aptopt=Acquire::Check-Valid-Until false",) if suite == "sid" else ()
        _run("mmdebstrap", "--quiet", "--variant=minbase", *still, include, suite, tree, *sources)
        rootfs.trust(tree)
        _run("chroot", tree, "useradd", "--create-home", "--shell", "/bin/bash", USER)
        (tree / "etc/hostname").write_text("bare\n")
        _run("mke2fs", "-q", "-t", "ext4", "-d", tree, target, DISK)

    return (cache or Cache.default()).get("bare", key, build)


def _children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _same_namespace(process: str) -> bool:
    """Whether a process is still in our user namespace."""
    return Path(f"{process}/ns/user").readlink() == Path("/proc/self/ns/user").readlink()


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} failed:\n{done.stderr}")
