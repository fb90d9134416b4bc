"""Importing beside the work: every import of a function goes through one lock, whatever threads do."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision import lazy
from provision.lazy import LazyModule
from tests.lab.checkout import ROOT
from tests.lab.cli import environment, provision
from tests.lab.sshd import free_port

BEFORE_ANY_THREAD = {"cli/start.py"}
"""Files whose functions may import plainly: they run before the first thread begins."""


def imports_of_functions(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom) or (
                    isinstance(node, ast.Name) and node.id in ("import_module", "__import__")
                ):
                    yield f"{file}:{node.lineno}: {ast.unparse(node)}"


def test_no_function_imports_but_through_the_lock() -> None:
    package = ROOT / "provision"
    files = {str(file.relative_to(package)): file for file in package.rglob("*.py")}
    found = {name: list(imports_of_functions(file)) for name, file in files.items()}
    assert len(found.pop("lazy.py")) == 1, "the one place"
    assert found.pop("cli/start.py"), "this test sees imports"
    assert not [line for lines in found.values() for line in lines]


RUN = """
import sys
sys.setswitchinterval(float(sys.argv.pop()))
from provision.cli.start import main
main()
"""


@pytest.mark.needs("ssh")
@pytest.mark.parametrize(
    "interval",
    ["1e-5", *(pytest.param(other, marks=pytest.mark.thorough) for other in ("1e-6", "1e-4", "5e-3"))],
)
def test_paramiko_may_be_needed_while_fabric_is_imported(interval: str, tmp_path: Path) -> None:
    """A host that cannot be reached is explained by its thread, while the main thread imports Fabric."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").symlink_to(str(shutil.which("ssh")))
    # The file cache that nothing has been written to makes imports as slow as on the first start of all.
    cold = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(tmp_path / "none")}
    places = ",".join(f"root@127.0.0.1:{free_port()}" for _ in range(2))
    done = subprocess.run(
        [sys.executable, "-c", RUN, "check", "--hosts", places, interval],
        cwd=tmp_path,
        env=environment(tmp_path) | cold | {"PATH": str(tmp_path / "bin"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("refused the connection") == 2, done.stderr


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with a part that asks for the whole while that is being imported."""
    (tmp_path / "odd_whole.py").write_text(
        "from provision.lazy import LazyModule\nimport odd_part\nlate = 1\nearly = odd_part.seen\n"
    )
    (tmp_path / "odd_part.py").write_text(
        "from provision.lazy import LazyModule\nwhole = LazyModule('odd_whole')\n"
        "seen = getattr(whole, 'late', None)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "odd_whole"
    for name in ("odd_whole", "odd_part"):
        sys.modules.pop(name, None)
        lazy._LOADED.pop(name, None)


def test_a_half_initialised_module_is_kept_for_nobody(module: str) -> None:
    whole = LazyModule(module)
    assert module not in sys.modules
    assert whole.early is None, "the part saw it half initialised"
    assert whole.late == 1
    lazy.load(whole, ast)


LACKING = """
import sys
folder, root = sys.argv[1:3]
sys.argv[1:3] = []
sys.path[:0] = [root, folder]
from provision.cli.start import main
main()
"""


def without(package: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The product in an environment that lacks a package: everything else of this one's, and no site-packages."""
    site = folder / f"without-{package}"
    site.mkdir()
    for name in ("purelib", "platlib"):
        for entry in Path(sysconfig.get_path(name)).iterdir():
            if not entry.name.startswith(package) and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", LACKING, str(site), str(ROOT), *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_psutil_top_says_what_to_install(tmp_path: Path) -> None:
    done = without("psutil", tmp_path, "top", "--once")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "error: top needs the Python package psutil, which is not installed here\n"
    )
    assert "gcc python3-dev" in done.stderr
    assert f"{sys.executable} -m pip install psutil\n" in done.stderr


@pytest.mark.parametrize("words", [("check",), ("health", "--help"), ("hosts",)], ids=" ".join)
def test_without_psutil_every_other_command_works(words: tuple[str, ...], tmp_path: Path) -> None:
    ordinary = provision(*words, cwd=tmp_path)
    done = without("psutil", tmp_path, *words)
    assert (done.returncode, done.stderr) == (ordinary.code, ordinary.err)
    assert done.stdout


def test_without_fabric_only_other_hosts_are_out_of_reach(tmp_path: Path) -> None:
    done = without("fabric", tmp_path, "check", "--hosts", f"root@127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "error: --hosts needs the Python package fabric, which is not installed here\n"
    )


def test_psutil_is_imported_by_top_alone() -> None:
    named = [
        file for file in (ROOT / "provision").rglob("*.py") if "psutil" in file.read_text(encoding="utf-8")
    ]
    assert [file.name for file in named] == ["top.py"]
