"""What the messages of buildctl, buildkitd and runc mean. buildctl's exit status is 1 for all of them.

A new message is a row in the file of the place that it speaks of.
"""

from __future__ import annotations

from typing import Final

from provision.buildkit.failures import client, machine, registry, steps
from provision.buildkit.failures.meaning import Explanation, Meaning, explained
from provision.fix import HostCommand

__all__ = ["MEANINGS", "Explanation", "meaning_of"]

MEANINGS: Final[tuple[Meaning, ...]] = (
    # Registries first: their messages hold words that alone would be about the daemon.
    *registry.MEANINGS,
    *client.MEANINGS,
    *machine.MEANINGS[:-1],
    *steps.MEANINGS,
    *machine.MEANINGS[-1:],
)


def meaning_of(output: str, restart: HostCommand) -> Explanation | None:
    """What the output of a buildctl that failed means; None where its words are not known. The first that fits counts.

    `restart` is the command that restarts the daemon on that host.
    """
    found = (explained(each, output, restart) for each in MEANINGS)
    return next((each for each in found if each), None)
