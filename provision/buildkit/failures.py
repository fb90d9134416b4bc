"""What the messages of a failed buildctl mean. Its exit status is 1 for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from provision.fix import NO_FIX, PROVISION, Fix, HostCommand


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A message that is known, with its likely cause and what to do."""

    pattern: str
    """A regular expression that the output holds."""
    cause: str
    fix: Fix = NO_FIX
    """Nothing where the message alone does not tell."""
    restart: bool = False
    """Whether a restart of the daemon belongs to the fix, by whatever runs it on the host."""


def _means(pattern: str, cause: str, fix: Fix, *, restart: bool = False) -> Meaning:
    return Meaning(pattern=pattern, cause=cause, fix=fix, restart=restart)


# The first that fits counts. Texts: buildctl v0.32.2; gRPC, crypto/tls and runc bring most of them.
_MEANINGS: Final = (
    _means(
        r"dial unix \S+: connect: no such file or directory",
        "buildkitd does not run, or its socket is somewhere else",
        Fix(words="if buildctl uses another socket, see BUILDKIT_HOST and --addr"),
        restart=True,
    ),
    _means(
        r"dial unix \S+: connect: permission denied",
        "this user is not in the group that owns the socket, or joined it after logging in",
        Fix(words="add the user to the group (buildkit.users), then log in again"),
    ),
    _means(
        r"connect: connection refused",
        "nothing listens there: buildkitd has stopped or is still starting",
        NO_FIX,
        restart=True,
    ),
    _means(
        r"tls: certificate required",
        "the daemon wants a client certificate, and none was shown",
        Fix(words="give --tlscert and --tlskey as well, or all three in --tlsdir"),
    ),
    _means(
        r"error reading server preface: EOF",
        "the daemon speaks TLS on this port, and the client does not",
        Fix(words="give --tlscacert, --tlscert and --tlskey"),
    ),
    _means(
        r"write: broken pipe",
        "the daemon refused the client's certificate, most likely because it is not made for clients",
        Fix(words="make it with the extended key usage clientAuth, signed by the daemon's CA"),
    ),
    _means(
        r"certificate is valid for .*, not ",
        "the daemon's certificate was made for another name",
        Fix(words="give --tlsservername with a name it has, or make it anew with this one"),
    ),
    _means(
        r"certificate signed by unknown authority",
        "the daemon's certificate is from another authority than the one in --tlscacert",
        Fix(words="give the CA that signed it"),
    ),
    _means(
        r"relies on legacy Common Name",
        "the daemon's certificate has no subject alternative names",
        Fix(words="make it anew with its DNS names and IP addresses as SANs"),
    ),
    _means(
        r"certificate has expired or is not yet valid",
        "a certificate is out of date, or a clock is wrong",
        Fix(
            words="compare the date on both sides; renew the certificate, then restart buildkitd to have it read"
        ),
    ),
    _means(
        r"directory did not contain one of the needed files",
        "the folder of --tlsdir is not complete",
        Fix(words="it needs ca.pem, cert.pem and key.pem, or ca.crt, tls.crt and tls.key"),
    ),
    _means(
        r"context deadline exceeded",
        "the daemon did not answer in time",
        Fix(words="if it is only busy, ask again later"),
        restart=True,
    ),
    _means(
        r"exec \S+: exec format error",
        "the step is for another architecture, and no handler is registered for it",
        Fix.by(PROVISION),
    ),
    _means(
        r"exec \S+: no such file or directory",
        "the program or its loader is not in the image, or its handler lacks the F flag",
        NO_FIX,
    ),
)


def meaning_of(output: str, restart: HostCommand) -> Meaning | None:
    """What the output of a buildctl that failed means; None where its words are not known.

    `restart` is the command that restarts the daemon on that host.
    """
    found = next((each for each in _MEANINGS if re.search(each.pattern, output)), None)
    if found is None or not found.restart:
        return found
    return replace(found, fix=Fix.by(restart, words=found.fix.words))
