"""The files of an image, from layers added newest first. It tells what is missing from what is not known yet.

How layers lie upon each other: OCI image-spec, layer.md; where that is silent, as containerd unpacks them
(pkg/archive/tar.go): parents are followed through links, a folder replaces a link, and what is no folder
replaces a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from provision.images.faults import FaultError
from provision.images.layer import MOST_ENTRIES, MOST_NAMES, Entry, Layer

MOST_LINKS: Final = 40
"""Followed in one path, as the kernel does (path_resolution(7))."""


class NeedMoreError(Exception):
    """The answer is in an older layer that was not added yet."""


class CircleError(Exception):
    """Links lead round in a circle."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a path leads to."""

    path: str
    """Without links, from the root, with a leading slash."""
    entry: Entry


class Tree:
    """What is known of an image's files."""

    def __init__(self) -> None:
        self.complete = False
        self._entries: dict[str, Entry] = {}
        self._implied: set[str] = set()
        """Folders that have files in some layer and no entry of their own there."""
        self._removed: set[str] = set()
        self._opaque: set[str] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> Iterator[tuple[str, Entry]]:
        """All paths, without a leading slash."""
        return iter(self._entries.items())

    def add(self, layer: Layer) -> None:
        """Puts a layer under those that are there. Raises FaultError for files without end."""
        covered: dict[str, bool] = {}
        shown = [
            (path, entry)
            for path, entry in layer.entries.items()
            if path not in self._entries
            and path not in self._removed
            and not self._covers(path.rpartition("/")[0], covered)
        ]
        self._entries.update(shown)
        if len(self._entries) > MOST_ENTRIES:
            raise FaultError("layer-hostile", f"the image has more than {MOST_ENTRIES} files")
        self._move(
            {
                path: _end(path, entry.target)
                for path, entry in shown
                if entry.kind == "symlink" and path in self._implied
            }
        )
        self._imply(layer)
        self._removed |= layer.removed
        self._opaque |= layer.opaque

    def _covers(self, folder: str, known: dict[str, bool]) -> bool:
        """Whether newer layers hide all that older ones have in the folder."""
        asked = []
        while folder and folder not in known:
            asked.append(folder)
            folder = folder.rpartition("/")[0]
        hidden = known[folder] if folder else "" in self._opaque
        for each in reversed(asked):
            entry = self._entries.get(each)
            other = entry is not None and entry.kind != "directory"
            hidden = hidden or other or each in self._removed or each in self._opaque
            known[each] = hidden
        return hidden

    def _imply(self, layer: Layer) -> None:
        for path in layer.entries:
            folder = path.rpartition("/")[0]
            while folder and folder not in self._implied and folder not in layer.entries:
                self._implied.add(folder)
                folder = folder.rpartition("/")[0]

    def _move(self, links: Mapping[str, str]) -> None:
        """Newer layers have files in what are links here: they lie where these lead to. `links`: their ends by path."""
        grown = 0
        for _ in range(MOST_LINKS if links else 0):  # one link may lead through another
            known = {"": ""}
            moved = [
                (path, place) for path in self._entries if (place := _placed(path, links, known)) != path
            ]
            if not moved:
                break
            for path, place in moved:
                self._entries[place] = self._entries.pop(path)
                self._imply_folders(place)
                grown += max(len(place) - len(path), 0)
                if grown > MOST_NAMES:
                    raise FaultError("layer-hostile", "its links lead names on without end")

    def _imply_folders(self, path: str) -> None:
        while (path := path.rpartition("/")[0]) and path not in self._implied:
            self._implied.add(path)

    def find(self, path: str) -> Found | None:
        """What an absolute path leads to, links followed; None: nothing. Raises NeedMoreError, CircleError."""
        done: list[str] = []
        left = path.split("/")[::-1]
        links = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            done.append(part)
            here = "/".join(done)
            entry = self._entries.get(here)
            if entry is None:
                if here in self._implied:
                    continue
                return self._missing()
            if entry.kind == "symlink":
                links += 1
                if links > MOST_LINKS:
                    raise CircleError(path)
                done = [] if entry.target.startswith("/") else done[:-1]
                left += entry.target.split("/")[::-1]
            elif entry.kind != "directory" and any(each not in ("", ".") for each in left):
                return None
        here = "/".join(done)
        entry = self._entries.get(here)
        return Found(path=f"/{here}", entry=entry) if entry else self._missing()

    def _missing(self) -> Found | None:
        """Nothing, if it is known that there is nothing."""
        if not self.complete:
            raise NeedMoreError
        return None


def _end(link: str, target: str) -> str:
    """Where a link leads to, without a leading slash."""
    base = target if target.startswith("/") else f"{link.rpartition('/')[0]}/{target}"
    return "/".join(_parts(base))


def _placed(path: str, links: Mapping[str, str], known: dict[str, str]) -> str:
    """Where a file lies, if a folder of its path is one of these links. `known` has the places of folders."""
    folder, _, name = path.rpartition("/")
    asked = []
    while folder not in known:
        asked.append(folder)
        folder = folder.rpartition("/")[0]
    place = known[folder]
    for each in reversed(asked):
        parent, _, own = each.rpartition("/")
        place = links[each] if place == parent and each in links else f"{place}/{own}".lstrip("/")
        known[each] = place
    return f"{place}/{name}".lstrip("/")


def _parts(path: str) -> list[str]:
    """The parts of an absolute path, `..` resolved by name."""
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del done[-1:]
        elif part not in ("", "."):
            done.append(part)
    return done
