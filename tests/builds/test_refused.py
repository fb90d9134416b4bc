"""Builds that must fail, each with its reason, and with nothing left in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from provision.buildkit.go.build import build
from provision.buildkit.go.module import pinned
from provision.errors import ChecksumError, ProvisionError, ReleaseError
from tests.builds.small import ARM, VERSION, Workshop, resolve_by_hand
from tests.lab import checkout, requirements
from tests.lab.goproxy import MODULE, GoProxy, small_buildkit

_UNSHARE: Final = ("unshare", "--user", "--map-root-user", "--mount")
EVIL: Final = small_buildkit(
    **{"version/version.go": 'package version\n\nvar Version = "changed by the proxy"\n'}
)


def refused(small: Workshop, kind: type[ProvisionError] = ReleaseError) -> ProvisionError:
    with pytest.raises(kind) as caught:
        small.build()
    assert small.left() == []
    return caught.value


def test_a_changed_module(small: Workshop) -> None:
    small.proxy.published = (EVIL,)
    error = refused(small, ChecksumError)
    assert MODULE in error.message
    assert VERSION in error.message
    assert "GOPROXY" in error.hint


def test_a_changed_module_that_an_earlier_build_brought(small: Workshop) -> None:
    """Go compares what its own folder holds with go.sum, too."""
    resolve_by_hand(small.cache, EVIL)
    small.proxy.published = (EVIL,)
    small.build()
    for name in small.left():
        (small.cache / name).unlink()
    resolve_by_hand(small.cache, small_buildkit())
    assert MODULE in refused(small, ChecksumError).message


@pytest.mark.parametrize(
    "setting", ["GOSUMDB=off", "GONOSUMDB=*", "GOPRIVATE=*", "GOFLAGS=-mod=mod", "GONOSUMCHECK=1"]
)
def test_nobody_switches_the_checksum_off(
    small: Workshop, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.setenv(name, value)
    small.proxy.published = (EVIL,)
    refused(small, ChecksumError)


@pytest.mark.parametrize(
    "how", ["GOSUMDB=off", "GONOSUMDB=*", "GOPRIVATE=*", "GOINSECURE=*", "GOFLAGS=-insecure"]
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_no_build_without_the_checksum_database(
    small: Workshop, how: str, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A version whose checksums are not known here: the database must be asked, and this proxy has none."""
    shutil.rmtree(small.cache / "go" / "resolved")
    name, _, value = how.partition("=")
    if place == "environment":
        monkeypatch.setenv(name, value)
    else:
        # What `go env -w` writes.
        (tmp_path / "go.env").write_text(f"{how}\n")
        monkeypatch.setenv("GOENV", str(tmp_path / "go.env"))
    # The direct way to the database ends here.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    error = refused(small)
    assert "checksum database cannot be reached" in error.message
    assert not (small.cache / "go" / "resolved").exists()


def test_a_transfer_that_is_cut(small: Workshop) -> None:
    small.proxy.broken = (".zip",)
    assert "a download was cut" in refused(small).message


def test_a_file_that_is_cut(small: Workshop) -> None:
    small.proxy.spoil = lambda path, body: body[:-30] if path.endswith(".zip") else body
    assert "a download was cut" in refused(small).message


def test_a_proxy_that_is_not_there(small: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "https://user:secret@127.0.0.1:9/go")
    error = refused(small)
    assert "the Go proxy cannot be reached" in error.message
    assert "secret" not in f"{error.message}{error.cause}{error.hint}"


def test_a_version_that_is_not_there(small: Workshop) -> None:
    with pytest.raises(ReleaseError) as caught:
        build("v0.99.8", ARM, small.cache)
    assert "has no such version" in caught.value.message
    assert small.left() == []


def test_code_that_does_not_compile(small: Workshop) -> None:
    wrong = small_buildkit(**{"version/version.go": "package version\n\nvar Version = undefinedName\n"})
    small.proxy.published = (wrong,)
    resolve_by_hand(small.cache, wrong)
    error = refused(small)
    assert error.message == f"BuildKit {VERSION} for {ARM} does not compile"
    assert "undefined: undefinedName" in error.cause


@pytest.mark.parametrize("room", ["1500k", "3500k"])
def test_a_full_disk(small: Workshop, room: str) -> None:
    """A file system of its own: in the smaller one Go finds no room, in the other this tool's own packing."""
    if lacking := requirements.missing("private-binfmt"):
        requirements.refuse("; ".join(str(each) for each in lacking))
    script = f"""
import sys
from pathlib import Path
from provision.errors import ProvisionError
from provision.buildkit.go.build import build
cache = Path(sys.argv[1])
try:
    build("{VERSION}", "{ARM}", cache)
except ProvisionError as error:
    print(error.message, error.cause, error.hint, sep="|")
print(sorted(p.name for p in cache.iterdir()), list((cache / "go").glob(".building-*")))
"""
    mount = f'mount -t tmpfs -o size={room} tmpfs "$2" && cp -r "$3" "$2/go" && exec "$0" -c "$1" "$2"'
    disk = small.cache.parent / "disk"
    disk.mkdir()
    done = subprocess.run(
        [*_UNSHARE, "sh", "-c", mount, sys.executable, script, str(disk), str(small.cache / "go")],
        env={**os.environ, "PYTHONPATH": str(checkout.ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    words, left = done.stdout.splitlines()
    assert ("the disk is full" if room == "1500k" else "cannot use") in words, done
    assert "no space left on device" in words.lower()
    assert "Make room" in words
    assert left == "['go'] []"


def test_the_pinned_module_changed_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BuildKit itself: the go.sum that comes with this tool refuses another zip under its name."""
    other = small_buildkit(pinned().version)
    with GoProxy(published=(other,), upstream=_upstream()) as proxy:
        monkeypatch.setenv("GOPROXY", proxy.url)
        with pytest.raises(ChecksumError) as caught:
            build(pinned().version, ARM, tmp_path)
    assert f"{MODULE} {pinned().version}" in caught.value.message
    assert not list(tmp_path.glob("go/built/*"))


def test_the_database_refuses_a_changed_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is not pinned: Go's checksum database knows its zip."""
    with GoProxy(published=(small_buildkit("v0.31.2"),), upstream=_upstream()) as proxy:
        monkeypatch.setenv("GOPROXY", proxy.url)
        with pytest.raises(ChecksumError) as caught:
            build("v0.31.2", ARM, tmp_path)
    assert f"{MODULE} v0.31.2" in caught.value.message
    assert any("/sumdb/" in path for path in proxy.requests)
    assert not (tmp_path / "go" / "resolved").exists()


def _upstream() -> str:
    """The first Go proxy of this machine."""
    said = subprocess.run(["go", "env", "GOPROXY"], capture_output=True, text=True, check=True).stdout
    return said.strip().split(",")[0].split("|")[0]
