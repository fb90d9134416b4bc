"""What a host is to have of the user's own authority, decided before it is planned."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.certificates.authority import Authority
from provision.certificates.files import ServerFiles
from provision.config.names import host_port, is_address
from provision.lazy import LazyModule
from provision.plan.target import Target
from provision.transport import Secret

if TYPE_CHECKING:  # most runs have no certificates
    from provision.buildkit import network
    from provision.certificates import server
else:
    network, server = LazyModule("provision.buildkit.network"), LazyModule("provision.certificates.server")

_DNS = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound here
_ALWAYS = ("localhost", "127.0.0.1")


@dataclass(frozen=True, kw_only=True)
class Certifier:
    """The authority of a run."""

    authority: Authority

    def with_files(self, target: Target, address: str, *, issue: bool) -> Target:
        """The target with the files of its listener. `address` is where this machine has reached the host.

        With `issue` a certificate that is needed is made now; without, there is only the reason for it. Raises
        AuthorityError.
        """
        tls = target.spec.buildkit.tls
        if tls is None or not tls.own:
            return target
        wanted = tuple(dict.fromkeys(names(tls.names, address, target.spec.buildkit.listen)))
        seen = target.facts.basis.certificates
        certificate = seen[tls.cert].text if tls.cert in seen else ""
        known = self.authority.exists
        unusable = server.unusable(
            certificate, network.certificate_problem(replace(tls, ca=None), target.facts.basis)
        )
        signer = self.authority.servers if known else ""
        why = unusable or server.due(certificate, authority=signer, names=wanted, now=time.time())
        trusted = self.authority.trusted if known else ""
        files = ServerFiles(trusted=trusted, certificate=certificate, why=why)
        if why and not issue:
            key = Secret("") if unusable else None
            files = replace(files, certificate=f"a new one for {', '.join(wanted)}\n", key=key)
        elif unusable:
            issued = self.authority.for_server(wanted[0], wanted, tls.days)
            files = replace(files, certificate=issued.certificate, key=issued.key)
        elif why:
            # For the key that is there: then no cut of a run leaves a certificate and a key that do not fit.
            renewed = self.authority.renewed(certificate, wanted[0], wanted, tls.days)
            files = replace(files, certificate=renewed)
        return replace(target, tls=files)


def names(given: Iterable[str], address: str, listen: Iterable[str]) -> Iterator[str]:
    """What clients may call the host: only what a certificate can hold."""
    listeners = (host_port(each.removeprefix("tcp://"))[0] for each in listen)
    for each in (*given, address, *listeners, *_ALWAYS):
        name = each.strip("[]")
        if name not in _EVERYWHERE and (is_address(name) or _DNS.fullmatch(name)):
            yield name
