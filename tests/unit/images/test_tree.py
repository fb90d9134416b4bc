"""Layers lie upon each other as an unpacking client lays them, and what is not known yet is not missing."""

from __future__ import annotations

import io

import pytest

from provision.images import layer as layers
from provision.images import tree as trees
from provision.images.faults import FaultError
from provision.images.layer import Layer
from provision.images.tree import CircleError, NeedMoreError, Tree
from tests.lab.images import File, archive, sha256

FOLDER = File(folder=True)


def layer(**files: File) -> Layer:
    return layers.read(io.BytesIO(archive(files)))


def of(*oldest_first: dict[str, File], complete: bool = True) -> Tree:
    tree = Tree()
    for files in reversed(oldest_first):
        tree.add(layer(**files))
    tree.complete = complete
    return tree


def script(name: str) -> File:
    return File(content=f"#!/{name}".encode())


def where(tree: Tree, path: str) -> str | None:
    found = tree.find(path)
    return found.path if found else None


def content(tree: Tree, path: str) -> bytes | None:
    found = tree.find(path)
    return found.entry.start if found else None


def test_newer_files_win() -> None:
    tree = of({"a": script("old"), "b": script("old")}, {"a": script("new")})
    assert content(tree, "/a") == b"#!/new"
    assert content(tree, "/b") == b"#!/old"


def test_whiteouts_hide_files_and_folders_of_older_layers_alone() -> None:
    tree = of(
        {"d/a": script("old"), "e/a": script("old"), "f": script("old"), "g": script("old")},
        {"d/.wh.a": File(), ".wh.e": File(), ".wh.f": File(), "f": script("new")},
    )
    assert where(tree, "/d/a") is None
    assert where(tree, "/e/a") is None
    assert content(tree, "/f") == b"#!/new"
    assert where(tree, "/g") == "/g"


def test_an_opaque_folder_hides_what_older_layers_have_in_it() -> None:
    tree = of(
        {"d/a": script("old"), "d/sub/b": script("old"), "da": script("old")},
        {"d": FOLDER, "d/.wh..wh..opq": File(), "d/new": script("new")},
    )
    assert where(tree, "/d/a") is None
    assert where(tree, "/d/sub/b") is None
    assert where(tree, "/d/new") == "/d/new"
    assert where(tree, "/da") == "/da"


def test_an_opaque_root_hides_everything() -> None:
    tree = of({"a": script("old")}, {".wh..wh..opq": File(), "b": script("new")})
    assert where(tree, "/a") is None
    assert where(tree, "/b") == "/b"


def test_marks_of_aufs_are_nothing() -> None:
    tree = of({".wh..wh.plnk": FOLDER, ".wh..wh.aufs": File(), "a": script("a")})
    assert len(tree) == 1


def test_a_file_replaces_a_folder_and_a_link_does() -> None:
    tree = of(
        {"a/x": script("old"), "b/x": script("old"), "c/x": script("c")},
        {"a": script("new"), "b": File(link="c")},
    )
    assert where(tree, "/a/x") is None
    assert where(tree, "/b/x") == "/c/x"
    assert sorted(path for path, _ in tree.items()) == ["a", "b", "c/x"]


def test_a_folder_replaces_a_link() -> None:
    """What breaks an image whose /lib is a link: a layer that brings a folder of that name."""
    tree = of({"usr/lib/x": script("x"), "lib": File(link="usr/lib")}, {"lib": FOLDER, "lib/y": script("y")})
    assert where(tree, "/lib/x") is None
    assert where(tree, "/lib/y") == "/lib/y"


def test_a_layer_without_entries_for_folders_follows_older_links() -> None:
    tree = of({"usr/lib/x": script("x"), "lib": File(link="usr/lib")}, {"lib/y": script("y")})
    assert where(tree, "/usr/lib/y") == "/usr/lib/y"
    assert where(tree, "/lib/y") == "/usr/lib/y"
    assert where(tree, "/lib/x") == "/usr/lib/x"


def test_not_even_for_folders_within_a_link() -> None:
    tree = of({"usr/lib/x": script("x"), "lib": File(link="usr/lib")}, {"lib/deep/er/y": script("y")})
    assert where(tree, "/lib/deep/er/y") == "/usr/lib/deep/er/y"


