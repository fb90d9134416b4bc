"""Which BuildKit a host gets: a release or a build, and when neither may stand in for the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision import paths
from provision.buildkit import choice, web
from provision.buildkit.asset import EMPTY_FILE
from provision.buildkit.errors import NoAssetError, SilentError
from provision.buildkit.go.store import Built, Source, Store
from provision.buildkit.release import Release, Unbuilt, fetch, resolve
from provision.errors import ChecksumError, ReleaseError
from provision.spec import Buildkit
from tests.lab.listeners import full, listener
from tests.lab.mirror import Mirror
from tests.lab.release import statement

VERSION = Buildkit().version
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The release host does not answer. What is on loopback does."""
    monkeypatch.setenv("https_proxy", NOWHERE)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """What answers as the release host."""
    with Mirror(tmp_path / "releases") as served:
        monkeypatch.setattr("provision.buildkit.source.RELEASES", served.url)
        yield served


def chosen(
    buildkit: Buildkit,
    machine: str,
    cache: Path,
    installed: dict[str, str] | None = None,
    version: str = VERSION,
) -> Release | Unbuilt:
    return choice.choose(
        buildkit, version=version, machine=machine, userland_bits=64, installed=installed or {}, cache=cache
    )


def keep(
    cache: Path, platform: str = "linux/amd64", go: str = "go1.26.8", content: bytes = b"built"
) -> Built:
    """An archive as if it had been built earlier."""
    (cache / "archive").parent.mkdir(parents=True, exist_ok=True)
    (cache / "archive").write_bytes(content)
    source = Source(version=VERSION, platform=platform, go=go, module="m")
    return Store(cache=cache).keep(source, "verified by hand", cache / "archive")


@pytest.mark.parametrize(
    ("machine", "suffix"),
    [
        ("armv6l", "arm-v6"),
        ("i686", "386"),
        ("loongarch64", "loong64"),
        ("ppc64", "ppc64"),
    ],
)
def test_auto_builds_where_there_is_no_release(machine: str, suffix: str, tmp_path: Path) -> None:
    wanted = chosen(Buildkit(), machine, tmp_path)
    assert isinstance(wanted, Unbuilt)
    assert wanted.asset.suffix == suffix
    assert wanted.asset.name == f"buildkit-{VERSION}.linux-{suffix}.tar.gz"
    assert wanted.why == f"BuildKit has no release for {machine}"


