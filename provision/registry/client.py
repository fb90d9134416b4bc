"""Manifests and blobs of one repository (OCI distribution-spec, "Pull")."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from provision.fix import Fix, ToolCommand
from provision.registry.auth import authorization, refused, wanted
from provision.registry.credentials import Credentials
from provision.registry.errors import AbsentError, RegistryError, RegistryLoginError
from provision.registry.reference import server
from provision.registry.web import Web, body, silence

LARGEST_MANIFEST: Final = 4 << 20
"""Bytes: what the specification asks registries to take."""
_SHORT: Final = 1 << 16
"""Bytes of an answer that is an error."""
RESUMES: Final = 3
"""How often a broken transfer of one blob goes on where it broke."""
ACCEPTED: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A manifest, or an index of them, as it was sent."""

    data: bytes
    media_type: str


class Client:
    """Reads one repository. `mirrored` is the registry whose images a mirror holds."""

    def __init__(
        self, web: Web, repository: str, credentials: Credentials | None, *, mirrored: str = ""
    ) -> None:
        self._web = web
        self._repository = repository
        self._credentials = credentials
        self._base = f"{web.trust.scheme}://{server(web.host)}/v2/{repository}"
        # A mirror of several registries is told which (containerd, docs/hosts.md, "ns").
        self._query = f"?ns={mirrored}" if mirrored else ""
        self._authorization = ""

    @property
    def name(self) -> str:
        """The host and the repository."""
        return f"{self._web.host}/{self._repository}"

    def manifest(self, target: str) -> Document:
        """By tag or digest. Raises AbsentError, RegistryError, RegistrySilentError."""
        what = f"{self.name}{'@' if ':' in target else ':'}{target}"
        answer = self._get(f"/manifests/{target}", {"Accept": ", ".join(ACCEPTED)}, what)
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return Document(data=body(answer, LARGEST_MANIFEST, self._web.host), media_type=kind)

    def blob(self, digest: str) -> Blob:
        """A stream of the blob's bytes. Raises as `manifest`."""
        return Blob(self, digest)

    def open_blob(self, digest: str, offset: int) -> BaseHTTPResponse:
        """The answer whose body begins at `offset`. Raises as `manifest`."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        return self._get(f"/blobs/{digest}", headers, f"{self.name}@{digest}")

    def broken(self, error: Exception) -> Exception:
        """A transfer's end, in words."""
        return silence(error, self._base, self._web.trust)

    def _get(self, path: str, headers: Mapping[str, str], what: str) -> BaseHTTPResponse:
        url = f"{self._base}{path}{self._query}"
        answer = self._web.get(url, headers, authorization=self._authorization)
        if answer.status == 401:
            # No token yet, or one that is too old by now.
            with suppress(RegistryError):
                body(answer, _SHORT, self._web.host)  # a connection whose answer was read is used again
            scope = f"repository:{self._repository}:pull"
            self._authorization = authorization(self._web, answer, self._credentials, scope)
            answer = self._web.get(url, headers, authorization=self._authorization)
        if answer.status not in (200, 206) and not (answer.status == 416 and "Range" in headers):
            raise self._refusal(answer, what)
        return answer

    def _refusal(self, answer: BaseHTTPResponse, what: str) -> RegistryError:
        host = self._web.host
        said = _said(answer, host)
        if answer.status in (404, 410):
            return AbsentError(
                f"there is no {what}",
                cause=said,
                hint="Look at the name, and whether the push came to its end.",
            )
        if answer.status == 401:
            return refused(host, self._credentials) if self._credentials else wanted(host)
        if answer.status == 403:
            who = self._credentials.user if self._credentials else "a client without a login"
            return RegistryLoginError(
                f"{host} does not let {who or 'this login'} read {self._repository}",
                cause=said,
                fix=Fix.by(ToolCommand(task="login", arguments=(host,)), words="as a user who may"),
            )
        if answer.status == 429:
            return RegistryError(
                f"{host} has had too many requests",
                cause=said,
                hint="Log in, which raises the limit, or try again later.",
            )
        plain = self._web.trust.scheme == "http" and "HTTPS" in said
        hint = (
            f'It speaks TLS: set ca or insecure under [registry."{host}"].' if plain else "Try again later."
        )
        return RegistryError(f"{host} cannot give {what}", cause=said, hint=hint)


def _said(answer: BaseHTTPResponse, host: str) -> str:
    """The registry's own words: `errors` of the specification, else the beginning of its text."""
    data = b""
    with suppress(RegistryError):
        data = body(answer, _SHORT, host)
    status = f"it answered {answer.status}"
    try:
        errors = json.loads(data)["errors"]
        words = "; ".join(str(each.get("message") or each.get("code")) for each in errors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        words = data[:200].decode(errors="replace").strip()
    return f"{status}: {words}" if words else status


class Blob:
    """A blob while it is read, from its start to its end. A broken connection is taken up where it broke."""

    def __init__(self, client: Client, digest: str) -> None:
        self._client = client
        self._digest = digest
        self._answer = client.open_blob(digest, 0)
        self._done = 0
        self._left = RESUMES
        self._ended = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; empty at the end. Raises RegistrySilentError, RegistryError."""
        while not self._ended:
            try:
                data = self._answer.read1(size)
            except (HTTPError, OSError) as error:
                if not self._left:
                    raise self._client.broken(error) from error
                self._left -= 1
                self._resume()
                continue
            self._done += len(data)
            return data
        return b""

    def _resume(self) -> None:
        self._answer.close()
        time.sleep(0.5)
        self._answer = self._client.open_blob(self._digest, self._done)
        if self._answer.status == 416:  # it has no more than was read
            self._answer.close()
            self._ended = True
        elif self._done and self._answer.status != 206:
            self._skip(self._done)

    def _skip(self, left: int) -> None:
        """The server began at the start again."""
        while left and (data := self._answer.read(min(left, 1 << 16))):
            left -= len(data)

    def close(self) -> None:
        """Ends the transfer, read to its end or not."""
        self._answer.close()

    def __enter__(self) -> Blob:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
