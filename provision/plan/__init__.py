"""Spec × Facts → Plan: what has to be done on a host. No I/O, no clock, no chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provision.buildkit import daemon
from provision.buildkit.release import Release
from provision.facts import Facts
from provision.facts.local_emulators import Sent
from provision.plan import emulation, service
from provision.plan.steps import Plan, Step, UnpackRelease
from provision.spec import Spec

__all__ = ["Plan", "Step", "plan"]


def plan(
    spec: Spec,
    facts: Facts,
    release: Release,
    *,
    url: str | None = None,
    sent: Mapping[str, Sent] | None = None,
    nonce: bytes,
    argc: int,
) -> Plan:
    """Everything `provision` would do on this host; empty when it is as wanted.

    `url` is set where the host downloads the release itself. `nonce` (7 bytes) marks trial entries, and `argc` is how
    many arguments the probes after a registration must count.
    Raises KernelError or HostError where that cannot be: then nothing has been touched.
    """
    handlers = emulation.plan(spec, facts, sent or {}, nonce, argc)
    steps, generation = service.plan(spec, facts, release, url, restart=handlers.registers)
    return Plan(
        steps=(*handlers.steps, *steps),
        notes=(*handlers.notes, *_release_notes(release, steps), *daemon.warnings(spec.buildkit)),
        generation=generation,
    )


def _release_notes(release: Release, steps: Iterable[Step]) -> tuple[str, ...]:
    """How an archive is verified is worth a line when one is fetched; that a version is insecure, always."""
    if any(isinstance(step, UnpackRelease) for step in steps):
        return release.notes
    return tuple(note for note in release.notes if note not in (release.digest.note, *release.asset.notes))
