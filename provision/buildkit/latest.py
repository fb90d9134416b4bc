"""The newest release, without GitHub's API, which allows sixty questions an hour and address."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from provision.buildkit import web
from provision.buildkit.asset import Asset
from provision.buildkit.errors import LoopError, explain_local, once_more
from provision.buildkit.source import base_of, is_url, shown
from provision.buildkit.version import canonical, is_finished, number
from provision.errors import ReleaseError
from provision.spec import DEFAULT_VERSION

# Answers with a redirect to …/releases/tag/vX.Y.Z.
_NEWEST: Final = "https://github.com/moby/buildkit/releases/latest"
_BODY: Final = 256


def latest(mirror: str | None = None) -> str:
    """The newest finished version that the release host or `mirror` has.

    On the web: the version that the redirect of releases/latest (a mirror: MIRROR/latest) leads to, or its
    text. In a folder: what the file or symlink `latest` says, otherwise the highest version's folder.
    Raises ReleaseError where there is none.
    """
    base = base_of(mirror)
    if not is_url(base):
        return _in_folder(Path(base))
    url = _NEWEST if mirror is None else f"{base}/latest"
    return once_more(lambda: _on_web(url))


def _on_web(url: str) -> str:
    try:
        target, text = web.first_hop(url, wanted=lambda each: is_finished(_last_part(each)), limit=_BODY)
    except LoopError as error:
        raise _unclear_error(shown(url)) from error
    return canonical(_last_part(target)) if target else _one_version(text, shown(url))


def _last_part(url: str) -> str:
    return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]


def _in_folder(folder: Path) -> str:
    pointer = folder / "latest"
    try:
        if pointer.is_symlink() and pointer.is_dir():
            return _one_version(pointer.resolve().name, str(pointer))
        if pointer.is_file():
            with pointer.open(encoding="utf-8", errors="replace") as file:
                return _one_version(file.read(_BODY), str(pointer))
        names = [entry.name for entry in folder.iterdir() if _is_versions(entry)]
    except OSError as error:
        raise explain_local(error, str(folder)) from error
    if not names:
        raise ReleaseError(
            f"{folder} holds no BuildKit version",
            cause="a mirror folder holds VERSION/ASSET, as in "
            f"{DEFAULT_VERSION}/{Asset(version=DEFAULT_VERSION, suffix='amd64').name}",
            hint="Fill it, or name another buildkit.mirror.",
        )
    return canonical(max(names, key=number))


def _is_versions(entry: Path) -> bool:
    """The name has its v: it is part of the path of what is fetched next."""
    return entry.name.startswith("v") and is_finished(entry.name) and entry.is_dir()


def _one_version(text: str, place: str) -> str:
    if not is_finished(text.strip()):
        raise _unclear_error(place)
    return canonical(text)


def _unclear_error(place: str) -> ReleaseError:
    return ReleaseError(
        f"{place} does not say which BuildKit is the newest",
        cause="it neither redirects to a version nor is the text of one",
        hint=f"Name the version (--buildkit-version {DEFAULT_VERSION}), or write it into MIRROR/latest.",
    )
