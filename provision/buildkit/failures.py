"""buildctl's own words for a failure, and what they mean. It exits with 1 for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provision.errors import HostError


@dataclass(frozen=True)
class _Known:
    words: str
    cause: str
    hint: str


# The first that fits counts. Texts: buildctl v0.32.2; gRPC, crypto/tls and runc bring most of them.
_KNOWN: Final = (
    _Known(
        r"dial unix \S+: connect: no such file or directory",
        "buildkitd does not run, or its socket is somewhere else",
        "systemctl status buildkit; BUILDKIT_HOST and --addr name another socket",
    ),
    _Known(
        r"dial unix \S+: connect: permission denied",
        "this user is not in the group that owns the socket, or joined it after logging in",
        "Add the user to the group (buildkit.users), then log in again.",
    ),
    _Known(
        r"connect: connection refused",
        "nothing listens there: buildkitd has stopped or is still starting",
        "systemctl status buildkit",
    ),
    _Known(
        r"tls: certificate required",
        "the daemon wants a client certificate, and none was shown",
        "Give --tlscert and --tlskey as well, or all three in --tlsdir.",
    ),
    _Known(
        r"error reading server preface: EOF",
        "the daemon speaks TLS on this port, and the client does not",
        "Give --tlscacert, --tlscert and --tlskey.",
    ),
    _Known(
        r"write: broken pipe",
        "the daemon refused the client's certificate, most likely because it is not made for clients",
        "Make it with the extended key usage clientAuth, signed by the daemon's CA.",
    ),
    _Known(
        r"certificate is valid for .*, not ",
        "the daemon's certificate was made for another name",
        "Give --tlsservername with a name it has, or make it anew with this one.",
    ),
    _Known(
        r"certificate signed by unknown authority",
        "the daemon's certificate is from another authority than the one in --tlscacert",
        "Give the CA that signed it.",
    ),
    _Known(
        r"relies on legacy Common Name",
        "the daemon's certificate has no subject alternative names",
        "Make it anew with its DNS names and IP addresses as SANs.",
    ),
    _Known(
        r"certificate has expired or is not yet valid",
        "a certificate is out of date, or a clock is wrong",
        "Compare the date on both sides; renew the certificate, then restart buildkitd: it reads it once.",
    ),
    _Known(
        r"directory did not contain one of the needed files",
        "the folder of --tlsdir is not complete",
        "It needs ca.pem, cert.pem and key.pem, or ca.crt, tls.crt and tls.key.",
    ),
    _Known(
        r"context deadline exceeded",
        "the daemon did not answer in time",
        "systemctl status buildkit; a busy or starting daemon needs a longer --timeout.",
    ),
    _Known(
        r"exec \S+: exec format error",
        "the step is for another architecture, and no handler is registered for it",
        "Run provision for that platform.",
    ),
    _Known(
        r"exec \S+: no such file or directory",
        "the program or its loader is not in the image, or its handler lacks the F flag",
        "Run health: it shows the flags of each handler.",
    ),
)


def error_of(stderr: str) -> HostError:
    """What buildctl printed when it failed, with cause and hint where its words are known."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if line.startswith("error:")), lines[-1] if lines else "")
    message = said.removeprefix("error:").strip() or "buildctl failed without a word"
    for known in _KNOWN:
        if re.search(known.words, stderr):
            return HostError(message, cause=known.cause, hint=known.hint)
    return HostError(message, hint="journalctl -u buildkit shows the daemon's side.")
