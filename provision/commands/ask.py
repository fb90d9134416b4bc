"""The one question of a command to a host: its facts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from provision.errors import HostError
from provision.facts import Facts, question
from provision.facts.answer import parse
from provision.spec import Spec
from provision.transport import Transport

ASK_TIMEOUT: Final = 120.0
"""Seconds for the facts: they take well under one, on a loaded Pi a few."""


def ask_facts(transport: Transport, spec: Spec) -> Facts:
    """The facts of a host. Raises HostError or UnreachableError."""
    asked = question.question(spec)
    answer = transport.ask(asked.script, timeout=ASK_TIMEOUT)
    if answer.status != 0 and not answer.records:
        raise HostError(
            f"the facts script ended with status {answer.status}",
            cause=answer.stderr.strip()[-300:],
            hint="log in by hand and run `sh -c true`: it must print nothing",
        )
    return parse(answer.records, asked.expected)


def ask_facts_and_clock(transport: Transport, spec: Spec) -> Facts:
    """The facts, with how far the host's clock is off: within the seconds that a question takes to arrive."""
    begun = time.time()
    facts = ask_facts(transport, spec)
    if not facts.system.clock:
        return facts
    return replace(facts, skew=0.0 if transport.local else facts.system.clock - begun)
