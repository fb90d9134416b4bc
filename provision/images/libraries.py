"""Where a loader looks for libraries: ld.so(8) for glibc, ldso/dynlink.c for musl.

Left out: LD_PRELOAD, glibc's cache (its source, ld.so.conf, is read instead) and the subfolders of
glibc-hwcaps, which hold faster copies of what lies above them.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from provision.images.faults import FaultError
from provision.images.layer import Program
from provision.images.tree import CircleError, Found, Tree

_MUSL: Final = re.compile(r"ld-musl-(.+)\.so\.1")
_MUSL_DEFAULT: Final = ("/lib", "/usr/local/lib", "/usr/lib")
_MUSL_ITSELF: Final = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")
"""Names that musl's loader answers for itself."""
_DEFAULT: Final = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
_DEEPEST_INCLUDE: Final = 5
_MOST_INCLUDES: Final = 500
"""Patterns and files that ld.so.conf leads to; each counts once. Real ones have ten."""
_MOST_LIBRARIES: Final = 2000
_MOST_PLACES: Final = 1_000_000
"""In which the libraries of one program are looked for. A large desktop program has some thousands."""


@dataclass(frozen=True, kw_only=True)
class Lack:
    """A library that is not there."""

    name: str
    wanted_by: str
    others: tuple[str, ...]
    """Files of that name that are of another architecture."""


@dataclass(frozen=True, kw_only=True)
class Loader:
    """The loader of a program, and where it looks."""

    tree: Tree
    path: str
    """Its own file, without links."""
    environment: Mapping[str, str]

    @property
    def musl(self) -> re.Match[str] | None:
        """The match with the architecture in its name, if it is musl's."""
        return _MUSL.fullmatch(self.path.rpartition("/")[2]) or _MUSL.fullmatch(self.name)

    name: str
    """By which the program asks for it, without its folder."""

    def system(self) -> tuple[str, ...]:
        """Folders that are looked into last."""
        found = self.musl
        if found:
            told = _text(self.tree, f"/etc/ld-musl-{found[1]}.path")
            return tuple(re.split(r"[:\n]", told.strip())) if told else _MUSL_DEFAULT
        configured = tuple(_configured(self.tree, "/etc/ld.so.conf", _DEEPEST_INCLUDE, set()))
        # A loader of Debian lies in the folder of its architecture, which is also built into it.
        own = self.path.rpartition("/")[0].removeprefix("/usr")
        return (*configured, own, f"/usr{own}", *_DEFAULT)

    def folders(self, path: str, program: Program, inherited: tuple[str, ...]) -> Iterator[str]:
        """Where it looks for what the file at `path` needs; `inherited` are RPATHs of those that needed it."""
        needs = program.linking
        words = self.environment.get("LD_LIBRARY_PATH", "")
        variable = re.split("[:;]", words) if words else []
        if self.musl:
            return iter((*variable, *self.expanded(needs.runpath or needs.rpath, path), *inherited))
        own = () if needs.runpath else (*self.expanded(needs.rpath, path), *inherited)
        return iter((*own, *variable, *self.expanded(needs.runpath, path)))

    def expanded(self, paths: str, path: str) -> Iterator[str]:
        """RPATH or RUNPATH of the file at `path` as folders (ld.so(8), "Dynamic string tokens")."""
        origin = path.rpartition("/")[0]
        own = self.path.rpartition("/")[0].removeprefix("/usr").strip("/")
        for each in paths.split(":") if paths else ():
            place = re.sub(r"\$(ORIGIN\b|\{ORIGIN\})", lambda _: origin, each)
            if re.search(r"\$(LIB\b|\{LIB\})", place):
                for word in (own, "lib64", "lib"):
                    yield re.sub(r"\$(LIB\b|\{LIB\})", lambda _, word=word: word, place)  # type: ignore[misc]
            elif "$" not in place:
                yield place


def lacking(loader: Loader, start: Found) -> tuple[tuple[Lack, ...], int]:
    """Libraries that a program needs, and those need in turn, and that are not there; how many are.

    Raises NeedMoreError while the image is not known far enough, FaultError for libraries without end.
    """
    system = loader.system()
    lacks: list[Lack] = []
    seen = {start.path}
    known: set[str] = set()
    todo: list[tuple[Found, tuple[str, ...]]] = [(start, ())]
    places = 0
    while todo and len(seen) < _MOST_LIBRARIES:
        file, inherited = todo.pop(0)
        program = file.entry.program
        if program is None:
            continue
        passed = inherited
        if not program.linking.runpath or loader.musl:
            paths = program.linking.rpath or (program.linking.runpath if loader.musl else "")
            passed = tuple(dict.fromkeys((*loader.expanded(paths, file.path), *inherited)))
        for name in program.linking.needed:
            if name in known or (loader.musl and _MUSL_ITSELF.match(name)):
                continue
            known.add(name)
            folders = (*loader.folders(file.path, program, inherited), *system)
            places += len(folders)
            if places > _MOST_PLACES:
                raise FaultError("layer-hostile", f"{start.path} has libraries without end")
            found, others = _search(loader.tree, name, folders, program)
            if found is None:
                lacks.append(Lack(name=name, wanted_by=file.path, others=others))
            elif found.path not in seen:
                seen.add(found.path)
                todo.append((found, passed))
    return tuple(lacks), len(seen) - 1


def _search(
    tree: Tree, name: str, folders: Iterable[str], like: Program
) -> tuple[Found | None, tuple[str, ...]]:
    """The first file of that name that fits; a loader goes on after one of another architecture."""
    others: dict[str, None] = {}
    places = (name,) if "/" in name else (f"{folder}/{name}" for folder in folders if folder.startswith("/"))
    for place in dict.fromkeys(places):
        try:
            found = tree.find(place)
        except CircleError:
            continue
        if found is None or found.entry.program is None:
            continue
        if found.entry.program.fits(like):
            return found, ()
        others[found.path] = None
    return None, tuple(others)


def _configured(tree: Tree, path: str, depth: int, seen: set[str]) -> Iterator[str]:
    """The folders of ld.so.conf (ldconfig(8)): one a line, `include PATTERN`, `#` begins a comment."""
    for line in _text(tree, path).splitlines() if depth and _is_new(path, seen) else ():
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0] == "include":
            for pattern in words[1:]:
                absolute = pattern if pattern.startswith("/") else f"/etc/{pattern}"
                for each in _matching(tree, absolute) if _is_new(f"include {absolute}", seen) else ():
                    yield from _configured(tree, each, depth - 1, seen)
        elif words and words[0].startswith("/"):
            yield words[0].partition("=")[0]


def _is_new(what: str, seen: set[str]) -> bool:
    """Whether it is met for the first time, and not one too many."""
    if what in seen or len(seen) >= _MOST_INCLUDES:
        return False
    seen.add(what)
    return True


def _matching(tree: Tree, pattern: str) -> list[str]:
    if not tree.complete:
        tree.find("/ any file may match")  # raises NeedMoreError
    return sorted(
        f"/{path}" for path, entry in tree.items() if entry.text and fnmatch.fnmatchcase(f"/{path}", pattern)
    )


def _text(tree: Tree, path: str) -> str:
    try:
        found = tree.find(path)
    except CircleError:
        return ""
    return found.entry.text if found else ""
