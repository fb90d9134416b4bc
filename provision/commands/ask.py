"""The one question of a command to a host: its facts; and what goes with them to make a plan."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from provision.buildkit import choice
from provision.buildkit.release import Release, Unbuilt
from provision.errors import HostError, ProvisionError
from provision.facts import Facts, question
from provision.facts.answer import parse
from provision.facts.local_emulators import emulators_to_send
from provision.plan.target import Target
from provision.spec import Spec
from provision.transport import Transport

ASK_TIMEOUT: Final = 120.0
"""Seconds for the facts: they take well under one, on a loaded Pi a few."""
SIZES_TIMEOUT: Final = 1800.0
"""The same, where every file of a cache is looked at."""


def ask_facts(transport: Transport, spec: Spec, *, registries: bool = False, sizes: bool = False) -> Facts:
    """The facts of a host; with `registries` also what those of the spec answer it, with `sizes` those of our folders.

    Raises HostError or UnreachableError.
    """
    asked = question.question(spec, registries=registries, sizes=sizes)
    answer = transport.ask(asked.script, timeout=SIZES_TIMEOUT if sizes else ASK_TIMEOUT)
    if answer.status != 0 and not answer.records:
        raise HostError(
            f"the facts script ended with status {answer.status}",
            cause=answer.stderr.strip()[-300:],
            hint="log in by hand and run `sh -c true`: it must print nothing",
        )
    return parse(answer.records, asked.expected)


def ask_facts_and_clock(transport: Transport, spec: Spec, *, registries: bool = False) -> Facts:
    """The facts, with how far the host's clock is off: within the seconds that a question takes to arrive."""
    begun = time.time()
    facts = ask_facts(transport, spec, registries=registries)
    if not facts.system.clock:
        return facts
    return replace(facts, skew=0.0 if transport.local else facts.system.clock - begun)


def ask_target(
    transport: Transport,
    spec: Spec,
    version: str,
    cache: Path,
    *,
    local: bool = False,
    registries: bool = False,
) -> Target:
    """The facts of a host, with the release and the emulators that it is to get. `version`: BuildKit's, resolved.
    `cache` is where this machine keeps downloads and builds.

    Raises HostError or UnreachableError. That there is no release for the host is in the target.
    """
    return target_of(spec, ask_facts(transport, spec, registries=registries), version, cache, local=local)


def target_of(spec: Spec, facts: Facts, version: str, cache: Path, *, local: bool = False) -> Target:
    """What `ask_target` makes of facts. Goes to the network only where nothing here vouches for the release."""
    try:
        release: Release | Unbuilt | ProvisionError = choice.choose(
            spec.buildkit,
            version=version,
            machine=facts.system.machine,
            userland_bits=facts.system.userland_bits,
            installed=facts.releases,
            cache=cache,
        )
    except ProvisionError as error:
        release = error
    return Target(spec=spec, facts=facts, release=release, emulators=emulators_to_send(spec), local=local)
