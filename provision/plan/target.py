"""A host as it is and as it is wanted: everything that requirements and steps depend on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from provision import paths
from provision.architectures import Architecture
from provision.buildkit.release import Release, Unbuilt
from provision.certificates.files import ServerFiles
from provision.errors import ProvisionError
from provision.facts import Facts
from provision.facts.interpreters import locked, provided, runs_natively, wanted_rows
from provision.facts.local_emulators import LocalEmulator
from provision.plan.interpreters import Choice, choose
from provision.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Target:
    """One host to provision."""

    spec: Spec
    facts: Facts
    release: Release | Unbuilt | ProvisionError
    """The BuildKit release to install, what has to be built first, or why there is none for this host."""
    emulators: Mapping[str, LocalEmulator] = field(default_factory=dict)
    """Emulators of this machine that may be sent, by QEMU's name of the architecture."""
    tls: ServerFiles | None = None
    """What the user's own authority has for its listener."""
    local: bool = False
    """Whether the host is this machine."""

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """An emulator for each wanted architecture that neither this machine nor one around it runs."""
        theirs, why = self.provided, locked(self.facts)
        lacking = [
            arch
            for arch in wanted_rows(self.spec)
            if arch not in theirs and not runs_natively(arch, self.facts)
        ]
        if why and theirs and self.spec.platforms is None:
            return tuple(Choice(arch=arch, problem=why) for arch in lacking)
        return tuple(choose(arch, self.spec, self.facts, self.emulators) for arch in lacking)

    @cached_property
    def provided(self) -> tuple[Architecture, ...]:
        """The wanted architectures that a machine around this container runs, which they are left to."""
        return provided(self.spec, self.facts)

    @property
    def emulates(self) -> bool:
        """Whether any handler is needed. A platform that nobody named is skipped where it has no emulator."""
        return any(choice.path or self.spec.platforms for choice in self.choices)

    def known_release(self) -> Release:
        """The release to install. Raises what stands against it."""
        if isinstance(self.release, ProvisionError):
            raise self.release
        if isinstance(self.release, Unbuilt):
            raise TypeError(f"{self.release.asset.name} is not built yet")
        return self.release

    @property
    def built_here(self) -> bool:
        """Whether this machine builds BuildKit for the host, or has built it. It holds no runc and no CNI plugins."""
        return isinstance(self.release, Unbuilt) or (
            isinstance(self.release, Release) and self.release.built
        )

    @property
    def unpacks(self) -> bool:
        """Whether the release has to be unpacked on the host, perhaps once more."""
        if isinstance(self.release, Unbuilt):
            return True
        if not isinstance(self.release, Release):
            return False
        folder = release_folder(self.release)
        there = self.facts.releases.get(folder) == self.release.digest.value
        return not there or folder in self.facts.basis.damage


def release_folder(release: Release) -> str:
    """Where a release is unpacked on a host."""
    return paths.release(release.version, release.digest.value)
