"""`./inv test`: what tests need is declared once, a lack is told with its remedy, and `--all` installs it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from _pytest.outcomes import Failed, Skipped

from tests.lab import needs, requirements
from tests.lab.checkout import ROOT
from tests.lab.patience import until
from tests.ladder import run as ladder

USE: Final = re.compile(r"""(?:mark\.needs|require)\(((?:"[\w-]+"(?:, )?)+)\)""")
NOTE: Final = '#!/bin/sh\necho "${0##*/} $*" >>"$CALLS"\n'


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine without any of the programs; its folder of programs."""
    monkeypatch.setattr(needs, "SEARCH", str(tmp_path))
    requirements._ask.cache_clear()
    yield tmp_path
    requirements._ask.cache_clear()


def declared() -> set[str]:
    """The programs that tests and rungs say they need."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    calls = [found for text in texts for found in USE.findall(text)]
    names = {name for call in calls for name in re.findall(r'"([\w-]+)"', call)}
    parts = {part for rung in requirements.RUNGS.values() for part in rung}
    return (names | parts) - set(requirements.CONDITIONS)


def test_the_table_holds_what_tests_declare_and_nothing_else() -> None:
    assert declared() == set(needs.NEEDS)


def test_a_lack_skips_the_test_and_tells_the_remedy(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    (nothing_installed / "apt-get").write_text("")
    (nothing_installed / "apt-get").chmod(0o755)
    with pytest.raises(
        Skipped, match=r"ssh-keygen is not installed; enable with: apt-get install .* openssh-client"
    ):
        requirements.require("ssh-keygen")


def test_in_ci_a_lack_is_a_failure(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(nothing_installed.iterdir())
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Failed, match="skopeo is not installed"):
        requirements.require("skopeo")


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A module of ours on a machine whose programs are those of the folder, and what lies in sbin."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={"PATH": str(folder), "HOME": str(folder), "CALLS": str(folder / "calls"), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The folder of programs of a machine with apt, on which everything only notes how it was called."""
    for name in ("apt-get", "install", "rm", "sudo"):
        (tmp_path / name).write_text(
            NOTE + ('[ "$1" = -n ] && shift\nexec "$@"\n' if name == "sudo" else "")
        )
        (tmp_path / name).chmod(0o755)
    for name in ("env", "sh", "unshare", "mount"):
        (tmp_path / name).symlink_to(
            next(path for path in (Path("/usr/bin", name), Path("/bin", name)) if path.exists())
        )
    return tmp_path


def test_all_asks_before_it_installs(machine: Path) -> None:
    done = run(machine, "tests.ladder", "--all")
    assert done.returncode == 1
    assert "  ssh-keygen: makes the keys of test hosts and users\n" in done.stdout
    assert "agree beforehand by --yes" in done.stdout
    assert not (machine / "calls").exists()


def test_all_installs_without_recommended_packages_and_without_starting_daemons(machine: Path) -> None:
    fail = 'case "$*" in *" install "*) echo "E: no such package"; exit 100 ;; esac\n'
    with (machine / "apt-get").open("a") as script:
        script.write(fail)
    done = run(machine, "tests.ladder", "--all", "--yes")
    assert (done.returncode, done.stderr) == (1, "")
    assert "the package manager could not install what is missing:\nE: no such package" in done.stdout
    calls = [call for call in (machine / "calls").read_text().splitlines() if not call.startswith("sudo ")]
    update, *policy, install = (call for call in calls if not call.startswith("rm "))
    assert update == "apt-get -q -o DPkg::Lock::Timeout=300 update"
    if not Path("/usr/sbin/policy-rc.d").exists():
        assert re.fullmatch(r"install -m 755 \S+ /usr/sbin/policy-rc.d", policy[0])
        assert calls[-1] == "rm -f /usr/sbin/policy-rc.d"
    assert install.startswith("apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends ")
    assert {"openssh-client", "skopeo", "chromium-driver"} <= set(install.split())


def test_a_rung_that_does_not_exist_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "tests.ladder", "--rung=unit,loft")
    assert done.returncode == 2
    assert f"no rung loft; the ladder has {' '.join(requirements.RUNGS)}" in done.stderr


def test_a_benchmark_says_what_it_needs(machine: Path) -> None:
    done = run(machine, "bench.fleet")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: this benchmark cannot run here\n" in done.stderr
    assert "ssh-keygen is not installed; enable with: apt-get install" in done.stderr


def test_thorough_tests_are_left_out_by_the_quick_run_alone() -> None:
    def collected(*flags: str) -> str:
        words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *flags]
        file = "tests/shells/test_session_shells.py"
        return subprocess.run([*words, file], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    whole, quick = collected(), collected("--quick")
    assert "[busybox" in whole
    assert "[dash" in quick
    assert "[busybox" not in quick
    assert "\nthorough tests: " in quick


@pytest.mark.parametrize("rung", ["", "unit"])
def test_a_rung_that_is_named_runs_whole(rung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "call", lambda command: "--quick" in command)
    assert ladder.some((rung,) if rung else (), ladder.Selection()) == (not rung)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Shell text that stands for pytest, by the first rung of each call."""
    given: dict[str, str] = {}
    monkeypatch.setattr(ladder, "pytest", lambda rungs, *_: ["sh", "-c", given[rungs[0]]])
    monkeypatch.setattr(ladder, "download_modules", lambda: None)
    return given


@pytest.mark.parametrize(
    ("quick", "slow", "beside", "code"),
    [(0, 0, 0, 0), (1, 0, 0, 1), (0, 2, 0, 2), (0, 0, 1, 1), (5, 5, 0, 0)],
)
def test_all_fails_if_any_part_does(
    commands: dict[str, str],
    quick: int,
    slow: int,
    beside: int,
    code: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    commands |= {"unit": f"echo one; exit {quick}", "host": f"echo two; exit {slow}"}
    commands["ssh"] = f"echo three; exit {beside}"
    assert ladder.everything((), ladder.Selection()) == code
    # What ran beside the others is shown after them, in one piece.
    shown = capfd.readouterr().out.splitlines()
    assert shown[:3] == ["one", "two", "three"]
    assert [line.partition(":")[0] for line in shown[3:]] == [
        "rungs unit kernel shells",
        "rungs host",
        "rungs ssh builds bare vm",
    ]


def test_ctrl_c_lets_what_runs_beside_take_its_machines_down(
    commands: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    commands["unit"] = ""
    commands["vm"] = f"trap 'sleep 0.1; touch {down}; exit 2' INT; touch {up}; sleep 60 & wait"

    def interrupted(_command: object) -> int:
        assert until(up.exists)
        raise KeyboardInterrupt

    monkeypatch.setattr(ladder, "call", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ladder.everything(("unit", "vm"), ladder.Selection())
    assert down.exists()


def test_ci_is_the_task_and_nothing_else() -> None:
    script = (ROOT / ".ci/run").read_text().splitlines()
    assert script[-1] == "exec ./inv test --all --yes </dev/null"
    assert len([line for line in script if line and not line.startswith("#")]) <= 4