def test_a_link_that_leads_through_another_one() -> None:
    links = {"a": File(link="b/c"), "b": File(link="/d")}
    for older in (links, dict(reversed(links.items()))):
        tree = of({**older, "d/e": script("e")}, {"a/x/y": script("y"), "b/z": script("z")})
        assert where(tree, "/a/x/y") == "/d/c/x/y"
        assert where(tree, "/b/z") == "/d/z"


def test_files_behind_links_that_circle() -> None:
    tree = of({"a": File(link="b"), "b": File(link="a")}, {"a/x": script("x")})
    with pytest.raises(CircleError):
        tree.find("/a/x")


def test_links_may_not_lengthen_names_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_NAMES", 1000)
    with pytest.raises(FaultError, match="without end"):
        of({"a": File(link="t" * 300)}, {f"a/{number}": script("x") for number in range(5)})


def test_a_layer_follows_its_own_links() -> None:
    tree = of({"usr/lib": FOLDER, "lib": File(link="/usr/lib"), "lib/deep/y": script("y")})
    assert where(tree, "/usr/lib/deep/y") == "/usr/lib/deep/y"


def test_links_relative_absolute_and_out_of_the_root() -> None:
    tree = of(
        {
            "usr/bin/sh": script("sh"),
            "bin": File(link="usr/bin"),
            "opt/app/run": File(link="../../bin/sh"),
            "up": File(link="../../../usr/bin/sh"),
            "abs": File(link="/opt/app/./run"),
        }
    )
    assert {where(tree, path) for path in ("/bin/sh", "/opt/app/run", "/up", "/abs", "/../bin//sh")} == {
        "/usr/bin/sh"
    }


def test_a_file_has_nothing_in_it() -> None:
    assert where(of({"a": script("a")}), "/a/b") is None


@pytest.mark.parametrize("files", [{"a": "b", "b": "a"}, {"a": "a"}, {"a": "b/x", "b": "a"}])
def test_links_that_circle(files: dict[str, str]) -> None:
    tree = of({name: File(link=target) for name, target in files.items()})
    with pytest.raises(CircleError):
        tree.find("/a")


def test_a_layer_whose_folders_circle() -> None:
    with pytest.raises(FaultError, match="in a circle") as caught:
        layer(**{"a": File(link="b"), "b": File(link="a"), "a/x": File()})
    assert caught.value.name == "layer-hostile"


def test_hard_links_within_a_layer_and_to_an_older_one() -> None:
    tree = of({"old": script("old")}, {"a": script("a"), "b": File(hard="a"), "c": File(hard="old")})
    assert content(tree, "/b") == b"#!/a"
    assert content(tree, "/c") == b"#!/old"


def test_what_older_layers_may_have_is_not_missing() -> None:
    tree = of({"a": script("a"), "d/x": script("x")}, complete=False)
    assert where(tree, "/a") == "/a"
    assert where(tree, "/d/x") == "/d/x"
    for path in ("/b", "/d/y", "/e/f"):
        with pytest.raises(NeedMoreError):
            tree.find(path)
    tree.complete = True
    assert [where(tree, path) for path in ("/b", "/d/y", "/e/f")] == [None] * 3


def test_what_is_kept_of_files() -> None:
    found = layer(
        **{
            "plain": File(content=b"#!/bin/sh", mode=0o644),
            "script": File(content=b"#!/bin/sh\n" + b"x" * 1000),
            "etc/ld.so.conf.d/x.conf": File(content=b"/opt\n", mode=0o644),
        }
    )
    assert found.entries["plain"].start == b""
    assert not found.entries["plain"].executable
    assert found.entries["script"].start == (b"#!/bin/sh\n" + b"x" * 1000)[:256]
    assert found.entries["etc/ld.so.conf.d/x.conf"].text == "/opt\n"


def test_the_digest_is_that_of_the_whole_archive() -> None:
    data = archive({"a": File(content=b"a")}) + bytes(1024)
    assert layers.read(io.BytesIO(data)).diff_id == sha256(data)


def test_a_layer_may_not_have_members_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MOST_ENTRIES", 3)
    layer(a=File(), b=File(), c=File())
    with pytest.raises(FaultError, match="more than 3 members"):
        layer(a=File(), b=File(), c=File(), d=File())


def test_names_may_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MOST_NAMES", 1000)
    with pytest.raises(FaultError, match="names"):
        layer(**{f"{'n' * 100}{number}": File(link="t" * 100) for number in range(5)})
