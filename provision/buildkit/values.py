"""Which values the daemon's settings may have. Each function returns its argument, or raises ConfigError."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from provision.errors import ConfigError
from provision.spec import Registry, Tls

# useradd(8), without the trailing $ of Samba; sh, systemd and tmpfiles.d take such a name as it stands.
_GROUP: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# The domain of an image reference (distribution/reference), which the daemon looks the table up by.
_REGISTRY: Final = re.compile(rf"(?:{_NAME}(?:\.{_NAME})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?")
_LISTEN: Final = re.compile(r"tcp://(?P<host>[A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?")
_OWN_LABELS: Final = "org.mobyproject.buildkit.worker."


def group(name: str) -> str:
    """The name of a group, harmless in a unit and in tmpfiles.d."""
    if not _GROUP.fullmatch(name):
        raise ConfigError(
            f"buildkit.group: {name!r} is not a group's name",
            hint="Use letters, digits, - and _, 32 characters at most.",
        )
    return name


def listen(address: str, tls: Tls | None) -> str:
    """`tcp://ADDRESS:PORT`; beyond loopback only with a server certificate and a CA for the clients'."""
    found = _LISTEN.fullmatch(address)
    if found is None or not _port(found["port"]):
        raise ConfigError(
            f"buildkit.listen: {address!r} is not an address to listen on",
            hint="Write tcp://ADDRESS:PORT, as in tcp://127.0.0.1:1234; the socket is always there.",
        )
    if not _loopback(found["host"]) and (tls is None or tls.ca is None):
        raise ConfigError(
            f"buildkit.listen: {address} is refused without mutual TLS",
            cause="whoever can reach the daemon is as good as root on this machine",
            hint="Set buildkit.tls with cert, key and ca; or listen on 127.0.0.1 and come by ssh://.",
        )
    return address


def paths(key: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Absolute paths on the host."""
    for value in values:
        if not value.startswith("/"):
            raise ConfigError(f"{key}: {value!r} is not an absolute path", hint="Start it with /.")
    return values


def labels(wanted: Mapping[str, str]) -> Mapping[str, str]:
    """Labels of the worker, by the names that labels have; the daemon's own are its own."""
    for name in wanted:
        if not _LABEL.fullmatch(name):
            raise ConfigError(
                f"buildkit.labels: {name!r} is not a label's name",
                hint="Use letters, digits and . _ / - between them, as in com.example.rack.",
            )
        if name.startswith(_OWN_LABELS):
            raise ConfigError(
                f"buildkit.labels: {name} is set by the daemon itself", hint="Choose another name."
            )
    return wanted


def registry(host: str, wanted: Registry) -> Registry:
    """One registry's table, by its host as in image references."""
    place = f'registry."{host}"'
    if not _is_registry(host):
        raise ConfigError(
            f"{place} is not a registry's host",
            cause="the daemon looks it up by what stands in image references: host, or host:port",
            hint='Write [registry."host:5000"], without http:// and path; Docker Hub is "docker.io".',
        )
    if wanted.http and wanted.insecure:
        raise ConfigError(
            f"{place} has both http and insecure",
            cause="http means no TLS, insecure means TLS that is not verified",
            hint="Keep the one that is true.",
        )
    for mirror in wanted.mirrors:
        if not _is_registry(mirror.partition("/")[0]) or not re.fullmatch(r"[!-~]+", mirror):
            raise ConfigError(
                f"{place}.mirrors: {mirror!r} is not a mirror",
                hint="Write host, host:port or host/path; its own table says whether it speaks http.",
            )
    paths(f"{place}.ca", wanted.ca)
    return wanted


def _is_registry(text: str) -> bool:
    found = _REGISTRY.fullmatch(text)
    return found is not None and (found["port"] is None or _port(found["port"]))


def _port(text: str) -> bool:
    return 0 < int(text) < 65536


def _loopback(host: str) -> bool:
    """Whether only this machine reaches it. An empty host is every address; a name may be anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
