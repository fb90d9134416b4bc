"""Messages about the machine under the daemon: control groups, mounts, namespaces, runc.

Texts: runc 1.1 to 1.4 (libcontainer), the kernel's errors by their C names, and buildkitd.
"""

from __future__ import annotations

from typing import Final

from provision import paths
from provision.buildkit.failures.meaning import Meaning, means
from provision.fix import PROVISION, Fix

_PRIVILEGED: Final = Fix(
    words="in a container: start it with --privileged, or with /proc and /sys unmasked; else see the kernel's log"
)

MEANINGS: Final[tuple[Meaning, ...]] = (
    means(
        r"could not lock [^\n]*buildkitd\.lock",
        "another buildkitd has the same state",
        Fix(words=f"stop the other one (see who holds {paths.LOCK}), then start the service"),
    ),
    means(
        r"error reading from server: EOF|closing transport due to: connection error",
        "the daemon ended during the build, or was restarted",
        Fix(words="its log, and the memory kills, show why"),
    ),
    means(
        r"(?:cgroup mountpoint does not exist|no cgroup mount found in mountinfo|cannot find cgroup mount destination)",
        "no tree of control groups is mounted that runc can use",
        Fix.by(PROVISION, words="it mounts one where no service manager does"),
    ),
    means(
        r"cannot enter cgroupv2 [^\n]*(?:invalid state|domain controllers)"
        r"|cgroup\.procs: (?:device or resource busy|operation not supported)",
        "the control group of the daemon holds processes beside its own, or is threaded",
        Fix(
            words="run buildkitd as a service of its own, not in the control group of a shell or a container"
        ),
    ),
    means(
        r"unable to apply cgroup configuration: (?P<why>[^\n]*)",
        "runc could not put the step into a control group: {why}",
        _PRIVILEGED,
    ),
    means(
        r"error mounting \"(?P<what>\w+)\" to rootfs at \"[^\"]*\": [^\n]*"
        r"(?:operation not permitted|permission denied)",
        "the kernel refuses to mount {what} for the step",
        _PRIVILEGED,
    ),
    means(
        r"(?:failed to mount [^\n]*|fstype: overlay[^\n]*|overlayfs[^\n]*): (?:invalid argument|no such device)",
        "the kernel does not take overlayfs on the file system of the daemon's state",
        Fix(words=f"put {paths.STATE} on ext4 or xfs, or load the module overlay"),
    ),
    means(
        r"fork/exec /proc/self/exe: (?P<why>operation not permitted|invalid argument|no space left on device)",
        "the kernel gives no new namespaces: {why}",
        Fix(words="raise user.max_*_namespaces; in a container start it with --privileged"),
    ),
    means(
        r"can't get final child's PID from pipe: EOF",
        "runc's helper was ended while it made the step's namespaces",
        Fix(words="look at the memory kills, and at user.max_*_namespaces"),
    ),
    means(
        r"(?:loading seccomp filter into kernel|unable to init seccomp)[^\n]*",
        "the kernel takes no seccomp filter",
        Fix(words="it needs CONFIG_SECCOMP_FILTER; in a container, a less strict profile"),
    ),
    means(
        r"apparmor[^\n]*(?:failed to apply|unable to apply|no such file or directory)[^\n]*",
        "the AppArmor profile for steps is not loaded",
        Fix(words="load it, or unset the profile in buildkitd.toml"),
    ),
    means(
        r"failed to find plugin \"(?P<plugin>[\w-]+)\" in path|cni[^\n]*(?:config|load)[^\n]*failed",
        "the network of steps lacks a CNI plugin {plugin}",
        Fix.by(PROVISION, words='or set [buildkit] network = "host"'),
    ),
    means(
        r"exec: \"(?:buildkit-)?runc\": executable file not found",
        "there is no runc",
        Fix.by(PROVISION),
    ),
    means(
        # The loader of programs, before runc's own first line.
        r"runc: (?:[^\n]*: version `(?P<what>[\w.]+)' not found"
        r"|error while loading shared libraries: (?P<lib>[^:\n]+))",
        "runc does not run on this system: it asks for {what}{lib}",
        Fix(words="take BuildKit's release, whose runc asks for nothing, or the distribution's own runc"),
    ),
    means(
        r"(?i)read-only file system",
        "a disk is mounted read-only, as the kernel does after errors",
        Fix(words="see dmesg; repair the file system or replace the disk or card"),
    ),
    means(
        r"(?i)input/output error|structure needs cleaning",
        "a disk is failing, or its file system is damaged",
        Fix(words="see dmesg; repair the file system or replace the disk or card"),
    ),
    means(
        r"runc run failed: (?P<why>[^\n]*)",
        "runc could not start the step: {why}",
    ),
)
"""The first that fits counts."""
