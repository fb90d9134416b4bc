"""Which architectures are wanted, which run on a host, and which files can be emulators. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from provision import elf
from provision.architectures import ARCHITECTURES, PLATFORMS, Architecture, of_platform
from provision.facts import Facts, Interpreter, Mount, packages
from provision.facts.local_emulators import LocalEmulator
from provision.spec import PACKAGES, SEND, Spec


def wanted_rows(spec: Spec) -> tuple[Architecture, ...]:
    """The architectures that `platforms` names, in its order; all of the table if it is not set."""
    if spec.platforms is None:
        return ARCHITECTURES
    return tuple(dict.fromkeys(of_platform(platform) for platform in spec.platforms))


def running(spec: Spec, facts: Facts) -> tuple[str, ...]:
    """The wanted platforms whose programs ran; of all in the table if `platforms` is not set."""
    found = (
        (platform, facts.probes.get(of_platform(platform).qemu)) for platform in spec.platforms or PLATFORMS
    )
    return tuple(platform for platform, probe in found if probe and probe.ran)


def runs_natively(arch: Architecture, facts: Facts) -> bool:
    """Whether its program ran without a handler: decided by execution.

    Where that could not be tried, it is enough that the kernel was seen to run the program's own file, or that it is
    the machine's own kind. That no emulator was seen is not: one may be too slow to be looked at.
    """
    probe = facts.probes.get(arch.qemu)
    if probe is None:
        return False
    if probe.natively is not None:
        return probe.natively
    return probe.ran and not probe.emulated and (bool(probe.executable) or facts.system.architecture == arch)


def provided(spec: Spec, facts: Facts) -> tuple[Architecture, ...]:
    """The wanted architectures whose programs run by handlers of a machine around this container.

    They are left to it where the container cannot change the table, or would hide it by one of its own; and where there
    is nothing else to be wished for.
    """
    if not facts.system.contained or facts.binfmt.usable:
        return ()
    foreign = tuple(arch for arch in wanted_rows(spec) if not runs_natively(arch, facts))
    runs = tuple(arch for arch in foreign if _ran(arch, facts))
    return runs if locked(facts) or runs == foreign else ()


def locked(facts: Facts) -> str:
    """Why this container cannot have a table of handlers that it may write to; empty if it can."""
    binfmt = facts.binfmt
    if not facts.system.contained or binfmt.usable:
        return ""
    if binfmt.mounted == "binfmt_misc":
        return "the table of handlers is that of the machine around this container, which may not change it"
    if not facts.basis.capabilities.get("self", _SYS_ADMIN) & _SYS_ADMIN:
        return "this container may not mount the table of handlers"
    runs = [arch for arch in ARCHITECTURES if not runs_natively(arch, facts) and _ran(arch, facts)]
    if facts.system.own_users and runs:
        return "a table of this container's own would hide the handlers of the machine around it, which it has now"
    return ""


_SYS_ADMIN: Final = 1 << 21
"""CAP_SYS_ADMIN (capability.h)."""


def _ran(arch: Architecture, facts: Facts) -> bool:
    probe = facts.probes.get(arch.qemu)
    return probe is not None and probe.ran


def unfit(found: Interpreter, facts: Facts) -> str:
    """Why this file cannot be an interpreter; empty if it can."""
    header = found.header
    mount = facts.mount_of(found.real or found.path)
    if not found.executable:
        return "is not executable"
    if header is None:
        return "is no ELF program, so every container would need its interpreter"
    if header.linkage == "dynamic":
        return "is dynamically linked: inside a container its libraries are missing"
    if not _native_program(header, facts):
        name = header.architecture.name if header.architecture else f"machine {header.machine}"
        return f"is a program for {name}, not for this machine"
    if mount and "noexec" in mount.options:
        return f"lies on {mount.point}, which is mounted noexec"
    if mount and mount.point not in ("/", "/usr") and _late(mount, facts):
        # systemd/systemd#21178: systemd-binfmt runs early, and F opens the file at once.
        return f"lies on {mount.point}, which may be mounted after handlers are registered at boot"
    return ""


def _late(mount: Mount, facts: Facts) -> bool:
    """Whether the boot may register handlers before it mounts this. From systemd 250 on, systemd-binfmt comes after all
    local file systems that are to be waited for.
    """
    if facts.system.systemd is None:
        return facts.system.openrc is not None
    number = re.match(r"\d+", facts.system.systemd)
    old = number is None or int(number[0]) < _AFTER_LOCAL
    return old or mount.type in _NETWORK or mount.type.startswith("fuse") or mount.point in facts.late_mounts


_AFTER_LOCAL: Final = 250
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "glusterfs", "autofs"})


def _native_program(header: elf.Header, facts: Facts) -> bool:
    own = facts.system.header
    if own is None or (own.bits, own.big_endian, own.machine) == (
        header.bits,
        header.big_endian,
        header.machine,
    ):
        return True
    return header.architecture is not None and runs_natively(header.architecture, facts)


def candidates(arch: Architecture, spec: Spec, emulators: Mapping[str, LocalEmulator]) -> tuple[str, ...]:
    """The paths where this architecture's emulator may be on the host. `emulators` are those to be sent."""
    pattern = spec.emulation.interpreters
    if pattern.startswith(SEND):
        return (emulators[arch.qemu].interpreter.path,) if arch.qemu in emulators else ()
    patterns = packages.CANDIDATES if pattern == PACKAGES else (pattern,)
    return tuple(each.format(qemu=arch.qemu) for each in patterns)
