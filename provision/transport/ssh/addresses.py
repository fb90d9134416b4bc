"""Names to addresses, within a time; and the addresses of our own interfaces."""

from __future__ import annotations

import fcntl
import ipaddress
import queue
import socket
import struct
import threading
from pathlib import Path
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


_SIOCGIFADDR: Final = 0x8915
"""netdevice(7): the first IPv4 address of an interface."""


def of_interface(name: str, family: int) -> tuple[Any, ...]:
    """An interface's own address, as a socket is bound to it. Raises OSError; works on Linux.

    ssh_config(5), BindInterface: connections come from the address, by whatever interface the routes say.
    """
    if not hasattr(socket, "SO_BINDTODEVICE"):
        raise OSError(f"BindInterface {name} of the SSH configuration needs Linux")
    if family == socket.AF_INET:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            request = struct.pack("256s", name.encode()[:15])
            return (socket.inet_ntoa(fcntl.ioctl(sock, _SIOCGIFADDR, request)[20:24]), 0)
    found = [
        (ipaddress.IPv6Address(int(line[0], 16)), int(line[1], 16))
        for line in map(str.split, Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines())
        if line[-1] == name
    ]
    # As ssh: one that others can answer comes first (sshconnect.c, check_ifaddrs).
    for address, number in sorted(found, key=lambda each: each[0].is_link_local or each[0].is_loopback):
        return (str(address), 0, 0, number if address.is_link_local else 0)
    raise OSError(f"{name} has no address of this family")
