"""Names of users, groups and hosts: strict, so that no name can be an option or a piece of shell."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from provision.config.values import Reader, integer, matching, refuse
from provision.spec import Host

# RFC 1123, and the underscore that SSH aliases and some internal zones use.
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
# useradd(8)'s rule, loosened as systemd's (USER_NAMES: "relaxed mode"): capitals and dots are in use.
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")
_GROUP: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

user = matching(_USER, "a user name (letters, digits, . _ -; not first a digit or -)")
group = matching(_GROUP, "a group name (a-z, digits, _ -; not first a digit or -)")
nickname = matching(_HOST, "a name (letters, digits, . _ -; not first or last . or -)")
port: Reader[int] = integer(1, 65535)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def is_address(text: str) -> bool:
    """Whether it is a plain IP address; `%zone` may follow an IPv6 one and must be a plain name."""
    found = _address(text)
    return found is not None and re.fullmatch(r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?", text) is not None


def host(value: object) -> str:
    """A host name, an SSH alias or an IP address."""
    if isinstance(value, str) and (_HOST.fullmatch(value) or is_address(value)):
        return value
    raise refuse(value, "a host name or address")


def host_port(value: object) -> tuple[str, int | None]:
    """`host`, `host:port`, `[::1]:port` or a bare IPv6 address, apart."""
    if isinstance(value, str):
        if is_address(value):
            return value, None
        found = re.fullmatch(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?", value)
        if found:
            inner, plain, digits = found.groups()
            number = port(int(digits)) if digits else None
            if (inner and is_address(inner)) or (plain and _HOST.fullmatch(plain)):
                return inner or plain, number
    raise refuse(value, "HOST or HOST:PORT (an IPv6 address with a port in brackets)")


def jump(value: object) -> str:
    """ProxyJump's syntax (ssh_config(5)): `[user@]host[:port]`, several with commas."""
    if not isinstance(value, str):
        raise refuse(value, "[user@]host[:port]")
    for hop in value.split(","):
        login, at, rest = hop.rpartition("@")
        if at:
            user(login)
        host_port(rest)
    return value


def ip_address(value: object) -> str:
    """An IP address."""
    if not isinstance(value, str) or not is_address(value):
        raise refuse(value, "an IP address")
    return value


def registry_mirror(value: object) -> str:
    """`HOST[:PORT][/PATH]`. The daemon drops a scheme unread: `[registry."HOST"] http` decides it."""
    if isinstance(value, str):
        place, slash, path = value.partition("/")
        plain = re.fullmatch(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*", path) or not slash
        if plain and "://" not in value and ".." not in path:
            host_port(place)
            return value
    raise refuse(value, "HOST, HOST:PORT or HOST:PORT/PATH, without a scheme")


def listener(value: object) -> str:
    """`tcp://ADDRESS:PORT`."""
    if isinstance(value, str) and value.startswith("tcp://"):
        _, number = host_port(value.removeprefix("tcp://"))
        if number is not None:
            return value
    raise refuse(value, "tcp://ADDRESS:PORT")


def destination(text: str) -> Host:
    """A host from `[user@]host[:port]`. Raises ValueError for what cannot be one."""
    login, at, place = text.rpartition("@")
    place_only, number = host_port(place)
    return Host(
        name=text,
        host=None if place_only == text else place_only,
        user=user(login) if at else None,
        port=number,
    )
