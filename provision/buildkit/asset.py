"""Which file of a BuildKit release fits a machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from provision.architectures import (
    ARCHITECTURES,
    Architecture,
    kernel_machine,
    normalise,
    of_platform,
    of_uname,
)
from provision.buildkit.errors import NoAssetError
from provision.errors import ReleaseError
from provision.fix import PROVISION, Fix

_BUILD: Final = Fix.by(
    replace(PROVISION, options=(("source", "go"),)),
    words='or set [buildkit] source = "auto", without mirror and sha256',
)

EMPTY_FILE: Final = hashlib.sha256().hexdigest()
"""The digest of an empty file: in published tables it stands where a failed download was hashed."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One archive of one release."""

    version: str
    suffix: str
    """What the release calls the machine: "arm64", "arm-v7"."""
    notes: tuple[str, ...] = ()
    """Sentences worth telling about the choice."""

    @property
    def key(self) -> str:
        """How `[buildkit] sha256` names it."""
        return f"linux-{self.suffix}"

    @property
    def name(self) -> str:
        """The archive's file name; the scheme never changed since v0.1 (.goreleaser, docker-bake.hcl)."""
        return f"{self._base}.tar.gz"

    @property
    def platform(self) -> str:
        """What its programs are made for: "linux/arm/v7"."""
        return f"linux/{self.suffix}".replace("-", "/")

    @property
    def architecture(self) -> Architecture:
        """The row of the platform."""
        return of_platform(self.platform)

    @property
    def provenance(self) -> str:
        """The file name of its provenance statement, published since v0.11.0."""
        return f"{self._base}.provenance.json"

    @property
    def _base(self) -> str:
        return f"buildkit-{self.version}.linux-{self.suffix}"


def digest_keys() -> tuple[str, ...]:
    """Every name that `[buildkit] sha256` may use."""
    return tuple(f"linux-{row.asset}" for row in ARCHITECTURES if row.asset)


def asset_for(version: str, machine: str, userland_bits: int = 64) -> Asset:
    """The archive for a machine by its `uname -m`, which is the kernel's, not userland's.

    A 32-bit userland on a 64-bit kernel gets the 64-bit archive: everything in it is static, and since v0.25
    the 32-bit one lacks the emulators of 64-bit guests (QEMU 10 dropped them).
    Raises NoAssetError where BuildKit publishes nothing that runs.
    """
    kernel = kernel_machine(machine)
    row = of_uname(kernel)
    if row is None or row.asset is None:
        raise _nothing_for(machine)
    _check_level(kernel, row)
    mixed = machine != kernel or userland_bits < row.bits
    return Asset(version=version, suffix=row.asset, notes=_notes(row, mixed))


def built_for(version: str, machine: str) -> Asset:
    """What a build from source for a machine is called, as if it were an archive of the release.

    Raises ReleaseError for a machine that Go does not compile for.
    """
    kernel = kernel_machine(machine)
    row = of_uname(kernel)
    if row is None:
        raise ReleaseError(
            f"BuildKit cannot be built for {machine}",
            cause="this tool knows no such processor",
            hint="Use another machine.",
        )
    platform = normalise("linux", kernel, "")
    return Asset(version=version, suffix=platform.partition("/")[2].replace("/", "-"))


def _check_level(machine: str, row: Architecture) -> None:
    """Refuses a processor older than the archive was built for: "arm-v7" does not run on an ARMv6."""
    needed = f"linux/{row.asset}".replace("-", "/")
    offered = normalise("linux", machine, "")
    if offered < needed:
        raise NoAssetError(
            f"BuildKit has no release for {machine}",
            cause=f"its 32-bit release is built for {needed} (GOARM=7); on {offered}, the processor of a "
            "Raspberry Pi 1 or Zero, it would end with an illegal instruction",
            fix=_BUILD,
        )


def _notes(row: Architecture, mixed: bool) -> tuple[str, ...]:
    if mixed:
        return (f"Userland has 32 bits, the kernel {row.bits}: the {row.asset} release runs, being static.",)
    if row.bits == 32:
        return ("The emulators in the 32-bit release run 32-bit guests only (QEMU 10 dropped the others).",)
    return ()


def _nothing_for(machine: str) -> NoAssetError:
    offered = ", ".join(row.asset for row in ARCHITECTURES if row.asset)
    return NoAssetError(
        f"BuildKit has no release for {machine}",
        cause=f"it publishes Linux archives for {offered}",
        fix=_BUILD,
    )
