"""Which architectures are wanted, which run on a host, and which files can be emulators. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from provision import elf
from provision.architectures import ARCHITECTURES, PLATFORMS, Architecture, of_platform
from provision.facts import Facts, Interpreter, packages
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
    """Whether its program ran without a handler: decided by execution."""
    probe = facts.probes.get(arch.qemu)
    return probe is not None and bool(probe.natively or (probe.ran and not probe.emulated))


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
    if mount and mount.point not in ("/", "/usr"):
        # systemd/systemd#21178: systemd-binfmt runs early, and F opens the file at once.
        return f"lies on {mount.point}, which may be mounted after handlers are registered at boot"
    return ""


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
