"""Jump hosts that `[hosts]` describes, written out as ssh would have to be told: `jump = "gate"` is [hosts.gate].

Any other name stays as it is: one of the SSH configuration, or an address.
"""

from __future__ import annotations

from collections.abc import Mapping

from provision.config import names
from provision.spec import Host
from provision.transport import MOST_JUMPS


def written_out(host: Host, hosts: Mapping[str, Host]) -> str | None:
    """The jump hosts of a host in ProxyJump's syntax, each of `hosts` by its address, login and port.

    The first one is reached through its own jump hosts; each other through the one before it, as ssh(1), -J,
    has it. Raises ValueError for a host that would have to be reached through itself, or through too many.
    """
    if not host.jump:
        return None
    text = _through(host.jump, hosts, (host.name,))
    if (number := text.count(",") + 1) > MOST_JUMPS:
        raise ValueError(f"leads through {number} hosts; {MOST_JUMPS} are the most")
    return text


def _through(jump: str, hosts: Mapping[str, Host], passed: tuple[str, ...]) -> str:
    hops = [_hop(word, hosts) for word in jump.split(",")]
    for described, _ in hops:
        if described and described.name in passed:
            raise ValueError(f"is a circle: {' -> '.join((*passed, described.name))}")
    first, _ = hops[0]
    ways = [text for _, text in hops]
    if first and first.jump and first.jump != "none":
        ways.insert(0, _through(first.jump, hosts, (*passed, first.name)))
    return ",".join(ways)


def _hop(word: str, hosts: Mapping[str, Host]) -> tuple[Host | None, str]:
    """What `hosts` has of a jump host, if anything, and how ssh finds it."""
    login, _, place = word.rpartition("@")
    name, port = names.host_port(place)
    described = hosts.get(name)
    if described is None:
        return None, word
    user, port, address = login or described.user, port or described.port, described.address
    where = f"[{address}]" if ":" in address else address
    return described, f"{f'{user}@' if user else ''}{where}{f':{port}' if port else ''}"
