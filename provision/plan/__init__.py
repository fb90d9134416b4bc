"""Spec × Facts → Plan: what has to be done on a host. No I/O, no clock, no random numbers."""

from __future__ import annotations

from collections.abc import Iterable

from provision.buildkit import daemon
from provision.buildkit.release import Release
from provision.placed import disk_bytes
from provision.plan import emulation, service
from provision.plan.foreign import foreign_notes
from provision.plan.record import plan_record, plan_tidying
from provision.plan.requirements import require
from provision.plan.steps import Plan, Step, UnpackRelease
from provision.plan.target import Target

__all__ = ["Plan", "Step", "Target", "plan"]


def plan(target: Target, *, nonce: bytes, argc: int) -> Plan:
    """Everything `provision` would do on this host; empty when it is as wanted.

    `nonce` (7 bytes) marks trial entries, and `argc` is how many arguments the probes after a registration must count.
    Raises the error of the first requirement that is not met, a ProvisionError: then nothing has been touched.
    """
    require(target)
    release = target.known_release()
    handlers = emulation.plan_emulation(target, nonce, argc)
    steps, generation = service.plan_service(target, handlers.registered)
    # First what may end the run: a distribution with a runc that is too old.
    before = (*plan_tidying(target.facts), *plan_record(target.facts), *service.plan_runc(target))
    every = (*before, *handlers.steps, *steps)
    return Plan(
        steps=every,
        notes=(
            *foreign_notes(every, target.facts),
            *handlers.notes,
            *_release_notes(release, steps),
            *daemon.warnings(target.spec.buildkit, disk_bytes(target.facts)),
        ),
        generation=generation,
    )


def _release_notes(release: Release, steps: Iterable[Step]) -> tuple[str, ...]:
    """Notes on how an archive is verified belong to a run that gets one; that a version is insecure, to every run."""
    if any(isinstance(step, UnpackRelease) for step in steps):
        return release.notes
    return tuple(note for note in release.notes if note not in (release.digest.note, *release.asset.notes))
