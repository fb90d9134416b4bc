"""Names to addresses, within a time."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any, Final

_FAMILIES: Final = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
"""By AddressFamily of ssh_config(5)."""


def addresses(host: str, port: int, family: str, seconds: float) -> list[Any]:
    """In the resolver's order; none if it did not answer in time. Raises OSError.

    getaddrinfo itself has no timeout; with dead name servers it takes half a minute.
    """
    found: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            wanted = _FAMILIES.get(family, socket.AF_UNSPEC)
            found.put(socket.getaddrinfo(host, port, family=wanted, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(
                error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error))
            )

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = found.get(timeout=seconds)
    except queue.Empty:
        return []
    if isinstance(answer, OSError):
        raise answer
    return answer
