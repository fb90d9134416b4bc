"""Messages about the way from buildctl to the daemon.

Texts: buildctl; gRPC and crypto/tls bring most of them.
"""

from __future__ import annotations

from typing import Final

from provision.buildkit.failures.meaning import means
from provision.fix import Fix

MEANINGS: Final = (
    means(
        r"dial unix \S+: connect: no such file or directory",
        "buildkitd does not run, or its socket is somewhere else",
        Fix(words="if buildctl uses another socket, see BUILDKIT_HOST and --addr"),
        restart=True,
    ),
    means(
        r"dial unix \S+: connect: permission denied",
        "this user is not in the group that owns the socket, or joined it after logging in",
        Fix(words="add the user to the group (buildkit.users), then log in again"),
    ),
    means(
        r"connect: connection refused",
        "nothing listens there: buildkitd has stopped or is still starting",
        restart=True,
    ),
    means(
        r"tls: certificate required",
        "the daemon wants a client certificate, and none was shown",
        Fix(words="give --tlscert and --tlskey as well, or all three in --tlsdir"),
    ),
    means(
        r"error reading server preface: EOF",
        "the daemon speaks TLS on this port, and the client does not",
        Fix(words="give --tlscacert, --tlscert and --tlskey"),
    ),
    means(
        r"write: broken pipe",
        "the daemon refused the client's certificate, most likely because it is not made for clients",
        Fix(words="make it with the extended key usage clientAuth, signed by the daemon's CA"),
    ),
    means(
        r"certificate is valid for .*, not ",
        "the daemon's certificate was made for another name",
        Fix(words="give --tlsservername with a name it has, or make it anew with this one"),
    ),
    means(
        r"certificate signed by unknown authority",
        "the daemon's certificate is from another authority than the one in --tlscacert",
        Fix(words="give the CA that signed it"),
    ),
    means(
        r"relies on legacy Common Name",
        "the daemon's certificate has no subject alternative names",
        Fix(words="make it anew with its DNS names and IP addresses as SANs"),
    ),
    means(
        r"certificate has expired or is not yet valid",
        "a certificate is out of date, or a clock is wrong",
        Fix(
            words="compare the date on both sides; renew the certificate, then restart buildkitd to have it read"
        ),
    ),
    means(
        r"directory did not contain one of the needed files",
        "the folder of --tlsdir is not complete",
        Fix(words="it needs ca.pem, cert.pem and key.pem, or ca.crt, tls.crt and tls.key"),
    ),
    means(
        r"context deadline exceeded",
        "the daemon did not answer in time",
        Fix(words="if it is only busy, ask again later"),
        restart=True,
    ),
)
