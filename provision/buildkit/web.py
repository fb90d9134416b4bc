"""HTTP for releases. Redirects are followed by hand: none leaves TLS or takes a password to another host."""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from provision import __version__
from provision.buildkit.errors import CutError, MissingError
from provision.errors import ConfigError, ReleaseError

TIMEOUT: Final = 30.0
"""Seconds of silence, not of the whole transfer."""
HOPS: Final = 5
"""Redirects followed before giving up."""

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PROXY_HINT: Final = (
    "Set https_proxy (and no_proxy) if this network needs a proxy, or buildkit.mirror to a mirror inside."
)
_DENIED: Final = {
    401: ("it wants a login", "Write the mirror as https://user:password@host/path."),
    403: ("it forbids the access", "Look at the mirror's permissions, or at what the proxy lets through."),
    407: ("the proxy wants a login", "Write it into https_proxy as http://user:password@proxy:port."),
}


def checked(url: str) -> str:
    """`url` if a file's path can be appended to it. Raises ConfigError otherwise."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:
        good = False
    if not good or not re.fullmatch(r"[!-~]+", url):
        raise ConfigError(
            f"{without_login(url)!r} cannot be a mirror",
            cause="a mirror's URL is scheme, host and path in plain ASCII, without a query",
            hint="Write it like https://mirror.example/buildkit.",
        )
    return url


def without_login(url: str) -> str:
    """`url` without user and password."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


@contextmanager
def open_at(url: str, offset: int = 0) -> Iterator[tuple[http.client.HTTPResponse, int, int | None]]:
    """The answer's body, the offset it starts at and the file's whole size, if the server tells.

    Raises MissingError, CutError (trying again may help) or ReleaseError.
    """
    with _follow(url, offset) as answer:
        start, total = _extent(answer, offset)
        yield answer, start, total


def first_hop(url: str, *, origin: str, limit: int) -> tuple[str | None, str]:
    """Asks once: where the server points to, or None and the first `limit` bytes of its text.

    The login of `origin` is sent if `url` is on its host. Raises as `open_at`.
    """
    with _ask(url, 0, origin) as answer:
        if answer.status in _MOVED:
            return _target(url, answer), ""
        try:
            return None, answer.read(limit).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(error, url) from error


def _follow(url: str, offset: int) -> http.client.HTTPResponse:
    at = url
    for _ in range(HOPS):
        answer = _ask(at, offset, url)
        if answer.status == 416 and offset:  # what we hold is as long as the file, or longer: begin again
            answer.close()
            return _follow(url, 0)
        if answer.status not in _MOVED:
            return answer
        with answer:
            at = _target(at, answer)
    raise ReleaseError(
        f"{without_login(url)} redirects without end", hint="Look at the mirror's configuration."
    )


def _target(at: str, answer: http.client.HTTPResponse) -> str:
    target = urljoin(at, answer.headers.get("Location", ""))
    old, new = urlsplit(at), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
        raise ReleaseError(
            f"{without_login(at)} redirects to {without_login(target)}, which is refused",
            cause="it would leave TLS",
            hint="Mend the mirror's redirect, or name its final address as buildkit.mirror.",
        )
    return target


def _ask(url: str, offset: int, origin: str) -> http.client.HTTPResponse:
    """One request, no redirect followed. The login of `origin` goes to that scheme and host alone."""
    address = urlsplit(url)
    request = urllib.request.Request(  # noqa: S310 - only http and https come here
        urlunsplit(address._replace(netloc=_host(url))),
        headers={"User-Agent": f"provision/{__version__}", "Accept-Encoding": "identity"},
    )
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    if (address.scheme, _host(url)) == (urlsplit(origin).scheme, _host(origin)):
        _log_in(request, origin)
    try:
        return cast("http.client.HTTPResponse", _opener().open(request, timeout=TIMEOUT))
    except urllib.error.HTTPError as error:
        if error.code in _MOVED or (error.code == 416 and offset):
            return cast("http.client.HTTPResponse", error)
        with error:
            raise _refusal(error.code, url) from error
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(error, url) from error


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _log_in(request: urllib.request.Request, origin: str) -> None:
    parts = urlsplit(origin)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")


def _opener() -> urllib.request.OpenerDirector:
    """An opener without urllib's redirect handler, which follows https to http and sends all headers along.

    Made anew for each request, so that it sees the environment's proxies of now.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _extent(answer: http.client.HTTPResponse, offset: int) -> tuple[int, int | None]:
    """Where the body starts and how long the whole file is (RFC 9110 §14.4, §15.3.7)."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != offset:
            raise ReleaseError("the server answered with another part of the file than was asked for")
        return offset, None if found[2] == "*" else int(found[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _refusal(code: int, url: str) -> ReleaseError:
    place = without_login(url)
    if code in (404, 410):
        return MissingError(f"there is no {place}", cause=f"the server answered {code}")
    if code in _BUSY:
        return CutError(
            f"{place} cannot be had now", cause=f"the server answered {code}", hint="Try again later."
        )
    cause, hint = _DENIED.get(code, (f"the server answered {code}", _PROXY_HINT))
    return ReleaseError(f"{place} cannot be had", cause=cause, hint=hint)


def _no_answer(error: Exception, url: str) -> ReleaseError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    host = _host(url)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ReleaseError(
            f"{host} is not trusted",
            cause=reason.verify_message or str(reason),
            hint="Add its authority to the system's, or name a file of authorities in SSL_CERT_FILE.",
        )
    return CutError(f"{host} does not answer", cause=str(reason) or type(reason).__name__, hint=_PROXY_HINT)
