"""Every finding by its id, which never changes. docs/findings.md lists the same ids (a test compares them)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from provision.result import Finding, Severity

IDS: Final = MappingProxyType(
    {
        "not-provisioned": "this tool was never run on the host",
        # emulation now
        "binfmt-not-mounted": "the kernel's table of handlers is not there",
        "binfmt-disabled": "all handlers are switched off",
        "handler-missing": "no handler is registered for a platform",
        "handler-disabled": "the handler of a platform is switched off",
        "handler-without-f": "the handler does not work inside containers",
        "handler-credentials": "a handler keeps the privileges of foreign setuid programs",
        "handler-shadowed": "another, newer handler answers for a platform",
        "handler-argv": "programs get their arguments shifted",
        "handler-dynamic": "the emulator needs libraries that no container has",
        "handler-broken": "the emulator does not run the platform's programs",
        "handler-container": "the emulator's file is that of a container",
        "handler-over-native": "a platform is emulated that the CPU runs itself",
        "emulator-deleted": "the emulator's file was deleted, the kernel still runs it",
        "emulator-replaced": "the emulator's file was replaced, the kernel still runs the old one",
        # emulation after the next boot
        "boot-no-mount": "nothing mounts the table of handlers at boot",
        "boot-no-loader": "nothing loads binfmt.d at boot",
        "boot-missing": "a handler will not come back at boot",
        "boot-masked": "the file that brings a handler back is masked",
        "boot-broken": "the handler that comes at boot will not work",
        "boot-over-native": "a handler for the CPU's own programs comes at boot",
        "boot-differs": "another handler than today's comes at boot",
        "binfmt-not-held": "the table of handlers ends with the session that mounted it",
        # the service and its worker
        "service-missing": "there is no buildkit service",
        "service-stopped": "buildkitd does not run",
        "service-disabled": "buildkitd does not start at boot",
        "service-restarts": "buildkitd ended by itself and was restarted",
        "service-settings": "buildkitd runs with settings from before",
        "worker-silent": "buildkitd does not answer",
        "worker-version": "buildkitd is of another version than wanted",
        "worker-insecure": "buildkitd has known security holes",
        "worker-unlisted": "a platform runs, and buildkitd does not list it",
        "worker-masked": "a platform runs and builds, and buildkitd does not list it",
        "worker-stale": "buildkitd lists a platform that does not run",
        "worker-tmpdir": "buildkitd cannot start its own probes",
        "worker-snapshotter": "every layer is copied in full",
        "worker-network": "build steps use another network than wanted",
        "worker-process-mode": "build steps see and can end the host's processes",
        "worker-build": "a build for a platform failed (--deep)",
        "socket-access": "the socket has the wrong owner or mode",
        "listener-open": "buildkitd listens without asking who comes",
        # room
        "disk-low": "the disk is nearly full",
        "inodes-low": "the filesystem has few inodes left",
        "memory-low": "there is too little memory for emulated builds",
        "cgroup-memory": "the kernel does not account memory",
        "clock-off": "the clock is wrong",
        # combinations that are known to fail
        "known-bad-aslr": "this QEMU crashes on this kernel",
        "known-bad-ldconfig": "this QEMU crashes in ldconfig of Ubuntu 22.04 images",
        "known-bad-go": "this QEMU crashes Go programs",
        "known-bad-x86-64-v2": "this QEMU lacks x86-64-v2, which newer images need",
    }
)


def finding(
    name: str, severity: Severity, evidence: str, consequence: str, fix: str, platform: str | None = None
) -> Finding:
    """A finding with an id of the catalogue. Raises KeyError for another: a defect, which tests find."""
    IDS[name]
    return Finding(
        id=name, severity=severity, platform=platform, evidence=evidence, consequence=consequence, fix=fix
    )
