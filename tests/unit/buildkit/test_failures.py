"""What the messages of buildctl, buildkitd and runc mean: each row by a message as it is printed, and no row twice."""

from __future__ import annotations

import pytest

from provision.buildkit.failures import MEANINGS, meaning_of
from provision.fix import ToolCommand, run

RESTART = run("restart", "it")

SAID = {
    # Of registries.
    'error getting credentials - err: exec: "docker-credential-pass": executable file not found in $PATH': (
        "credential helper docker-credential-pass, which is not installed"
    ),
    "error: failed to solve: failed to push reg.example:5000/app:1: unexpected status from HEAD request to"
    " https://reg.example:5000/v2/app/blobs/sha256:ab: 401 Unauthorized": "reg.example:5000 wants a login",
    'failed to do request: Head "https://reg.example/v2/app": no basic auth credentials': "reg.example wants a login",
    "error: failed to solve: pull access denied, repository does not exist or may require authorization:"
    " server message: insufficient_scope: authorization failed": "the registry wants a login",
    "failed to push x: unexpected status from PUT request to https://r/v2/x: 403 Forbidden": "does not let it do this",
    "unexpected status code https://registry-1.docker.io/v2/x: 429 Too Many Requests": "limits how much",
    "unexpected status from PATCH request to https://r/v2/x: 413 Request Entity Too Large": "layers of this size",
    "unexpected status from POST request to https://r/v2/x/blobs/uploads/: 502 Bad Gateway": "has failed",
    'failed to do request: Head "https://10.0.0.5:5000/v2/x": http: server gave HTTP response to HTTPS client': (
        "plain http"
    ),
    'failed to do request: Head "https://reg.example/v2/x": tls: failed to verify certificate:'
    " x509: certificate signed by unknown authority": "the certificate of reg.example: its authority is unknown",
    'failed to do request: Head "https://reg.example/v2/x": tls: failed to verify certificate: x509: certificate'
    " has expired or is not yet valid: current time 2026-01-01T00:00:00Z": "certificate of reg.example is out of date",
    'failed to do request: Head "https://reg.example/v2/x": tls: failed to verify certificate: x509: certificate'
    " is valid for other.example, not reg.example": "certificate of reg.example was made for another name",
    'failed to do request: Head "https://reg.exmple/v2/x": dial tcp: lookup reg.exmple on 10.0.0.2:53:'
    " no such host": "cannot resolve the name reg.exmple",
    'failed to do request: Head "https://127.0.0.1:5001/v2/x": dial tcp 127.0.0.1:5001: connect: connection refused': (
        "nothing can be reached at 127.0.0.1:5001"
    ),
    'Head "https://reg.example/v2/x": dial tcp 10.1.1.1:443: i/o timeout': "reg.example did not answer",
    "proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused": "the proxy of buildkitd's environment",
    "failed to solve: alpine: no match for platform in manifest: not found": "does not exist for this platform",
    "error: failed to solve: reg.example/no: failed to resolve source metadata for reg.example/no:1:"
    " reg.example/no:1: not found": "there is no image reg.example/no:1",
    "error: failed to list workers: DeadlineExceeded: context deadline exceeded": "did not answer in time",
    # Of the machine.
    "buildkitd: could not lock /var/lib/buildkit/buildkitd.lock, another instance running?": "the same state",
    "rpc error: code = Unavailable desc = closing transport due to: connection error: desc = "
    '"error reading from server: EOF"': "the daemon ended during the build",
    "runc run failed: unable to start container process: unable to apply cgroup configuration: cgroup mountpoint"
    " does not exist": "no tree of control groups",
    "runc run failed: unable to apply cgroup configuration: cannot enter cgroupv2"
    ' "/sys/fs/cgroup/buildkit" with domain controllers -- it is in an invalid state': "holds processes beside",
    "runc run failed: unable to start container process: unable to apply cgroup configuration: mkdir"
    " /sys/fs/cgroup/buildkit: read-only file system": "into a control group: mkdir",
    "runc run failed: unable to start container process: error during container init: error mounting"
    ' "proc" to rootfs at "/proc": mount src=proc, dst=/proc: operation not permitted': "refuses to mount proc",
    "failed to mount /tmp/buildkit-mount1: [{Type:overlay}]: mount source: overlay, fstype: overlay, flags: 0:"
    " invalid argument": "overlayfs",
    "runc run failed: fork/exec /proc/self/exe: operation not permitted": "no new namespaces",
    "runc run failed: unable to start container process: can't get final child's PID from pipe: EOF": "namespaces",
    "runc run failed: unable to start container process: error loading seccomp filter into kernel: invalid argument": (
        "seccomp"
    ),
    "runc run failed: unable to start container process: apparmor failed to apply profile: write"
    " /proc/self/attr/apparmor/exec: no such file or directory": "AppArmor",
    'failed to find plugin "buildkit-cni-bridge" in path [/opt/cni/bin]': "CNI plugin buildkit-cni-bridge",
    'failed to find runc binary: exec: "runc": executable file not found in $PATH': "there is no runc",
    "open /var/lib/buildkit/x: read-only file system": "mounted read-only",
    "write /var/lib/buildkit/x: input/output error": "a disk is failing",
    "runc run failed: container process is gone": "could not start the step: container process is gone",
    "buildkit-runc: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by buildkit-runc)": (
        "asks for GLIBC_2.34"
    ),
    "/usr/bin/runc: error while loading shared libraries: libseccomp.so.2: cannot open shared object file": (
        "asks for libseccomp.so.2"
    ),
    # Of the build.
    "failed to solve: process did not complete: runtime execution on platform linux/arm64 not supported": (
        "does not run steps for linux/arm64"
    ),
    "no support for running processes with linux/amd64/v3 platform, supported: linux/amd64": "linux/amd64/v3",
    "write /x: no space left on device": "is full",
    "write /x: disk quota exceeded": "quota",
    'process "/bin/sh -c make" did not complete successfully: exit code: 137': "memory ran out",
    "fork: cannot allocate memory": "not enough memory",
    "qemu: uncaught target signal 11 (Segmentation fault) - core dumped": "ended by signal 11",
    'process "/bin/sh -c node x" did not complete successfully: exit code: 139': "crashed",
    "open /x: too many open files": "open files",
    "fork: retry: Resource temporarily unavailable".lower(): "processes",
    "#9 1.2 E: Temporary failure resolving 'deb.debian.org'": "cannot resolve names",
    "error: failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory": (
        "holds no Dockerfile"
    ),
    "failed to solve: failed to compute cache key: failed to calculate checksum of ref abc::def:"
    ' "/missing": not found': "not in the context: /missing",
    "failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN": "cannot be read",
    "failed to prepare x: parent snapshot sha256:ab does not exist: not found": "lost a part",
    'process "/bin/sh -c false" did not complete successfully: exit code: 1': "failed by itself, with status 1",
}


@pytest.mark.parametrize("said", SAID, ids=lambda said: said[:60])
def test_a_message_is_known(said: str) -> None:
    seen = meaning_of(f"#7 ERROR: something\nerror: {said}\n", RESTART)
    assert seen
    assert SAID[said] in seen.cause


def test_each_row_is_needed() -> None:
    """A message that another row takes first would never be told of."""
    from tests.unit.buildkit.test_workers import FAILURES  # noqa: PLC0415

    firsts = set()
    for said in [*SAID, *FAILURES]:
        firsts.add(next((row.pattern.pattern for row in MEANINGS if row.pattern.search(said)), ""))
    assert [row.cause for row in MEANINGS if row.pattern.pattern not in firsts] == []


def test_the_fix_names_the_registry() -> None:
    seen = meaning_of("failed to push reg.example:5000/app:1: 401 Unauthorized", RESTART)
    assert seen
    assert seen.fix.commands == (ToolCommand(task="login", arguments=("reg.example:5000",)),)


def test_a_restart_is_the_hosts() -> None:
    seen = meaning_of("dial unix /run/x.sock: connect: no such file or directory", RESTART)
    assert seen
    assert seen.fix.commands == (RESTART,)
    assert "BUILDKIT_HOST" in seen.fix.words
