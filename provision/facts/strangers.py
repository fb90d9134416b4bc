"""Daemons of others on a host: which are in the way of this tool's, and how each is stopped. Pure."""

from __future__ import annotations

from provision import paths
from provision.facts import Facts
from provision.facts.basis import Stranger
from provision.facts.view import MARK
from provision.fix import Fix, run


def in_the_way(facts: Facts) -> tuple[Stranger, ...]:
    """Those that have the socket or the state. What this tool's own unit runs, by a drop-in, is none of them."""
    return tuple(
        each for each in facts.basis.strangers if not (each.unit == paths.SERVICE and _unit_is_ours(facts))
    )


def stop(stranger: Stranger, facts: Facts) -> Fix:
    """How it is stopped, for ever."""
    if stranger.unit.endswith(".service") and facts.system.systemd is not None:
        return Fix.by(run("systemctl", "disable", "--now", stranger.unit))
    return Fix.by(run("kill", str(stranger.pid)), words="and see that nothing starts it again")


def _unit_is_ours(facts: Facts) -> bool:
    file = facts.files.get(paths.UNIT)
    return file is not None and (file.text or "").startswith(MARK)
