"""The files of an image, from layers added newest first. It tells what is missing from what is not known yet.

How layers lie upon each other: OCI image-spec, layer.md; where that is silent, as containerd unpacks them
(pkg/archive/tar.go): parents are followed through links, a folder replaces a link, and what is no folder
replaces a folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from provision.images.faults import FaultError
from provision.images.layer import MOST_ENTRIES, Entry, Layer

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
        for path, entry in shown:
            if entry.kind == "symlink" and path in self._implied:
                self._move(path)
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

    def _move(self, link: str) -> None:
        """Newer layers have files in what is a link here: they lie where it leads to."""
        prefix = f"{link}/"
        moved = [path for path in self._entries if path.startswith(prefix)]
        target = self._entries[link].target
        base = target if target.startswith("/") else f"{link.rpartition('/')[0]}/{target}"
        place = "/".join(_parts(base))
        for path in moved:
            entry = self._entries.pop(path)
            self._entries[f"{place}/{path.removeprefix(prefix)}".strip("/")] = entry
        while place and place not in self._implied:
            self._implied.add(place)
            place = place.rpartition("/")[0]

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


def _parts(path: str) -> list[str]:
    """The parts of an absolute path, `..` resolved by name."""
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del done[-1:]
        elif part not in ("", "."):
            done.append(part)
    return done