@pytest.mark.parametrize(
    "settings",
    [{"source": "release"}, {"mirror": "/mirror"}, {"sha256": {"linux-amd64": "0" * 64}}],
    ids=["release", "mirror", "sha256"],
)
def test_a_build_stands_in_for_a_release_only_if_nothing_was_said(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    buildkit = Buildkit(**settings)
    with pytest.raises(NoAssetError, match="no release for armv6l"):
        chosen(buildkit, "armv6l", tmp_path)
    assert not choice.may_build(buildkit)


def test_a_machine_that_nobody_knows(tmp_path: Path) -> None:
    for source in ("auto", "go"):
        with pytest.raises(ReleaseError, match="cannot be built for quantum"):
            chosen(Buildkit(source=source), "quantum", tmp_path)


def test_go_builds_whatever_is_released(tmp_path: Path) -> None:
    wanted = chosen(Buildkit(source="go", mirror="/mirror"), "x86_64", tmp_path)
    assert isinstance(wanted, Unbuilt)
    assert (wanted.asset.platform, wanted.why) == ("linux/amd64", "")
    # A 64-bit kernel with a 32-bit userland gets 64-bit programs here, too.
    assert chosen(Buildkit(source="go"), "armv8l", tmp_path).asset.platform == "linux/arm64"


def test_auto_takes_the_release_without_asking_anybody(tmp_path: Path) -> None:
    assert chosen(Buildkit(), "x86_64", tmp_path) == resolve(Buildkit(), version=VERSION, machine="x86_64")


def test_a_version_that_is_not_pinned_is_built_if_nobody_answers(tmp_path: Path) -> None:
    wanted = chosen(Buildkit(), "x86_64", tmp_path, version="v0.99.9")
    assert isinstance(wanted, Unbuilt)
    assert wanted.why == "github.com does not answer"


def test_never_in_place_of_what_nothing_vouches_for(mirror: Mirror, tmp_path: Path) -> None:
    """The host answers, with a statement that cannot be true."""
    asset = "buildkit-v0.99.9.linux-amd64"
    place = mirror.folder / "v0.99.9"
    place.mkdir(parents=True)
    (place / f"{asset}.provenance.json").write_text(
        str(statement(f"{asset}.tar.gz", EMPTY_FILE)).replace("'", '"')
    )
    with pytest.raises(ChecksumError):
        chosen(Buildkit(), "x86_64", tmp_path, version="v0.99.9")
    with pytest.raises(ChecksumError, match="no digest is known"):
        chosen(Buildkit(), "x86_64", tmp_path, version="v0.99.8")


def on_mirror(address: str) -> Release:
    return resolve(Buildkit(mirror=address), version=VERSION, machine="x86_64")


def test_a_host_that_answers_is_reachable_and_one_that_refuses_is_no_reason_to_build(
    mirror: Mirror, tmp_path: Path
) -> None:
    release = on_mirror(mirror.url)
    assert choice.reachable(release, "x86_64", tmp_path) == release
    with pytest.raises(ReleaseError, match="there is no BuildKit"):
        fetch(release, tmp_path)
    (mirror.folder / VERSION).mkdir(parents=True)
    (mirror.folder / VERSION / release.asset.name).write_bytes(b"whatever it is")
    assert choice.reachable(release, "x86_64", tmp_path) == release


def test_no_connection_no_name_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 0.5)
    monkeypatch.setattr(web, "CONNECT_TIMEOUT", 0.5)
    with listener(None) as silent, listener(b"") as rude, full() as deaf:
        addresses = [f"http://127.0.0.1:{port}" for port in (9, silent, rude, deaf)]
        for address in (*addresses, "http://no-such-name.invalid", "https://github.com"):
            wanted = choice.reachable(on_mirror(address), "x86_64", tmp_path)
            assert isinstance(wanted, Unbuilt), address
            assert "does not answer" in wanted.why


def test_a_server_that_is_busy_or_forbids_it_has_answered() -> None:
    for code in (403, 407, 429, 500, 503):
        assert not isinstance(web._refusal(code, "http://x/y"), SilentError), code


def test_what_the_cache_holds_needs_no_answer(tmp_path: Path) -> None:
    release = on_mirror(NOWHERE)
    (tmp_path / release.digest.value).touch()
    assert choice.reachable(release, "x86_64", tmp_path) == release


def test_a_host_keeps_what_was_built_for_it_while_its_version_is_wanted(tmp_path: Path) -> None:
    made = keep(tmp_path)
    folder = paths.release(VERSION, made.sha256)
    kept = chosen(Buildkit(), "x86_64", tmp_path, {folder: made.sha256})
    assert isinstance(kept, Release)
    assert (kept.digest.value, kept.built) == (made.sha256, True)
    release = resolve(Buildkit(), version=VERSION, machine="x86_64")
    # Not where the release is there as well, or the user asks for it, or the folder holds something else.
    both = {folder: made.sha256, paths.release(VERSION, release.digest.value): release.digest.value}
    for buildkit, installed in (
        (Buildkit(), both),
        (Buildkit(source="release"), {folder: made.sha256}),
        (Buildkit(), {folder: "0" * 64}),
        (Buildkit(), {}),
    ):
        assert chosen(buildkit, "x86_64", tmp_path, installed) == release


def test_a_build_reads_like_a_release(tmp_path: Path) -> None:
    made = keep(tmp_path)
    kept = chosen(Buildkit(), "x86_64", tmp_path, {paths.release(VERSION, made.sha256): made.sha256})
    assert isinstance(kept, Release)
    assert fetch(kept, tmp_path) == made.archive
    assert kept.notes == (
        f"BuildKit is built from github.com/moby/buildkit {VERSION} by go1.26.8, verified by hand.",
    )
    made.archive.write_bytes(b"damaged")
    with pytest.raises(ChecksumError, match="no longer what was built"):
        fetch(kept, tmp_path)
    assert not made.archive.exists()
