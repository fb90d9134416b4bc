"""Names of users, groups, hosts and what they serve: strict, so that no name can be an option or a piece of shell."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from provision.config.values import MEANINGLESS, Reader, integer, local_path, matching, refuse, text
from provision.spec import Host

# RFC 1123, and the underscore that SSH aliases and some internal zones use.
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_DNS_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(
    rf"(?:(?P<name>{_DNS_LABEL}(?:\.{_DNS_LABEL})*)|\[(?P<address>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
# A user is somebody who exists: useradd(8)'s rule, loosened as systemd's (USER_NAMES: "relaxed mode"), because
# capitals and dots are in use. A group may have to be made: useradd(8)'s rule as it stands, which every
# distribution's groupadd and addgroup take. systemd takes 31 characters of both.
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}")
_GROUP: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
# worker/label/label.go. A label of such a name would replace what the daemon says of itself.
_OWN_LABELS: Final = "org.mobyproject.buildkit.worker."

user = matching(_USER, "a user name (letters, digits, . _ -; not first a digit or -)")
group = matching(_GROUP, "a group name (a-z, digits, _ -; not first a digit or -)")
nickname = matching(_HOST, "a name (letters, digits, . _ -; not first or last . or -)")
_plain_label = matching(_LABEL, "a label's name (letters, digits, . _ / -)")
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


def is_host(text: str) -> bool:
    """Whether it can be a host's name or an SSH alias: between dots 1 to 63 characters, as DNS has it."""
    return _HOST.fullmatch(text) is not None and all(0 < len(part) < 64 for part in text.split("."))


def is_port(digits: str) -> bool:
    """Whether it is the number of a port."""
    return 0 < int(digits) < 65536


def label_name(value: object) -> str:
    """The name of a worker's label."""
    name = _plain_label(value)
    if name.startswith(_OWN_LABELS):
        raise ValueError("is set by the daemon itself; choose another one")
    return name


def host(value: object) -> str:
    """A host name, an SSH alias or an IP address."""
    if isinstance(value, str) and (is_host(value) or is_address(value)):
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
            if (inner and is_address(inner)) or (plain and is_host(plain)):
                return inner or plain, number
    raise refuse(value, "HOST or HOST:PORT (an IPv6 address with a port in brackets)")


def jump(value: object) -> str:
    """ProxyJump's syntax (ssh_config(5)): `[user@]host[:port]`, several with commas; IPv6 only in brackets."""
    wanted = "[user@]host[:port] (an IPv6 address in brackets)"
    if not isinstance(value, str):
        raise refuse(value, wanted)
    for hop in value.split(","):
        login, at, rest = hop.rpartition("@")
        if at:
            user(login)
        if is_address(rest) and ":" in rest:
            raise refuse(value, wanted)
        host_port(rest)
    return value


def ip_address(value: object) -> str:
    """An IP address."""
    if not isinstance(value, str) or not is_address(value):
        raise refuse(value, "an IP address")
    return value


def registry(value: object) -> str:
    """A registry by its host, as image references begin: the daemon looks its table up by that text.

    distribution/reference, "domain": no underscore, an IPv6 address in brackets and without dots.
    """
    if isinstance(value, str) and (found := _domain(value)) and "." not in (found["address"] or ""):
        return value
    raise refuse(value, "HOST or HOST:PORT of image references (an IPv6 address in brackets)")


def registry_mirror(value: object) -> str:
    """`HOST[:PORT][/PATH]`. The daemon drops a scheme unread: `[registry."HOST"] http` decides it."""
    if isinstance(value, str):
        place, slash, path = value.partition("/")
        plain = re.fullmatch(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*", path) or not slash
        if plain and ".." not in path and _domain(place):
            return value
    raise refuse(value, "HOST, HOST:PORT or HOST:PORT/PATH, without a scheme")


def listener(value: object) -> str:
    """`tcp://ADDRESS:PORT`."""
    if isinstance(value, str) and value.startswith("tcp://"):
        found = _domain(value.removeprefix("tcp://"))
        if found and found["port"]:
            return value
    raise refuse(value, "tcp://ADDRESS:PORT, as in tcp://127.0.0.1:1234")


def _domain(text: str) -> re.Match[str] | None:
    """A host by the names of DNS (RFC 1123) or its address, with a port or without; None for anything else."""
    found = _DOMAIN.fullmatch(text)
    if found is None or (found["address"] and not is_address(found["address"])):
        return None
    good = (found["address"] or is_host(found["name"])) and (not found["port"] or is_port(found["port"]))
    return found if good else None


def mirror(value: object) -> str:
    """An http(s) URL without a trailing slash, a folder, or a folder as `file:///...`."""
    location = text(value)
    wanted = "an http:// or https:// URL, or a folder"
    if "://" not in location:
        return local_path(value)
    try:
        parts = urlsplit(location)
        odd = parts.query or parts.fragment or parts.port == 0
    except ValueError:
        raise refuse(value, wanted) from None
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return parts.path
    plain = re.fullmatch(r"[!-~]+", location) and not MEANINGLESS & set(location)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not (is_host(host) or is_address(host)) or odd or not plain:
        raise refuse(value, f"{wanted}, in plain ASCII and without a query")
    return location.rstrip("/")


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
