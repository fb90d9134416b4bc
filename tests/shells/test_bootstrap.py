"""`inv` in every shell that may be /bin/sh, on machines that lack one thing or another.

The machine is a PATH of a few real tools and stand-ins for Python, sudo and the package managers, which
note how they were called. tests/vm has it once with everything real.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.lab.checkout import ROOT

SHELLS: Final = (("dash",), ("bash", "--posix"), ("busybox", "sh"))
TOOLS: Final = "cat chmod cksum env flock grep mkdir mv readlink rm rmdir sed sh touch true".split()

# What `inv` asks of Python: its version, whether it has venv, to make an environment, to install, to run the tasks.
PYTHON: Final = r"""#!/bin/sh
case $* in
*version_info*) exit @OLD@ ;;
*'import ensurepip, venv'*) [ -n "@COMPLETE@" ] || [ -e "$MACHINE/has-venv" ] ;;
'-m venv '*)
    echo "venv $3" >>"$MACHINE/calls"
    mkdir -p "$3/bin" && cat "$0" >"$3/bin/python" && chmod +x "$3/bin/python" ;;
*'import pip'*) exit 0 ;;
*'["dependencies"]'*) exec @REAL@ -I "$@" ;;
'-m pip install '*)
    for last; do :; done
    wanted=$(cat "$last")
    echo "pip" $wanted >>"$MACHINE/calls"
    [ ! -e "$MACHINE/no-network" ] || { echo 'ERROR: no network' >&2; exit 1; }
    for one in $wanted; do
        [ ! -e "$MACHINE/no-wheel-${one%%>*}" ] || { echo 'error: subprocess-exited-with-error' >&2; exit 1; }
    done ;;
'-I -c '*'import tasks; tasks.main()'*) root=$4; shift 4; echo "of $root in $PWD: $*" ;;
*) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
UV: Final = r"""#!/bin/sh
echo "uv $*" >>"$MACHINE/calls"
[ ! -e "$MACHINE/uv-fails-at-$1" ] || exit 2
[ "$1" != venv ] || for last; do :; done
[ "$1" != venv ] || { mkdir -p "$last/bin" && cat "$MACHINE/bin/python3" >"$last/bin/python"; }
[ "$1" != venv ] || chmod +x "$last/bin/python"
"""
NOTE: Final = '#!/bin/sh\necho "${0##*/} $*" >>"$MACHINE/calls"\n'
INSTALL: Final = NOTE + 'case $* in *install* | add* | -S*) touch "$MACHINE/has-venv" ;; esac\n'
SUDO: Final = NOTE + 'if [ "$1" = -n ]; then [ ! -e "$MACHINE/sudo-asks" ] || exit 1; shift; fi\nexec "$@"\n'
APT: Final = "apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300"


PROJECT: Final = """
[project]
dependencies = ["fabric>=3", "rich>=13", "psutil>=5"]
[project.optional-dependencies]
dev = ["pytest>=8"]
"""
PIP: Final = "pip fabric>=3 rich>=13 psutil>=5"
"""The call that installs what the product needs; with `DEV` what its developers need too."""
DEV: Final = f"{PIP} pytest>=8"


