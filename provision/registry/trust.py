"""How a registry is spoken to: http or https, and which authorities are trusted. `[registry]` decides.

As BuildKit reads these settings (util/resolver/resolver.go): authorities of `ca` come beside the system's, and a
registry on loopback that has none is plain http.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provision.errors import ConfigError
from provision.spec import Registry

_DEFAULT: Final = Registry()


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Of one registry."""

    scheme: str
    context: ssl.SSLContext | None
    missing: tuple[str, ...] = ()
    """Authorities of `ca` that are not on this machine: paths of the configuration are the build host's."""


def trust(host: str, registries: Mapping[str, Registry]) -> Trust:
    """Of the registry `host`, as image names call it. Raises ConfigError for an authority that is none."""
    wanted = registries.get(host, _DEFAULT)
    if wanted.http or (is_loopback(host) and not wanted.ca and not wanted.insecure):
        return Trust(scheme="http", context=None)
    context = ssl.create_default_context()
    if wanted.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    missing = tuple(path for path in wanted.ca if not _added(context, path, host))
    return Trust(scheme="https", context=context, missing=missing)


def _added(context: ssl.SSLContext, path: str, host: str) -> bool:
    if not Path(path).exists():
        return False
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f'[registry."{host}"] ca: {path} holds no authority',
            cause=str(error),
            hint="It must be a readable file of certificates in PEM.",
        ) from error
    return True


def hostname(host: str) -> str:
    """The host without its port, and an IPv6 address without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether only this machine answers there."""
    name = hostname(host)
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
