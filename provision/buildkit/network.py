"""What the network settings need of a host, and settings that never count. Pure.

Sources in moby/buildkit: executor/oci/resolvconf.go, util/network, cmd/buildkitd/main.go.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING, Final, Protocol

from provision import paths
from provision.fix import Fix
from provision.lazy import LazyModule
from provision.spec import Buildkit, Tls

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509 import Certificate
else:  # Only a host with TLS needs them.
    x509 = LazyModule("cryptography.x509")
    serialization = LazyModule("cryptography.hazmat.primitives.serialization")

NAMESERVERS: Final = 'first set [buildkit.dns] nameservers = ["…"] to servers that this host can reach'
_RESOLVED: Final = ("127.0.0.53",)
_HUB: Final = frozenset(
    (
        "index.docker.io",
        "registry-1.docker.io",
        "registry.hub.docker.com",
        "hub.docker.com",
        "registry.docker.io",
    )
)
"""Other names of Docker Hub. The daemon looks for the name in a reference, which is docker.io."""


@dataclass(frozen=True, kw_only=True)
class Lack:
    """What a network mode needs and the host has not."""

    seen: str
    fix: Fix


class Files(Protocol):
    """What is known of the files of `[buildkit.tls]` (facts.basis)."""

    @property
    def certificates(self) -> Mapping[str, File]: ...
    @property
    def public_key(self) -> str: ...


class File(Protocol):
    """One of them."""

    @property
    def lost(self) -> bool: ...
    @property
    def text(self) -> str: ...


def unreachable_resolvers(buildkit: Buildkit, resolvers: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The host's name servers, if build steps can reach none of them: the daemon drops those on loopback.

    Where 127.0.0.53 stands alone, it takes those that systemd-resolved asks itself.
    """
    if buildkit.dns.nameservers:
        return ()
    servers = resolvers.get(paths.RESOLVER, ())
    if servers == _RESOLVED:
        if resolvers.get(paths.RESOLVED):
            return ()
        return servers
    return servers if servers and all(map(_on_loopback, servers)) else ()


_LOST: Final = "No such file or directory"


def no_resolvers(buildkit: Buildkit, resolvers: Mapping[str, tuple[str, ...]], problem: str) -> str:
    """That the host has no name server for build steps, in words; empty if it has, or that is not known.

    `problem` is why the file that names them cannot be read.
    """
    if hinders_steps(problem):
        return f"{paths.RESOLVER} cannot be read: {problem}"
    if buildkit.dns.nameservers:
        return ""
    if problem:
        return f"there is no {paths.RESOLVER}"
    return f"{paths.RESOLVER} names no server" if resolvers.get(paths.RESOLVER) == () else ""


def hinders_steps(problem: str) -> bool:
    """Whether no build step starts with that file: the daemon minds every error but that it is not there."""
    return problem not in ("", _LOST)


def _on_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def lacks(buildkit: Buildkit, tools: Collection[str], files: Collection[str]) -> Lack | None:
    """What the network mode needs and is not there."""
    if buildkit.network == "bridge" and "iptables" not in tools:
        return Lack(
            seen='there is no iptables, which network = "bridge" gives build steps their way out with',
            fix=Fix(words="install iptables, or set another [buildkit] network"),
        )
    if buildkit.network == "cni" and paths.CNI not in files:
        return Lack(
            seen=f'there is no {paths.CNI}, which network = "cni" reads',
            fix=Fix(words=f'write {paths.CNI}, or set [buildkit] network = "bridge" or "host"'),
        )
    return None


def never_asked(buildkit: Buildkit) -> tuple[str, ...]:
    """Names in `[registry]` that no reference has: what stands there never counts."""
    return tuple(name for name in buildkit.registries if name.lower() in _HUB)


def docker_io(wrong: Collection[str]) -> str:
    """What to write instead."""
    return f'first write [registry."docker.io"] instead of {", ".join(wrong)}: images of Docker Hub have that name'


def certificate_problem(tls: Tls, files: Files) -> str:
    """Why the daemon would not start with these files; empty if nothing is known against them."""
    for path in filter(None, (tls.cert, tls.key, tls.ca)):
        if path in files.certificates and files.certificates[path].lost:
            return f"there is no {path}"
    for path in filter(None, (tls.cert, tls.ca)):
        text = files.certificates[path].text if path in files.certificates else ""
        if text and "-----BEGIN CERTIFICATE-----" not in text:
            return f"{path} holds no certificate"
    made_for = _public_key(files.certificates[tls.cert].text) if tls.cert in files.certificates else ""
    if made_for and files.public_key and made_for != files.public_key:
        return f"{tls.key} is not the key of {tls.cert}"
    return ""


def expiry(text: str) -> int | None:
    """When the first certificate of a PEM file ends, in seconds since 1970; None if it cannot be read."""
    found = _certificate(text)
    if found is None:
        return None
    # Cryptography before 42 has times without a zone alone.
    end = getattr(found, "not_valid_after_utc", None) or found.not_valid_after.replace(tzinfo=timezone.utc)
    return int(end.timestamp())


def _public_key(text: str) -> str:
    found = _certificate(text)
    if found is None:
        return ""
    encoded = found.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(encoded).hexdigest()


def _certificate(text: str) -> Certificate | None:
    """The first certificate. Without the package, where it has no wheel, none can be read."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except (ImportError, ValueError):
        return None
