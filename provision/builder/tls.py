"""Endpoints over mutual TLS: where a host listens, and this machine's certificate for it."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provision.builder.way import Way
from provision.config.names import host_port, is_loopback
from provision.errors import HostError, ProvisionError, UnreachableError
from provision.spec import Spec

_KEYS: Final = ("cacert", "cert", "key")
FILES: Final = ("ca.pem", "cert.pem", "key.pem")
"""In a folder of `client-cert`, in the order of the keys."""
# A client's first bytes (RFC 9113 §3.4) with an empty SETTINGS frame: a server that lets it in answers with its own.
_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_PATIENCE: Final = 10.0
_HEARD: Final = 1.0
"""Seconds for a server to judge a certificate, once it has it."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """The folder with this machine's certificate."""

    folder: Path

    @property
    def there(self) -> bool:
        """Whether this machine has one."""
        return all((self.folder / file).is_file() for file in FILES)

    @property
    def options(self) -> Mapping[str, str]:
        """Of buildx's driver, which wants absolute paths."""
        return {key: str(self.folder.absolute() / file) for key, file in zip(_KEYS, FILES, strict=True)}


def port_of(spec: Spec) -> int | None:
    """Where a host listens for other machines by the user's own authority; None if it does not."""
    tls = spec.buildkit.tls
    if tls is None or not tls.own:
        return None
    # One that is called by an address of loopback is reached through a tunnel, or is this machine.
    near = any(map(is_loopback, tls.names))
    places = (host_port(each.removeprefix("tcp://")) for each in spec.buildkit.listen)
    return next((port for host, port in places if port and (near or not is_loopback(host))), None)


def way(address: str, port: int, client: Client) -> Way:
    """The endpoint at this address."""
    host = f"[{address}]" if ":" in address else address
    return Way(endpoint=f"tcp://{host}:{port}", options=client.options)


class ExpiredError(HostError):
    """The daemon's certificate has ended. The code is that of HostError."""


def shake_hands(host: str, endpoint: str, options: Mapping[str, str]) -> str:
    """Connect as buildx does, until the daemon has accepted the certificate; the server's own, in PEM.

    Raises UnreachableError, HostError; of the latter ExpiredError.
    """
    name, port = host_port(endpoint.removeprefix("tcp://"))
    name = name.strip("[]")
    try:
        context = ssl.create_default_context(cafile=options["cacert"])
        context.load_cert_chain(options["cert"], options["key"])
        context.set_alpn_protocols(["h2"])
    except (OSError, ssl.SSLError, KeyError) as error:
        raise HostError(
            f"{host}: this machine's certificate cannot be read",
            cause=str(error),
            hint="client-cert makes another one.",
        ) from error
    try:
        with (
            socket.create_connection((name, port or 0), _PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            _hear_refusal(secured)
            secured.sendall(_HELLO)
            if not secured.recv(9):
                raise HostError(f"{host}: the daemon hung up", cause="it said nothing", hint=_LOOK)
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")
    except ssl.SSLError as error:
        raise _refused(host, error) from error
    except OSError as error:
        raise UnreachableError(
            f"{host}: nobody answers at {endpoint}",
            cause=error.strerror or str(error),
            hint="A firewall may be between, or the daemon listens elsewhere ([buildkit] listen).",
        ) from error


def _hear_refusal(secured: ssl.SSLSocket) -> None:
    """By TLS 1.3 a client's certificate is judged after the client's handshake is done.

    What comes then is an alert, or a ticket for the next session. An alert has to be read before anything is sent: the
    server has hung up, and the kernel throws away what was not read. Raises SSLError for an alert.
    """
    if select.select([secured], [], [], _HEARD)[0]:
        secured.setblocking(False)
        with suppress(ssl.SSLWantReadError):
            secured.recv(9)
        secured.settimeout(_PATIENCE)


_LOOK: Final = "health for that host says more."
_OVER: Final = "the daemon's certificate has expired"
_MEANINGS: Final = (
    (
        "certificate has expired",
        _OVER,
        "Run provision for it, which renews it.",
    ),
    ("not yet valid", "the daemon's certificate is not valid yet", "Compare the clocks of both machines."),
    (
        "mismatch",
        "the daemon's certificate is for other names",
        "Add this one: [hosts.NAME] names; then provision.",
    ),
    (
        "certificate verify failed",
        "the daemon's certificate is of another authority",
        "Run provision for it.",
    ),
    (
        "alert certificate expired",
        "this machine's certificate has expired",
        "client-cert makes another one.",
    ),
    (
        "alert unknown ca",
        "the daemon lets this machine's certificate not in",
        "Was it revoked? Otherwise run provision for it.",
    ),
    (
        "alert certificate required",
        "the daemon wants a certificate that is made for clients",
        "client-cert makes one.",
    ),
    (
        "alert bad certificate",
        "the daemon refuses this machine's certificate",
        "client-cert makes another one.",
    ),
)


def _refused(host: str, error: ssl.SSLError) -> ProvisionError:
    words = str(error).lower()
    for sign, meaning, hint in _MEANINGS:
        if sign in words:
            kind = ExpiredError if meaning == _OVER else HostError
            return kind(f"{host}: {meaning}", cause=str(error), hint=hint)
    return HostError(f"{host}: TLS failed", cause=str(error), hint=_LOOK)
