"""Names of images, as Docker and BuildKit read them (distribution/reference, `ParseNormalizedNamed`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provision.errors import UsageError

HUB: Final = "docker.io"
"""Docker Hub, as image names and `[registry]` call it."""
HUB_NAMES: Final = frozenset({HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_HUB_SERVER: Final = "registry-1.docker.io"
_OFFICIAL: Final = "library"
_LATEST: Final = "latest"

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?")
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST: Final = 255
_LAST_PORT: Final = 65535


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image in a registry."""

    host: str
    """`docker.io`, `registry.example:5000`: as `[registry]` names it."""
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def target(self) -> str:
        """What to ask the registry for: the digest, which says more, else the tag."""
        return self.digest or self.tag or _LATEST

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def is_digest(text: str) -> bool:
    """Whether it is a digest whose algorithm this tool computes."""
    return _DIGEST.fullmatch(text) is not None


def server(host: str) -> str:
    """The host and port that serves the images of a registry."""
    return _HUB_SERVER if host == HUB else host


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and 0 < int(found["port"] or _LAST_PORT) <= _LAST_PORT


def registry_host(text: str) -> str:
    """A registry's host, Docker Hub's by any of its names. Raises UsageError."""
    host = text.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if not _is_host(host):
        raise UsageError(f"{text!r} is no registry's host", hint="Write HOST or HOST:PORT.")
    return HUB if host in HUB_NAMES else host


def parse(text: str) -> Reference:
    """The image that a person means: `debian`, `host:5000/app:1.0`, `app@sha256:…`. Raises UsageError."""
    if "://" in text:
        raise _wrong(text, "it starts with a scheme", "Write it without http:// or docker://.")
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _wrong(text, "what follows @ is no digest", "A digest is sha256: and 64 digits of 0-9 a-f.")
    name, tag = _without_tag(name)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _wrong(text, f"{tag!r} is no tag", "A tag has letters, digits and . _ -, 128 at most.")
    host, repository = _apart(name)
    if not _is_host(host) or not _REPOSITORY.fullmatch(repository) or len(repository) > _LONGEST:
        lower = " Repository names are in lower case." if repository != repository.lower() else ""
        raise _wrong(text, "", f"Write [HOST[:PORT]/]NAME[:TAG] or …@sha256:….{lower}")
    if tag is None and not digest:
        tag = _LATEST
    return Reference(host=host, repository=repository, tag=tag, digest=digest or None)


def _without_tag(name: str) -> tuple[str, str | None]:
    """The last colon begins the tag, unless a slash follows: then it begins a port."""
    head, colon, tail = name.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (name, None)


def _apart(name: str) -> tuple[str, str]:
    """Host and repository. The first part is a host if it cannot be a part of a repository's name."""
    first, slash, rest = name.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    host, repository = (first, rest) if is_host else (HUB, name)
    if host in HUB_NAMES:
        return HUB, repository if "/" in repository else f"{_OFFICIAL}/{repository}"
    return host, repository


def _wrong(text: str, cause: str, hint: str) -> UsageError:
    return UsageError(f"{text!r} is no name of an image", cause=cause, hint=hint)
