"""The first minute in a machine where nothing is installed: `./inv` makes its environment, and the tests pass."""

from __future__ import annotations

import re

import pytest

from tests.lab.bare import USER, BareRoot

# apt, pip and mypy, on a machine that has other work.
SLOW = 1800
one_debian = pytest.mark.parametrize("bare_root", ["bookworm"], indirect=True)


def test_it_is_bare_and_apart_from_this_machine(bare_root: BareRoot) -> None:
    absent = "python3 pip ssh ssh-keygen git gcc make systemctl sudo qemu-aarch64-static busybox"
    assert bare_root.run(f"command -v {absent}", check=False).stdout == ""
    assert bare_root.run("cat /proc/1/comm").stdout == "sh\n"
    assert "0::/" in bare_root.run("cat /proc/self/cgroup").stdout.splitlines()
    assert bare_root.run("ls /proc/sys/fs/binfmt_misc").stdout.split() == ["register", "status"]
    assert bare_root.run("id -u; id -Gn", user=USER).stdout.split() == ["1000", USER]
    for file in ("/proc/sys/vm/swappiness", "/sys/kernel/profiling"):
        assert "Read-only" in bare_root.run(f"echo 1 >{file}", check=False).stderr
    # An orphan is taken by PID 1, so that its end can be seen.
    orphan = bare_root.run("setsid sleep 0.1 >/dev/null & echo $!").stdout.strip()
    bare_root.run(f"sleep 0.5; ! test -e /proc/{orphan}")


def test_the_first_start_installs_what_it_needs_and_nothing_of_ours(bare_root: BareRoot) -> None:
    path = bare_root.clone()
    first = bare_root.run("./inv --list", cwd=path, timeout=SLOW)
    assert "provision" in first.stdout
    found, making, installing = first.stderr.splitlines()
    assert "is missing; installing it: apt-get install" in found
    assert f"making {path}/.venv" in making
    assert "installing what is needed" in installing
    second = bare_root.run("./inv --list", cwd=path)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    names = bare_root.run(".venv/bin/python -m pip list --format=freeze", cwd=path).stdout.lower()
    assert "fabric==" in names
    assert "psutil==" in names
    assert "provision" not in names, "the project itself runs from the checkout"
    # Fabric's own command finds the same tasks.
    assert "provision" in bare_root.run(".venv/bin/fab --list", cwd=path).stdout


@one_debian
def test_without_wheels_and_compilers_everything_but_top_works(bare_root: BareRoot) -> None:
    """As on 32-bit ARM and riscv64: psutil comes as its source alone."""
    path = bare_root.clone()
    source_only = {"PIP_NO_BINARY": "psutil"}
    first = bare_root.run("./inv check --format json", cwd=path, env=source_only, check=False, timeout=SLOW)
    assert '"command": "check"' in first.stdout
    assert (
        "psutil could not be installed, so ./inv top does not work here; everything else does"
        in first.stderr
    )
    assert bare_root.run("./inv --list", cwd=path, env=source_only).stderr == ""
    assert bare_root.run("./inv hosts --hosts 10.0.0.5", cwd=path, env=source_only).returncode == 0
    # `top` tries again: here, with a wheel at hand.
    assert "installing what is needed" in bare_root.run("./inv top --help", cwd=path).stderr
    assert bare_root.run(".venv/bin/python -c 'import psutil'", cwd=path).returncode == 0


def test_a_user_who_cannot_become_root_is_told_what_to_install(bare_root: BareRoot) -> None:
    path = bare_root.clone(USER)
    done = bare_root.run("./inv --list", user=USER, cwd=path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    command = done.stderr.splitlines()[-1].partition("start again:  ")[2]
    bare_root.run(f"{command} >/dev/null", timeout=SLOW)
    assert "provision" in bare_root.run("./inv --list", user=USER, cwd=path, timeout=SLOW).stdout


@pytest.mark.parametrize(
    ("bare_root", "user"), [("bookworm", USER), ("trixie", "root")], indirect=["bare_root"]
)
def test_the_tests_pass(bare_root: BareRoot, user: str) -> None:
    """Each Debian and each kind of user once: all four take a quarter of the whole ladder's time."""
    if user != "root":
        bare_root.run(
            "apt-get -qq update && apt-get -qq -y install --no-install-recommends python3-venv", timeout=SLOW
        )
    path = bare_root.clone(user)
    done = bare_root.run("./inv test", user=user, cwd=path, check=False, timeout=SLOW)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    passed = int(re.findall(r"(\d+) passed", done.stdout)[-1])
    assert passed > 1500, "nearly all of the unit rung runs anywhere"
    left_out = done.stdout.partition("= left out =")[2]
    assert "rung shells cannot run here: busybox is not installed; enable with: apt-get install" in left_out
    assert "ssh-keygen is not installed" in left_out
    assert "./inv test --all" in left_out
