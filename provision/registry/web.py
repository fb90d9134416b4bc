"""HTTP to a registry, its token service and the stores that it redirects to.

Redirects are followed by hand: none leaves TLS, and none takes a login to another host.
"""

from __future__ import annotations

import re
import ssl
import time
import urllib.request
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning, ProtocolError, SSLError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout, make_headers

from provision import __version__
from provision.registry.errors import RegistryError, RegistrySilentError
from provision.registry.trust import Trust, hostname, is_loopback, trust
from provision.spec import Registry

READ_SECONDS: Final = 30.0
"""Seconds of silence, not of a whole transfer."""
HOPS: Final = 5
"""Redirects followed before giving up."""
PATIENCE: Final = 10.0
"""Seconds that a busy registry may ask to be left alone for, each of the `TRIES`."""
TRIES: Final = 3

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({429, 502, 503, 504})


class Web:
    """Connections of one run to one registry; they are kept open between requests."""

    def __init__(self, host: str, registries: Mapping[str, Registry], *, connect_timeout: float) -> None:
        self.host = host
        self.trust = trust(host, registries)
        if any(each.insecure for each in registries.values()):
            urllib3.disable_warnings(InsecureRequestWarning)  # the user knows
        self._registries = registries
        self._timeout = Timeout(connect=connect_timeout, read=READ_SECONDS)
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}

    def close(self) -> None:
        """Closes what is open."""
        for pool in self._pools.values():
            pool.clear()

    def get(self, url: str, headers: Mapping[str, str], *, authorization: str = "") -> BaseHTTPResponse:
        """The answer, its body unread. `authorization` is sent to the host of `url` alone.

        Raises RegistryError, RegistrySilentError.
        """
        at = url
        for _ in range(HOPS):
            own = authorization and _origin(at) == _origin(url)
            answer = self._patiently(at, {**headers, **({"Authorization": authorization} if own else {})})
            if answer.status not in _MOVED:
                return answer
            answer.close()
            at = _target(at, answer)
        raise RegistryError(
            f"{_place(url)} redirects without end", hint="Look at the registry's configuration."
        )

    def post(self, url: str, fields: Mapping[str, str]) -> BaseHTTPResponse:
        """The answer to a form. Raises as `get`."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", url, kind, fields)

    def _patiently(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        for left in range(TRIES - 1, -1, -1):
            answer = self._send("GET", url, headers)
            if answer.status not in _BUSY or not left:
                return answer
            asked = answer.headers.get("Retry-After", "")
            answer.close()
            time.sleep(min(float(asked) if asked.isdecimal() else 1.0, PATIENCE))
        raise AssertionError("the last try returns")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], fields: Mapping[str, str] | None = None
    ) -> BaseHTTPResponse:
        trusted = self._trusted(url)
        try:
            return self._pool(url, trusted).request(
                method,
                url,
                body=urlencode(fields) if fields else None,
                headers={
                    "User-Agent": f"provision/{__version__}",
                    # Layers are compressed already, and their digest is of what is sent.
                    "Accept-Encoding": "identity",
                    **headers,
                },
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=self._timeout,
            )
        except (HTTPError, OSError) as error:
            raise silence(error, url, trusted) from error

    def _trusted(self, url: str) -> Trust:
        """A host with a section of its own has its own settings; so has the registry's host at any port.

        Others (token services, stores) are trusted as the registry's own authorities say, and never unchecked.
        """
        parts = urlsplit(url)
        if parts.netloc in self._registries:
            return trust(parts.netloc, self._registries)
        if parts.hostname == hostname(self.host) or self.trust.context is None:
            return self.trust
        own = self._registries.get(self.host)
        return trust(parts.netloc, {parts.netloc: Registry(ca=own.ca)} if own and own.ca else {})

    def _pool(self, url: str, trusted: Trust) -> urllib3.PoolManager:
        proxy = _proxy(url)
        key = (proxy, urlsplit(url).netloc)
        if key not in self._pools:
            context = trusted.context or ssl.create_default_context()
            self._pools[key] = (
                _through(proxy, context) if proxy else urllib3.PoolManager(ssl_context=context)
            )
        return self._pools[key]


def body(answer: BaseHTTPResponse, limit: int, host: str) -> bytes:
    """The whole body, closed afterwards. Raises RegistryError if it is larger than `limit` bytes."""
    try:
        data = answer.read(limit + 1)
    except (HTTPError, OSError) as error:
        raise RegistrySilentError(
            f"{host} broke the connection", cause=str(error), hint="Try again."
        ) from error
    finally:
        answer.close()
    if len(data) > limit:
        raise RegistryError(f"an answer of {host} does not end", cause=f"it is larger than {limit} bytes")
    return data


def _proxy(url: str) -> str:
    """The proxy that the environment names. As for Go's programs, loopback needs none."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    if is_loopback(parts.netloc) or urllib.request.proxy_bypass(name):
        return ""
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all") or ""


def _through(proxy: str, context: ssl.SSLContext) -> urllib3.PoolManager:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    headers = make_headers(proxy_basic_auth=login) if login else None
    return urllib3.ProxyManager(address, proxy_headers=headers, ssl_context=context)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _place(url: str) -> str:
    """A URL without what may be secret in it: stores sign their addresses."""
    return url.partition("?")[0]


def _target(at: str, answer: BaseHTTPResponse) -> str:
    target = urljoin(at, answer.headers.get("Location", ""))
    old, new = urlsplit(at), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
        raise RegistryError(
            f"{_place(at)} redirects to {_place(target)}, which is refused",
            cause="it would leave TLS",
            hint="Correct the registry's redirect.",
        )
    return target


def silence(error: Exception, url: str, trusted: Trust) -> RegistrySilentError:
    """Why there is no answer, in words."""
    host = urlsplit(url).netloc
    reasons = [error, *(each for each in error.args if isinstance(each, Exception))]
    certificate = next((each for each in reasons if isinstance(each, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        away = f" {', '.join(trusted.missing)} of its ca is not on this machine." if trusted.missing else ""
        return RegistrySilentError(
            f"{host} is not trusted",
            cause=f"{certificate.verify_message or certificate}.{away}",
            hint=f'Name its authority as ca under [registry."{host}"], or add it to the system\'s.',
        )
    words = re.sub(r"\[Errno -?\d+\] ", "", str(error).rpartition(": ")[2]) or type(error).__name__
    if isinstance(error, SSLError) or any(isinstance(each, ssl.SSLError) for each in reasons):
        return RegistrySilentError(
            f"{host} does not speak TLS as it should",
            cause=words,
            hint=f'If it speaks plain http, set http = true under [registry."{host}"].',
        )
    if isinstance(error, ProtocolError):
        return RegistrySilentError(f"{host} broke the connection", cause=words, hint="Try again.")
    return RegistrySilentError(
        f"{host} does not answer",
        cause=words,
        hint="Set https_proxy (and no_proxy) if this network needs a proxy; look at the name and the port.",
    )
