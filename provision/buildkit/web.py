"""HTTP for releases. No redirect leaves TLS or takes a password to another host."""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from typing import IO, Any, Final, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from provision import __version__
from provision.buildkit.errors import CutError, LoopError, MissingError, SilentError
from provision.errors import ReleaseError

TIMEOUT: Final = 30.0
"""Seconds of silence, not of the whole transfer."""
CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection, with TLS."""
HOPS: Final = 5
"""Requests for one file. A server that redirects more often is taken to redirect without end."""

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PROXY_HINT: Final = (
    "Set https_proxy (and no_proxy) if this network needs a proxy, or buildkit.mirror to a mirror inside."
)
_REDIRECT_HINT: Final = "Fix the mirror's redirect, or name its final address as buildkit.mirror."
_DENIED: Final = {
    401: ("it wants a login", "Write the mirror as https://user:password@host/path."),
    403: ("it forbids the access", "Check the mirror's permissions, and what the proxy lets through."),
    407: ("the proxy wants a login", "Write it into https_proxy as http://user:password@proxy:port."),
}


def without_login(url: str) -> str:
    """`url` without user and password."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """urllib's own handler of redirects, with two rules: none leaves TLS, and a login stays on its scheme and host.

    Other headers are sent again, `Range` too. An instance serves one request.
    """

    max_repeats = max_redirections = HOPS - 1

    def __init__(self, origin: str, wanted: Callable[[str], bool]) -> None:
        self._origin = origin
        self._wanted = wanted
        self.at = origin
        """The address that was asked last."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message
    ) -> Any:
        """Refuse a target that breaks the rules; urllib follows any other."""
        # urllib would read the page to its end, however long it is. Closed, it reads as empty.
        fp.close()
        _check_target(self.at, headers.get("Location", ""))
        return super().http_error_302(req, fp, code, msg, cast("http.client.HTTPMessage", headers))

    # The last is not in Python 3.10.
    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        """The next request. Raises _ArrivedError instead of asking an address that the caller wants to know."""
        _check_target(self.at, newurl)  # as urllib has made it
        if self._wanted(newurl):
            raise _ArrivedError(newurl)
        # Python 3.10 knows no 308, which is a 307 for good.
        known = 307 if code == 308 else code
        message = cast("http.client.HTTPMessage", headers)
        made = super().redirect_request(req, fp, known, msg, message, _bare(newurl))
        if made is not None:
            # urllib adds the proxy's login again where the next address is asked through the proxy.
            made.remove_header("Proxy-authorization")
            _log_in(made, newurl, self._origin)
        self.at = newurl
        return made


class _ArrivedError(Exception):
    """A redirect points to an address that the caller wants to know."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


@contextmanager
def open_at(url: str, offset: int = 0) -> Iterator[tuple[http.client.HTTPResponse, int, int | None]]:
    """The answer's body, the offset it starts at and the file's whole size, if the server tells.

    Raises MissingError, CutError (trying again may help), LoopError or ReleaseError.
    """
    with _ask(url, offset) as answer:
        start, total = _extent(answer, offset)
        yield answer, start, total


def first_hop(url: str, *, wanted: Callable[[str], bool], limit: int) -> tuple[str, str]:
    """The first redirect's target that `wanted` accepts; it is not requested.

    Without one: "" and the first `limit` bytes of the text that the redirects lead to. Raises as `open_at`.
    """
    try:
        with _ask(url, 0, wanted) as answer:
            return "", answer.read(limit).decode(errors="replace")
    except _ArrivedError as arrived:
        return arrived.target, ""
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(error, url) from error


def _check_target(at: str, location: str) -> None:
    """Raises ReleaseError for a redirect that is not followed, ValueError for one to what is no address."""
    if not location:
        raise ReleaseError(f"{without_login(at)} redirects, but does not say where", hint=_REDIRECT_HINT)
    target = urljoin(at, location)
    old, new = urlsplit(at), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
        raise ReleaseError(
            f"{without_login(at)} redirects to {without_login(target)}, which is refused",
            cause="it would leave TLS",
            hint=_REDIRECT_HINT,
        )


def _ask(
    url: str, offset: int, wanted: Callable[[str], bool] = lambda _target: False
) -> http.client.HTTPResponse:
    """The answer at the end of all redirects."""
    request = urllib.request.Request(  # noqa: S310 - only http and https come here
        _bare(url), headers={"User-Agent": f"provision/{__version__}", "Accept-Encoding": "identity"}
    )
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    _log_in(request, url, url)
    redirects = _Redirects(url, wanted)
    try:
        return cast("http.client.HTTPResponse", _opener(redirects).open(request, timeout=TIMEOUT))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # we hold as much as the file has, or more: begin again
            return _ask(url, 0, wanted)
        if error.code in _MOVED:
            raise LoopError(
                f"{without_login(url)} redirects without end", hint="Check the mirror's configuration."
            ) from error
        raise _refusal(error.code, redirects.at) from error
    except http.client.InvalidURL as error:
        raise _no_address(error, url) from error
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(error, redirects.at) from error
    except ValueError as error:
        raise _no_address(error, url) from error


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _bare(url: str) -> str:
    """`url` as urllib takes it: a login would be taken for a part of the host's name."""
    return urlunsplit(urlsplit(url)._replace(netloc=_host(url)))


def _log_in(request: urllib.request.Request, url: str, origin: str) -> None:
    """Send the login of `origin` if `url` is on its scheme and host. urllib does not send it to a redirect's target."""
    parts = urlsplit(origin)
    if parts.username is not None and (urlsplit(url).scheme, _host(url)) == (parts.scheme, _host(origin)):
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        value = base64.b64encode(login.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {value}")


class _Connection(http.client.HTTPConnection):
    """A connection that is given up sooner than a silent transfer: a firewall may swallow what is sent."""

    def connect(self) -> None:
        """Connect, by TLS and through a proxy as the class says."""
        patience, self.timeout = self.timeout, CONNECT_TIMEOUT
        super().connect()
        self.timeout = patience
        self.sock.settimeout(patience)


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TlsConnection, req, context=ssl.create_default_context())


def _opener(redirects: _Redirects) -> urllib.request.OpenerDirector:
    """An opener for the web alone, without urllib's handlers of files and FTP.

    Made anew for each request, so that it sees the environment's proxies of now.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(),
        _Https(),
        urllib.request.HTTPDefaultErrorHandler(),
        redirects,
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
            f"{place} is not available now", cause=f"the server answered {code}", hint="Try again later."
        )
    cause, hint = _DENIED.get(code, (f"the server answered {code}", _PROXY_HINT))
    return ReleaseError(f"{place} is not available", cause=cause, hint=hint)


def _no_address(error: Exception, url: str) -> ReleaseError:
    return ReleaseError(
        f"{without_login(url)} redirects to what is no address", cause=str(error), hint=_REDIRECT_HINT
    )


def _no_answer(error: Exception, url: str) -> ReleaseError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    host = _host(url)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ReleaseError(
            f"{host} is not trusted",
            cause=reason.verify_message or str(reason),
            hint="Add its authority to the system's, or name a file of authorities in SSL_CERT_FILE.",
        )
    return SilentError(
        f"{host} does not answer", cause=str(reason) or type(reason).__name__, hint=_PROXY_HINT
    )
