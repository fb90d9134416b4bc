"""What a host needs before it can be provisioned: `check` shows the list, `plan` and `provision` refuse by it. Pure.

A new requirement is a function in the file it belongs to, its name in the list here, and a fault in
tests/unit/plan/faults.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from provision.plan.requirements import buildkit, daemon, emulation, machine
from provision.plan.requirements.requirement import Requirement
from provision.plan.target import Target
from provision.result import CheckLine

__all__ = ["EMULATION", "REQUIREMENTS", "Requirement", "check_all", "require"]

EMULATION: Final[tuple[Requirement, ...]] = (
    emulation.kernel_version,
    emulation.binfmt_mounted,
    emulation.own_table,
    emulation.fix_binary,
    emulation.own_programs,
    emulation.emulators,
    emulation.packages_ready,
)
"""Those of handlers alone."""

REQUIREMENTS: Final[tuple[Requirement, ...]] = (
    machine.root,
    machine.users,
    machine.temporary,
    machine.mounts,
    *EMULATION,
    buildkit.service_manager,
    daemon.nobody_else,
    daemon.state,
    daemon.overlay,
    machine.control_groups,
    daemon.capabilities,
    buildkit.release,
    buildkit.download,
    buildkit.runc,
    buildkit.cni,
    daemon.network,
    daemon.tls,
    daemon.resolvers,
    daemon.registries,
    buildkit.room,
    machine.disk,
    machine.memory,
    machine.page_size,
)
"""In the order in which a person reads them. Where one is not met, those after it may not be either."""


def check_all(target: Target) -> tuple[CheckLine, ...]:
    """Every requirement of one host, met or not."""
    return tuple(each.line(target) for each in REQUIREMENTS)


def require(target: Target, requirements: Sequence[Requirement] = REQUIREMENTS) -> None:
    """Raise the error of the first requirement that is not met: nothing must be changed on such a host."""
    for each in requirements:
        each.enforce(target)
