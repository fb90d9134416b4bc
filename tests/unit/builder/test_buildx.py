"""buildx on this machine: found, fetched, and what is in its way."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from provision.architectures import normalise
from provision.builder import buildx, fetch
from provision.builder.buildx import BuildxError
from provision.buildkit.go.module import BUILDX, pinned
from provision.errors import ChecksumError
from provision.report.progress import Progress
from provision.spec import Buildx as Settings

ELF = b"\x7fELF and more"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a person who has no buildx, wherever this machine has one."""
    for name in ("DOCKER_CONFIG", "BUILDX_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(buildx, "_PLUGIN_FOLDERS", ())
    return tmp_path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ELF)
    path.chmod(0o755)
    return path


def mirror(folder: Path, content: bytes) -> tuple[Settings, str]:
    """A mirror with buildx for this machine, and the settings that name it."""
    platform = normalise("linux", os.uname().machine, "").replace("/", "-")
    version = pinned(BUILDX).version_of(BUILDX)
    place = folder / version / f"buildx-{version}.{platform}"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    digest = hashlib.sha256(ELF).hexdigest()
    return Settings(mirror=str(folder), sha256={platform: digest}), digest


def test_the_plugin_comes_before_a_program_on_the_path(home: Path) -> None:
    assert buildx.find() is None
    by_itself = program(home / "bin/buildx")
    assert buildx.find() == buildx.Buildx(program=by_itself)
    plugin = program(home / ".docker/cli-plugins/docker-buildx")
    assert buildx.find() == buildx.Buildx(program=plugin)
    plugin.chmod(0o644)
    assert buildx.find() == buildx.Buildx(program=by_itself)


def test_a_release_with_the_users_digest_is_put_where_docker_looks(home: Path) -> None:
    settings, digest = mirror(home / "mirror", ELF)
    found = fetch.present(settings, home / "cache", Progress())
    place = home / ".docker/cli-plugins/docker-buildx"
    assert (found.buildx.program, place.read_bytes(), place.stat().st_mode & 0o777) == (place, ELF, 0o755)
    assert digest in found.steps[0].detail
    assert fetch.present(settings, home / "cache", Progress()).steps == ()


def test_what_is_not_the_release_is_not_kept(home: Path) -> None:
    settings, _ = mirror(home / "mirror", b"<html>log in</html>")
    with pytest.raises(ChecksumError) as error:
        fetch.present(settings, home / "cache", Progress())
    assert "no program" in error.value.cause
    assert buildx.find() is None


def test_settings_that_buildx_gives_to_every_builder_are_in_the_way(home: Path) -> None:
    buildx.refuse_default_settings()
    place = home / ".docker/buildx/buildkitd.default.toml"
    place.parent.mkdir(parents=True)
    place.touch()
    with pytest.raises(BuildxError) as error:
        buildx.refuse_default_settings()
    assert str(place) in error.value.hint


def test_a_builder_is_read_and_one_of_its_nodes_set_apart(home: Path) -> None:
    assert buildx.instance("fleet") is None
    nodes: list[dict[str, object]] = [
        {"Name": name, "Endpoint": f"ssh://{name}", "Platforms": None, "DriverOpts": None, "Files": {}}
        for name in ("pi1", "pi2")
    ]
    place = home / ".docker/buildx/instances/fleet"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"Name": "fleet", "Driver": "remote", "Nodes": nodes}))
    found = buildx.instance("Fleet")
    assert found
    assert [(node.name, node.platforms) for node in found.nodes] == [("pi1", ()), ("pi2", ())]
    apart = home / "apart"
    apart.mkdir()
    buildx.alone("fleet", "pi2", apart)
    assert json.loads((apart / "instances/fleet").read_text())["Nodes"] == nodes[1:]
    place.write_text("{}")
    with pytest.raises(BuildxError, match="cannot be read"):
        buildx.instance("fleet")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"WARN: x\nERROR: no space\n\n", "ERROR: no space"),
        (b"error: a\nmore\n", "error: a"),
        (b"", "it said nothing"),
    ],
)
def test_the_error_is_found_among_warnings(output: bytes, words: str) -> None:
    assert buildx.last_words(output) == words