@dataclass(kw_only=True)
class Machine:
    """A folder that is all of the machine that `inv` can see."""

    folder: Path
    shell: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def calls(self) -> list[str]:
        notes = self.folder / "calls"
        return notes.read_text().splitlines() if notes.exists() else []

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def python(self, name: str = "python3", *, old: bool = False, complete: bool = True) -> None:
        text = PYTHON.replace("@OLD@", str(int(old))).replace("@COMPLETE@", "yes" * complete)
        self.program(name, text.replace("@REAL@", shlex.quote(sys.executable)))

    def user(self, number: int) -> None:
        self.program("id", f"#!/bin/sh\necho {number}\n")

    def inv(
        self, *arguments: str, path: Path | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = shutil.which(self.shell[0])
        assert program is not None
        return subprocess.run(
            [program, *self.shell[1:], str(path or self.checkout / "inv"), *arguments],
            cwd=cwd or self.folder,
            env={"PATH": f"{self.folder}/bin", "MACHINE": str(self.folder), **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(params=SHELLS, ids=" ".join)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    made = Machine(folder=tmp_path, shell=request.param)
    for folder in ("bin", "checkout"):
        (tmp_path / folder).mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    shutil.copy2(ROOT / "inv", made.checkout)
    (made.checkout / "pyproject.toml").write_text(PROJECT)
    made.user(0)
    return made


# Debian's busybox prefers its own `id` to what stands on PATH, and that one knows who we really are.
own_id: Final = pytest.mark.parametrize("machine", SHELLS[:2], indirect=True, ids=" ".join)


def test_first_use_makes_the_environment_and_the_next_costs_nothing(machine: Machine) -> None:
    machine.python()
    first = machine.inv("provision", "--hosts", "a b")
    assert first.returncode == 0
    assert first.stdout == f"of {machine.checkout} in {machine.folder}: provision --hosts a b\n"
    assert len(first.stderr.splitlines()) == 2
    assert machine.calls == [f"venv {machine.checkout}/.venv", PIP]
    second = machine.inv("--list")
    assert (second.returncode, second.stderr) == (0, "")
    assert len(machine.calls) == 2


def test_it_runs_through_a_symlink_and_leaves_the_working_directory_alone(machine: Machine) -> None:
    machine.python()
    elsewhere = machine.folder / "else where"
    elsewhere.mkdir()
    (elsewhere / "provision").symlink_to(machine.checkout / "inv")
    done = machine.inv("plan", path=elsewhere / "provision", cwd=elsewhere)
    assert done.stdout == f"of {machine.checkout} in {elsewhere}: plan\n"


@pytest.mark.parametrize("task", ["test", "lint", "bench"])
def test_the_developers_tools_are_installed_when_they_are_needed(machine: Machine, task: str) -> None:
    machine.python()
    machine.inv("provision", "--hosts", task)
    assert machine.calls[-1] == PIP
    machine.inv(task, "--help")
    assert machine.calls[-1] == DEV
    count = len(machine.calls)
    machine.inv("provision")
    machine.inv("--echo", task)
    assert len(machine.calls) == count


def test_changed_dependencies_are_installed_into_the_same_environment(machine: Machine) -> None:
    machine.python()
    machine.inv("test")
    (machine.checkout / "pyproject.toml").write_text(PROJECT.replace("rich>=13", "rich>=14"))
    assert machine.inv("--list").returncode == 0
    # The developers' tools stay.
    assert machine.calls[2:] == [DEV.replace("rich>=13", "rich>=14")]


def test_a_moved_checkout_gets_a_new_environment(machine: Machine) -> None:
    machine.python()
    machine.inv("--list")
    moved = machine.folder / "moved"
    machine.checkout.rename(moved)
    assert machine.inv("--list", path=moved / "inv").returncode == 0
    assert machine.calls[2:] == [f"venv {moved}/.venv", PIP]


def test_a_vanished_interpreter_gets_a_new_environment(machine: Machine) -> None:
    machine.python()
    machine.inv("--list")
    (machine.checkout / ".venv/bin/python").unlink()
    assert machine.inv("--list").returncode == 0
    assert len(machine.calls) == 4


def test_an_interrupted_first_use_is_repaired_by_the_next(machine: Machine) -> None:
    machine.python()
    (machine.folder / "no-network").touch()
    broken = machine.inv("--list")
    assert broken.returncode == 1
    assert "ERROR: no network" in broken.stderr
    assert "the next ./inv tries again" in broken.stderr
    (machine.folder / "no-network").unlink()
    assert machine.inv("--list").returncode == 0
    # From the ground up: what a broken installation left is not built upon.
    assert machine.calls[2:] == [f"venv {machine.checkout}/.venv", PIP]


def test_an_environment_made_by_hand_is_kept(machine: Machine) -> None:
    machine.python()
    venv = machine.checkout / ".venv/bin"
    venv.mkdir(parents=True)
    shutil.copy2(machine.folder / "bin/python3", venv / "python")
    assert machine.inv("--list").returncode == 0
    assert machine.calls == [PIP]


@pytest.mark.parametrize(
    ("lacking", "task", "installed"),
    [
        (("psutil",), "top", "fabric>=3 rich>=13"),
        (("psutil", "fabric"), "check", "rich>=13"),
        (("fabric",), "check", "rich>=13"),
    ],
)
def test_what_cannot_be_compiled_here_is_left_out_until_it_is_needed(
    machine: Machine, lacking: tuple[str, ...], task: str, installed: str
) -> None:
    machine.python()
    for name in lacking:
        (machine.folder / f"no-wheel-{name}").touch()
    done = machine.inv("--list")
    assert done.returncode == 0
    assert machine.calls[-1] == f"pip {installed}"
    assert "could not be installed, so ./inv top" in done.stderr
    assert ("--hosts do not work" in done.stderr) == ("fabric" in lacking)
    count = len(machine.calls)
    assert (machine.inv("plan").stderr, len(machine.calls)) == ("", count)
    # A compiler was installed since then.
    for name in lacking:
        (machine.folder / f"no-wheel-{name}").unlink()
    assert machine.inv(task, "--hosts", "pi1").returncode == 0
    assert machine.calls[count:] == [PIP]


def test_nothing_is_left_out_because_the_network_is_down(machine: Machine) -> None:
    machine.python()
    (machine.folder / "no-network").touch()
    assert machine.inv("--list").returncode == 1
    assert machine.calls[1:] == [PIP]


own_index: Final = pytest.mark.skipif(
    any(
        "index" in path.read_text()
        for path in map(Path, ("/etc/pip.conf", "/etc/xdg/pip/pip.conf"))
        if path.exists()
    ),
    reason="pip of this machine has an index of its own, and `inv` sees that",
)


@own_index
def test_uv_is_used_where_it_is(machine: Machine) -> None:
    # It needs no ensurepip.
    machine.python(complete=False)
    machine.program("uv", UV)
    first = machine.inv("test")
    assert (first.returncode, len(first.stderr.splitlines())) == (0, 2)
    made, installed = machine.calls
    assert made.startswith("uv venv ")
    assert made.endswith(f" {machine.checkout}/.venv")
    assert installed.startswith("uv pip install ")
    assert installed.endswith(f"--requirements {machine.checkout}/pyproject.toml --extra dev")
    assert machine.inv("check").stderr == ""
    assert len(machine.calls) == 2


@own_index
@pytest.mark.parametrize("step", ["venv", "pip"])
def test_pip_takes_over_where_uv_fails(machine: Machine, step: str) -> None:
    machine.python()
    machine.program("uv", UV)
    (machine.folder / f"uv-fails-at-{step}").touch()
    assert machine.inv("--list").returncode == 0
    assert machine.calls[-1] == PIP
    assert machine.inv("--list").stderr == ""


@pytest.mark.parametrize("setting", ["PIP_INDEX_URL", "XDG_CONFIG_HOME"])
def test_pips_own_settings_are_respected(machine: Machine, setting: str) -> None:
    """An index of one's own is a promise that nothing comes from elsewhere, and uv does not read it."""
    machine.python()
    machine.program("uv", UV)
    machine.environment[setting] = str(machine.folder)
    (machine.folder / "pip").mkdir()
    (machine.folder / "pip/pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/\n")
    machine.inv("--list")
    assert machine.calls == [f"venv {machine.checkout}/.venv", PIP]


def test_a_newer_python_beside_an_old_one_is_found(machine: Machine) -> None:
    machine.python(old=True)
    machine.python("python3.12")
    done = machine.inv("--list")
    assert f"with {machine.folder}/bin/python3.12, once" in done.stderr


def test_the_interpreter_can_be_named(machine: Machine) -> None:
    machine.python("my-python")
    machine.environment["PYTHON"] = "my-python"
    assert f"with {machine.folder}/bin/my-python" in machine.inv("--list").stderr


def test_a_named_interpreter_that_will_not_do_is_refused(machine: Machine) -> None:
    machine.python("my-python", old=True)
    machine.program("apt-get", INSTALL)
    machine.environment["PYTHON"] = "my-python"
    done = machine.inv("--list")
    assert done.returncode == 1
    assert "PYTHON=my-python cannot make a virtual environment" in done.stderr
    assert machine.calls == []


def test_missing_venv_is_installed_as_root(machine: Machine) -> None:
    machine.python(complete=False)
    machine.program("apt-get", INSTALL)
    done = machine.inv("--list")
    assert done.returncode == 0
    assert f"the venv module of python3 is missing; installing it: {APT} python3-venv\n" in done.stderr
    assert machine.calls[:2] == ["apt-get update -qq", f"{APT} python3-venv"]


@own_id
def test_missing_venv_is_installed_through_sudo(machine: Machine) -> None:
    machine.python("python3.12", complete=False)
    machine.program("apt-get", INSTALL)
    machine.program("sudo", SUDO)
    machine.user(1000)
    done = machine.inv("--list")
    assert done.returncode == 0
    assert f"installing it: sudo {APT} python3.12-venv\n" in done.stderr
    assert machine.calls[:5] == [
        "sudo -n true",
        "sudo apt-get update -qq",
        "apt-get update -qq",
        f"sudo env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes {APT} python3.12-venv",
        f"{APT} python3.12-venv",
    ]


@own_id
@pytest.mark.parametrize("sudo", [None, "asks"])
def test_without_a_way_to_become_root_nothing_is_done(machine: Machine, sudo: str | None) -> None:
    machine.python(complete=False)
    machine.program("apt-get", INSTALL)
    machine.user(1000)
    if sudo:
        machine.program("sudo", SUDO)
        (machine.folder / "sudo-asks").touch()
    done = machine.inv("--list")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"start again:  apt-get update -qq && {APT} python3-venv\n" in done.stderr
    assert [call for call in machine.calls if "apt-get" in call or "venv" in call] == []
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("manager", "old", "called"),
    [
        ("apt-get", False, f"{APT} python3 python3-venv"),
        ("dnf", False, "dnf install -q -y python3"),
        ("dnf", True, "dnf install -q -y python3.12"),
        ("apk", False, "apk add --quiet python3"),
        ("pacman", False, "pacman -S --noconfirm --needed python"),
        ("zypper", False, "zypper --quiet --non-interactive install python3"),
        ("zypper", True, "zypper --quiet --non-interactive install python311"),
    ],
)
def test_each_package_manager_is_asked_for_the_right_package(
    machine: Machine, manager: str, old: bool, called: str
) -> None:
    if old:
        machine.python(old=True)
    # The package brings an interpreter that will do, under a name of its own where there is an old one.
    machine.program(manager, INSTALL)
    machine.python("fresh")
    target = "python3.12" if old else "python3"
    with (machine.folder / "bin" / manager).open("a") as script:
        script.write(
            f'case $* in *install* | add* | -S*) mv "$MACHINE/bin/fresh" "$MACHINE/bin/{target}" ;; esac\n'
        )
    done = machine.inv("--list")
    assert done.returncode == 0, done.stderr
    assert called in machine.calls


def test_an_unknown_package_manager_is_said(machine: Machine) -> None:
    done = machine.inv("--list")
    assert done.returncode == 1
    assert (
        "Python 3.10 or newer with venv is missing, and this machine's package manager is not one"
        in done.stderr
    )


def test_a_package_that_does_not_help_is_said(machine: Machine) -> None:
    machine.python(complete=False)
    machine.program("apt-get", NOTE)
    done = machine.inv("--list")
    assert done.returncode == 1
    assert "still missing after the installation" in done.stderr


def test_the_environment_can_be_elsewhere(machine: Machine) -> None:
    machine.python()
    machine.environment["PROVISION_VENV"] = f"{machine.folder}/deep/er/venv"
    assert machine.inv("--list").returncode == 0
    assert machine.calls[0] == f"venv {machine.folder}/deep/er/venv"
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a read-only mount is made by root")
def test_a_read_only_checkout_is_said_before_anything_is_done(machine: Machine) -> None:
    machine.python()
    subprocess.run(["mount", "--bind", "-o", "ro", machine.checkout, machine.checkout], check=True)
    try:
        done = machine.inv("--list")
    finally:
        subprocess.run(["umount", machine.checkout], check=True)
    assert done.returncode == 1
    assert f"{machine.checkout}/.venv is not writable" in done.stderr
    assert "PROVISION_VENV=" in done.stderr
    assert machine.calls == []
