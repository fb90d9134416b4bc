"""The decisions of a build from source that need no Go."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from provision.architectures import ARCHITECTURES, go_environment
from provision.buildkit.errors import StoppedBuildError
from provision.buildkit.go import failures, wheel
from provision.buildkit.go.environment import environment
from provision.buildkit.go.module import Module, pinned
from provision.buildkit.go.store import Source, Store
from provision.buildkit.go.toolchain import Toolchain
from provision.errors import ChecksumError, ReleaseError
from provision.spec import Buildkit

UNSAFE = {
    "GOSUMDB": "off",
    "GONOSUMDB": "*",
    "GOPRIVATE": "*",
    "GOINSECURE": "*",
    "GOFLAGS": "-mod=mod -toolexec=/tmp/x",
    "GOENV": "/home/user/go.env",
    "GOWORK": "/home/user/go.work",
    "GOTOOLCHAIN": "local",
    "GOROOT": "/old",
    "GOEXPERIMENT": "x",
    "CGO_ENABLED": "1",
    "GOAMD64": "v4",
    "GOARCH": "arm64",
}


def test_the_pinned_module_is_that_of_the_default_version() -> None:
    assert pinned().version == Buildkit().version
    assert f"github.com/moby/buildkit {pinned().version} h1:" in pinned().sums


def test_every_module_of_the_pinned_go_mod_has_its_sum() -> None:
    """A module that is compiled needs both lines; one that only takes part in the choice of versions, the second."""
    wanted = [
        line.split()[:2] for line in pinned().mod.splitlines() if line.startswith("\t") and " v" in line
    ]
    assert len(wanted) > 100
    for path, version in wanted:
        assert f"{path} {version}/go.mod h1:" in pinned().sums, path


def test_what_a_go_mod_asks_for() -> None:
    def module(lines: str) -> Module:
        return Module(mod=f"module x\n\n{lines}\n", sums="", vouched="")

    assert module("go 1.24").go == "1.24"
    assert module("go 1.24.0\n\ntoolchain go1.26.1").go == "1.26.1"
    assert module("go 1.24.0\n\nrequire github.com/moby/buildkit v0.20.2 // indirect").version == "v0.20.2"


@pytest.mark.parametrize(
    ("version", "needed", "built"),
    [
        ("go1.26.8", "1.26.3", "go1.26.8"),
        ("go1.24.4", "1.26.3", "go1.26.3"),
        ("go1.26.3", "1.26.3", "go1.26.3"),
        ("go1.27rc1", "1.26.3", "go1.27rc1"),
        ("go1.26rc2", "1.26.0", "go1.26.0"),
        ("devel go1.28-0123456789", "1.26.3", "devel go1.28-0123456789"),
    ],
)
def test_which_go_compiles(version: str, needed: str, built: str) -> None:
    assert Toolchain(version=version, program="go").builds(needed) == built


def test_no_setting_that_weakens_a_build_reaches_go() -> None:
    made = environment({"PATH": "/bin", **UNSAFE}, UNSAFE, Path("/cache/go"), go_environment("linux/amd64"))
    assert made["GOSUMDB"] == "sum.golang.org"
    assert made["GOFLAGS"] == "-modcacherw"
    assert (made["GOTOOLCHAIN"], made["GOENV"], made["GOWORK"]) == ("auto", "off", "off")
    assert (made["GOARCH"], made["GOAMD64"], made["CGO_ENABLED"]) == ("amd64", "v1", "0")
    assert "*" not in {made["GONOSUMDB"], made["GOPRIVATE"], made["GOINSECURE"]}
    assert not {"GOROOT", "GOEXPERIMENT"} & set(made)


def test_a_closed_network_names_its_own_places() -> None:
    outer = {
        "GOPROXY": "ignored: what go env says counts",
        "https_proxy": "http://proxy.lan",
        "GOOGLE_X": "1",
    }
    chosen = {
        "GOPROXY": "https://go.lan",
        "GOSUMDB": "sum.golang.org https://go.lan/sumdb",
        "GOAUTH": "netrc",
    }
    made = environment({**outer, "GOMODCACHE": "/data/mod"}, chosen, Path("/cache/go"), {})
    assert {name: made[name] for name in chosen} == chosen
    assert (made["https_proxy"], made["GOOGLE_X"]) == ("http://proxy.lan", "1")
    assert (made["GOMODCACHE"], made["GOCACHE"]) == ("/data/mod", "/cache/go/build")


@pytest.mark.parametrize(
    ("chosen", "given"),
    [
        ("file:///srv/go", "file:///srv/go,off"),
        ("file:///srv/go,direct", "file:///srv/go,direct"),
        ("https://go.lan|direct", "https://go.lan|direct"),
        ("off", "off"),
    ],
)
def test_a_folder_as_proxy_does_not_switch_the_check_of_a_newer_go_off(chosen: str, given: str) -> None:
    assert environment({}, {"GOPROXY": chosen}, Path("/cache/go"), {})["GOPROXY"] == given


def test_every_platform_names_its_oldest_processor() -> None:
    for row in ARCHITECTURES:
        for platform in row.platforms:
            made = go_environment(platform)
            assert (made["GOOS"], made["GOARCH"]) == ("linux", row.name)
    assert go_environment("linux/arm/v6")["GOARM"] == "6"
    assert go_environment("armv7l")["GOARM"] == "7"
    assert go_environment("linux/s390x") == {"GOOS": "linux", "GOARCH": "s390x"}


def test_an_interrupted_go() -> None:
    for error in (
        failures.explain("x", -signal.SIGINT, ""),
        failures.explain("x", 1, "go: signal: interrupt\n"),
    ):
        assert isinstance(error, StoppedBuildError)


def test_words_of_go_that_no_test_brings_about() -> None:
    cases = {
        "compile: signal: killed\n": "not enough memory",
        "go: go.mod requires go >= 1.26.3 (running go 1.24.4)\n": "needs a newer Go",
        "go: download go1.26.3 for linux/amd64: toolchain not available\n": "needs a newer Go",
        "package x: build constraints exclude all Go files in /y\n": "does not know this processor",
        "go: unsupported GOOS/GOARCH pair linux/x\n": "does not know this processor",
    }
    for said, meaning in cases.items():
        error = failures.explain("BuildKit", 1, said)
        assert meaning in error.message, said
        assert said.strip() in error.cause


def test_a_checksum_beats_every_other_word() -> None:
    said = "go: verifying a.b/c@v1.2.3/go.mod: checksum mismatch\n\tdownloaded: x\nSECURITY ERROR\n404 Not Found\n"
    error = failures.explain("BuildKit", 1, said)
    assert isinstance(error, ChecksumError)
    assert error.message.startswith("a.b/c v1.2.3 is not what its checksum says")


def test_a_broken_record_is_no_build(tmp_path: Path) -> None:
    store = Store(cache=tmp_path)
    source = Source(version="v1", platform="linux/arm/v6", go="devel go1.28 x", module="m")
    assert source.name == "v1-linux-arm-v6-devel-go1.28-x-m"
    archive = tmp_path / "archive"
    archive.write_bytes(b"x")
    kept = store.keep(source, "verified", archive)
    assert store.find(source) == kept
    record = tmp_path / "go" / "built" / f"{source.name}.json"
    for text in ("", "{}", "[]", '{"source": {"x": 1}, "sha256": "y", "vouched": ""}'):
        record.write_text(text)
        assert store.find(source) is None, text
    assert store.earlier("v1", "linux/arm/v6") == ()


def test_without_pip_uv_installs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReleaseError, match="there is no Go for it"):
        wheel.installer()
    for name, words in (("uv", ("pip",)), ("pip3", ())):
        (tmp_path / name).touch(0o755)
        assert wheel.installer() == (str(tmp_path / name), *words)


def test_the_wheels_are_pinned_for_every_machine_that_has_one() -> None:
    assert wheel.pins().count("--hash=sha256:") == 7
