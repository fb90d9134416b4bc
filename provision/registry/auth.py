"""How a registry lets its clients in: Basic, or a token of the service that it names.

Docker's token specification (distribution, docs/spec/auth/token.md and oauth.md).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from urllib3.response import BaseHTTPResponse

from provision.fix import Fix, ToolCommand
from provision.registry.credentials import Credentials
from provision.registry.errors import RegistryError, RegistryLoginError
from provision.registry.web import Web, body

_CLIENT: Final = "provision"
_LARGEST: Final = 1 << 20
_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)(?:\s+|(?=,)|$)")
_PARAMETER: Final = re.compile(r'\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """What a registry asks for: one entry of WWW-Authenticate."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(header: str) -> tuple[Challenge, ...]:
    """All entries of the header (RFC 9110, 11.6.1); what cannot be read is left out."""
    return tuple(_challenges(header))


def _challenges(header: str) -> Iterator[Challenge]:
    at = 0
    while found := _SCHEME.match(header, at):
        at = found.end()
        parameters = {}
        while pair := _PARAMETER.match(header, at):
            quoted, plain = pair[2], pair[3]
            parameters[pair[1].lower()] = re.sub(r"\\(.)", r"\1", quoted) if plain is None else plain
            at = pair.end()
        yield Challenge(scheme=found[1].lower(), parameters=parameters)
        comma = re.compile(r"\s*,").match(header, at)
        if not comma:
            return
        at = comma.end()


def authorization(web: Web, answer: BaseHTTPResponse, credentials: Credentials | None, scope: str) -> str:
    """The header that answers a 401. Raises RegistryLoginError if there is none, or none that helps."""
    found = challenges(", ".join(answer.headers.getlist("WWW-Authenticate")))
    by_scheme = {each.scheme: each for each in found}
    if credentials and credentials.bearer_token:
        return f"Bearer {credentials.bearer_token}"
    if bearer := by_scheme.get("bearer"):
        return f"Bearer {_token(web, bearer, credentials, scope)}"
    if "basic" in by_scheme:
        if credentials is None or not credentials.user:
            raise wanted(web.host)
        return _basic(credentials)
    raise RegistryError(
        f"{web.host} wants a login of a kind that is not known",
        cause=", ".join(by_scheme) or "it does not say which",
        hint="Basic and Bearer are known.",
    )


def _basic(credentials: Credentials) -> str:
    login = f"{credentials.user}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(login).decode()}"


def _token(web: Web, challenge: Challenge, credentials: Credentials | None, scope: str) -> str:
    realm = challenge.parameters.get("realm", "")
    parts = urlsplit(realm)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RegistryError(f"{web.host} names no token service", cause=f"realm={realm!r}")
    if credentials and web.trust.scheme == "https" and parts.scheme == "http":
        raise RegistryLoginError(
            f"{web.host} wants the login sent to {realm} without TLS, which is refused",
            hint="Correct the registry's configuration.",
        )
    about = {
        "service": challenge.parameters.get("service", ""),
        "scope": challenge.parameters.get("scope", scope),
    }
    asked = {key: value for key, value in about.items() if value}
    if credentials and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": credentials.identity_token,
            "client_id": _CLIENT,
        }
        answer = web.post(realm, {**asked, **form})
    else:
        scopes = asked.pop("scope", "").split(" ")
        query = urlencode([*asked.items(), *(("scope", each) for each in scopes if each)])
        address = f"{realm}{'&' if parts.query else '?'}{query}"
        answer = web.get(address, {}, authorization=_basic(credentials) if credentials else "")
    return _read(web, answer, credentials)


def _read(web: Web, answer: BaseHTTPResponse, credentials: Credentials | None) -> str:
    data = body(answer, _LARGEST, web.host)
    if answer.status in (400, 401, 403):
        raise refused(web.host, credentials) if credentials else wanted(web.host)
    try:
        said = json.loads(data)
        token = said.get("token") or said.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if answer.status != 200 or not isinstance(token, str):
        raise RegistryError(
            f"the token service of {web.host} gives no token", cause=f"it answered {answer.status}"
        )
    return token


def _login(host: str) -> Fix:
    return Fix.by(ToolCommand(task="login", arguments=(host,)))


def wanted(host: str) -> RegistryLoginError:
    """The registry wants a login and there is none."""
    return RegistryLoginError(
        f"{host} wants a login",
        cause="there is none for it in Docker's configuration",
        fix=_login(host),
    )


def refused(host: str, credentials: Credentials) -> RegistryLoginError:
    """The registry does not take the login that there is."""
    return RegistryLoginError(
        f"{host} refuses the login",
        cause=f"it comes from {credentials.source}",
        fix=_login(host),
    )
