"""Every finding: one row with its id, the link of `explain` that it breaks, what it means and what removes it.

Ids never change. The tables of docs/findings.md are made from these rows (a test compares them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from provision import paths
from provision.fix import Fix
from provision.result import Finding, Severity

LinkId = Literal["header", "cpu", "table", "handler", "emulator", "run", "boot", "service", "listing"]


@dataclass(frozen=True, kw_only=True)
class FindingRow:
    """A kind of finding, the same on every host. `meaning` and `fixed_by` are Markdown."""

    id: str
    link: LinkId | None
    """None: it concerns the whole host, and no single platform's chain."""
    meaning: str
    fixed_by: str
    """In short. On a host each finding has its exact fix."""


def _row(name: str, link: LinkId | None, meaning: str, fixed_by: str) -> FindingRow:
    return FindingRow(id=name, link=link, meaning=meaning, fixed_by=fixed_by)


AREAS: Final[Mapping[str, tuple[FindingRow, ...]]] = MappingProxyType(
    {
        "Emulation now": (
            _row("not-provisioned", None, "this tool has never run on the host", "`provision`"),
            _row(
                "binfmt-not-mounted", "table", "the kernel's table of handlers is not mounted", "`provision`"
            ),
            _row(
                "binfmt-disabled",
                "table",
                "all handlers are switched off",
                f"`echo 1 > {paths.BINFMT}/status`",
            ),
            _row(
                "handler-missing",
                "handler",
                "no handler is registered for a wanted platform: `exec format error`",
                "`provision`",
            ),
            _row(
                "handler-around",
                "table",
                "the handlers are those of a machine around this container, and it has none for a wanted platform",
                "a handler on that machine",
            ),
            _row(
                "handler-late",
                "run",
                "a program for the platform did not end in time: a busy machine, or an emulator that hangs",
                "`health` again, later",
            ),
            _row(
                "handler-disabled",
                "handler",
                "the platform's handler is switched off",
                "`echo 1 >` the handler's file in binfmt_misc",
            ),
            _row(
                "handler-shadowed",
                "handler",
                "another handler was registered later and answers; an error if that one does not work",
                "`provision`, after which this tool's own handler answers again",
            ),
            _row(
                "handler-without-f",
                "handler",
                "the handler works on the host and in no container: `no such file or directory`",
                "`provision`",
            ),
            _row(
                "handler-argv",
                "run",
                "programs get their arguments shifted: the P flag does not fit the emulator",
                "`provision`, which tries the other setting",
            ),
            _row(
                "handler-dynamic",
                "emulator",
                "the emulator needs libraries that no container has",
                "static emulators, then `provision`",
            ),
            _row(
                "handler-broken", "run", "the emulator does not run the platform's programs", "`provision`"
            ),
            _row(
                "handler-credentials",
                "handler",
                "a handler has the flag C, so foreign setuid programs keep their privileges",
                "`provision`",
            ),
            _row(
                "handler-over-native",
                "cpu",
                "a platform is emulated that the CPU runs itself",
                "removing that handler",
            ),
            _row(
                "handler-container",
                "emulator",
                "the platform works now, but the emulator's file belongs to a container: gone after the reboot",
                "`provision --platforms …`",
            ),
            _row(
                "emulator-deleted",
                "emulator",
                "the kernel runs an emulator whose file was deleted",
                "reinstalling the package, then `provision`",
            ),
            _row(
                "emulator-replaced",
                "emulator",
                "the kernel runs the file from before an upgrade; info if both files have the same content",
                "`provision`",
            ),
        ),
        "After the next boot": (
            _row("boot-missing", "boot", "no file brings the handler back", "`provision`"),
            _row(
                "boot-masked",
                "boot",
                "the file that brings the handler back is masked by a link to `/dev/null`",
                "removing the link, then `provision`",
            ),
            _row(
                "boot-broken",
                "boot",
                "the handler of the next boot has no F flag, or its emulator is missing or unfit",
                "`provision`",
            ),
            _row(
                "boot-differs",
                "boot",
                "the next boot registers another handler than today's",
                "`provision`, or removing the file that comes later",
            ),
            _row(
                "boot-over-native",
                "boot",
                "the next boot registers a handler for the CPU's own programs: then none of them starts",
                "removing the file",
            ),
            _row(
                "boot-no-mount",
                "boot",
                "nothing mounts the table of handlers at boot",
                "enabling the service that does",
            ),
            _row(
                "boot-no-loader",
                "boot",
                "nothing loads `binfmt.d` at boot",
                "enabling the service that does; `provision` where it does not start (in some containers)",
            ),
            _row(
                "boot-nothing",
                "boot",
                "no service manager runs buildkitd: nothing brings it or the handlers back (info)",
                "a line in the boot or CI script",
            ),
            _row(
                "binfmt-not-held",
                "boot",
                "the table is mounted for a session only, and is lost when that ends (Linux 6.7)",
                "mounting it for all, then `provision`",
            ),
        ),
        "The service and its worker": (
            _row(
                "service-missing",
                "service",
                "there is no buildkit service, or not the service manager that was asked for",
                "`provision`",
            ),
            _row("service-stopped", "service", "buildkitd does not run", "starting it"),
            _row(
                "service-disabled",
                "service",
                "buildkitd does not start at boot",
                "enabling it",
            ),
            _row(
                "service-restarts",
                None,
                "buildkitd ended by itself and was restarted",
                "the cause, which the log shows",
            ),
            _row(
                "service-settings",
                None,
                "buildkitd runs with older settings than its files have",
                "restarting it",
            ),
            _row(
                "worker-silent",
                "service",
                "buildkitd does not answer",
                "restarting it; the log shows the cause",
            ),
            _row("worker-version", None, "buildkitd has another version than wanted", "`provision`"),
            _row(
                "worker-insecure",
                None,
                "buildkitd has known security holes; an error below v0.12.5",
                "`provision` with a newer version",
            ),
            _row(
                "worker-unlisted",
                "listing",
                "a platform runs, and buildkitd does not list it",
                "restarting it",
            ),
            _row(
                "worker-masked",
                "listing",
                "a platform builds, but another one stands for it in the list: buildx does not choose this host",
                "restarting it",
            ),
            _row(
                "worker-stale",
                "listing",
                "buildkitd lists a platform that does not run",
                "`provision --platforms …`, or a restart",
            ),
            _row(
                "worker-tmpdir",
                "listing",
                "buildkitd's TMPDIR is mounted noexec: every emulated platform vanishes without a message",
                "mounting it without noexec, then a restart",
            ),
            _row(
                "worker-snapshotter",
                None,
                "every layer is copied in full",
                "a filesystem that overlayfs works on",
            ),
            _row("worker-network", None, "build steps use another network than wanted", "`provision`"),
            _row(
                "worker-process-mode",
                None,
                "build steps see the host's processes and can end them",
                "removing `noProcessSandbox`",
            ),
            _row(
                "worker-build",
                None,
                "a build for a platform failed (`--deep`)",
                "what the build's message asks for; `explain`",
            ),
            _row(
                "socket-access",
                None,
                "the socket or its folder has the wrong owner or mode; an error if everyone may write",
                "the `chown` and `chmod` that are shown",
            ),
            _row(
                "listener-open",
                None,
                "buildkitd listens on TCP without asking for a client's certificate; info if wanted, on loopback",
                "`[buildkit.tls]` with a ca, or removing the address",
            ),
        ),
        "What buildkitd and its build steps stand on": (
            _row(
                "release-damaged",
                "service",
                "a program of the release is gone, or not as it was unpacked",
                "`provision`, which unpacks it again",
            ),
            _row(
                "runtime-broken",
                "service",
                "the program that starts build steps is not there, or does not run",
                "`provision`",
            ),
            _row(
                "settings-broken",
                "service",
                "`buildkitd.toml` is no TOML: buildkitd does not start with it",
                "`provision`",
            ),
            _row(
                "drift",
                None,
                "a file, link or group of this tool is gone (an error), or is not as the configuration says",
                "`provision`; `plan` shows the lines",
            ),
            _row(
                "state-folder",
                "service",
                "buildkitd cannot write to its state, temporary files, socket's folder or log; or has other files open",
                "a folder that can be written to, then a restart",
            ),
            _row(
                "capabilities",
                "service",
                "buildkitd may not have a capability that build steps get",
                "removing what takes it away, then a restart",
            ),
            _row("control-groups", "service", "runc can make no control group", "mounting them read-write"),
            _row(
                "namespaces",
                "service",
                "the kernel's limit for a kind of namespace is 0, or reached",
                "the `sysctl` commands that are shown",
            ),
            _row(
                "devices",
                "service",
                "a device that build steps get, such as `/dev/null`, is missing or a plain file",
                "making it anew",
            ),
            _row(
                "daemon-foreign",
                "service",
                "a buildkitd of somebody else has the socket or the state; a warning for a `buildkit.socket`",
                "stopping it",
            ),
            _row(
                "service-program",
                None,
                "a drop-in has the service run another buildkitd than the release's",
                "removing that line of the drop-in",
            ),
        ),
        "The network of build steps": (
            _row(
                "resolver-loopback",
                None,
                "the host's name servers are on loopback, where build steps do not reach them",
                "`[buildkit.dns] nameservers`, then `provision`",
            ),
            _row(
                "resolver-missing",
                None,
                "`resolv.conf` is missing or names no server; an error if it cannot be read: no build step starts",
                "`[buildkit.dns] nameservers`, then `provision`; or the file",
            ),
            _row(
                "network-plugins",
                None,
                'iptables is missing for `network = "bridge"`, or `cni.json` for `"cni"`',
                "installing or writing it",
            ),
            _row(
                "registry-unused",
                None,
                "a `[registry]` has a name that no image has, as `index.docker.io` for `docker.io`",
                "the right name, then `provision`",
            ),
            _row(
                "tls-files",
                None,
                "a file of `[buildkit.tls]` is missing or does not fit: buildkitd does not start",
                "the right file",
            ),
            _row(
                "tls-expiry",
                None,
                "a certificate of `[buildkit.tls]` has expired, or will in 14 days (an own one: a sixth of its life)",
                "renewing it, then a restart",
            ),
            _row(
                "tls-renewed",
                None,
                "a certificate is newer than buildkitd's start, which still uses the old one",
                "restarting it",
            ),
        ),
        "Resources": (
            _row(
                "disk-low",
                None,
                "less is free than garbage collection tries to keep; an error below 1 GiB",
                "`buildctl prune`, or deleting other files",
            ),
            _row("inodes-low", None, "fewer than 50000 inodes are free", "`buildctl prune`"),
            _row(
                "memory-low",
                None,
                "builds are emulated with less than 768 MiB of memory and swap",
                "swap, or `max_parallelism = 1`",
            ),
            _row(
                "cgroup-memory",
                None,
                "the kernel does not account memory (a Raspberry Pi's default)",
                "`cgroup_enable=memory` on the kernel's command line",
            ),
            _row(
                "registry-unreachable",
                None,
                "a registry of the configuration does not answer the host, or answers otherwise than a registry",
                "its address, the network, or the proxy",
            ),
            _row(
                "registry-certificate",
                None,
                "the host does not trust the certificate of a registry of the configuration",
                'its authority as `ca` under `[registry."HOST"]`',
            ),
            _row(
                "registry-login",
                None,
                "a registry refuses the login that the user who logs in on the host has for it",
                "`login`",
            ),
            _row(
                "clock-off",
                None,
                "the clock is off by more than 10 minutes: certificates seem not valid",
                "`timedatectl set-ntp true`",
            ),
        ),
        "Combinations that are known to fail": (
            _row(
                "known-bad-aslr",
                "emulator",
                "QEMU 7.0 crashes arm64 programs on Linux 6.8 and newer",
                "a newer QEMU; until then `sysctl kernel.randomize_va_space=0`",
            ),
            _row(
                "known-bad-ldconfig",
                "emulator",
                "QEMU 9.2.0 crashes in ldconfig of Ubuntu 22.04 images",
                "a newer QEMU",
            ),
            _row("known-bad-go", "emulator", "QEMU 6.2 crashes Go programs", "a newer QEMU"),
            _row(
                "known-bad-x86-64-v2",
                "emulator",
                "QEMU below 7.2 lacks x86-64-v2, which RHEL 9 and its kin need",
                "a newer QEMU; until then `ENV QEMU_CPU=max`",
            ),
        ),
    }
)
"""The rows by the heading that they have in docs/findings.md."""

ROWS: Final[Mapping[str, FindingRow]] = MappingProxyType(
    {row.id: row for rows in AREAS.values() for row in rows}
)


def finding(
    name: str, severity: Severity, evidence: str, consequence: str, fix: Fix, platform: str | None = None
) -> Finding:
    """A finding of the table. Raises KeyError for an id without a row: a defect, which tests find."""
    return Finding(
        id=ROWS[name].id,
        severity=severity,
        platform=platform,
        evidence=evidence,
        consequence=consequence,
        fix=fix,
    )
