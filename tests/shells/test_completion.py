"""Completion in the real shells: the documented line is typed, then the key is pressed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from provision.cli.completion import script
from tests.lab.cli import COMMAND, environment
from tests.lab.terminal import Terminal

CONFIGURATION: Final = """\
[hosts.pi1]
[hosts.pi2]
host = "10.0.0.5"
[groups]
runners = ["pi1", "pi2"]
[registry."registry.example:5000"]
http = true
"""
PROMPT: Final = "ready> "
SECONDS: Final = 60
"""For a start of Python on a machine that has other work."""

LINES: Final = {
    "provision expl": "provision explain",
    "provision health --sever": "provision health --severity",
    "provision health --severity warn": "provision health --severity warning",
    "provision explain linux/arm6": "provision explain linux/arm64",
    "provision plan --platforms linux/amd64,linux/riscv": "provision plan --platforms linux/amd64,linux/riscv64",
    "provision plan --platforms=linux/riscv": "provision plan --platforms=linux/riscv64",
    "provision check --hosts pi1,@run": "provision check --hosts pi1,@runners",
    "provision login registry.ex": "provision login registry.example:5000",
    "provision login registry.example:50": "provision login registry.example:5000",
    "provision check --config other.to": "provision check --config other.toml",
    "./inv expl": "./inv explain",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where one works: a configuration, a file, and the program by another name too."""
    (tmp_path / "provision.toml").write_text(CONFIGURATION)
    (tmp_path / "other.toml").write_text("")
    shutil.copy(COMMAND, tmp_path / "inv")
    return tmp_path


def settings(folder: Path) -> dict[str, str]:
    own = environment(folder)
    return own | {"PATH": f"{COMMAND.parent}:{own['PATH']}", "TERM": "dumb", "PS1": PROMPT, "PROMPT": PROMPT}


@pytest.fixture
def bash(folder: Path) -> Iterator[Terminal]:
    start = ["bash", "--norc", "--noprofile", "-i"]
    with typed_at(
        folder, start, "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'"
    ) as screen:
        yield screen


@pytest.fixture
def zsh(folder: Path) -> Iterator[Terminal]:
    with typed_at(folder, ["zsh", "-f", "-i"], "unsetopt zle_bracketed_paste list_beep auto_menu") as screen:
        yield screen


def typed_at(folder: Path, start: list[str], quiet: str, line: str = "") -> Terminal:
    own = [f"{name}={value}" for name, value in settings(folder).items()]
    screen = Terminal(["env", "-i", f"--chdir={folder}", *own, *start])
    name = start[0]

    class Ready(Terminal):
        def __enter__(self) -> Terminal:
            screen.__enter__()
            screen.expect(PROMPT, SECONDS)
            screen.press(f"{quiet}\n")
            documented = f'eval "$(provision completion {name})"'
            screen.press(f'{line or documented}; echo it is "done"\n')
            screen.expect("it is done", SECONDS)
            return screen

        def __exit__(self, *error: object) -> None:
            screen.__exit__(None, None, None)

    return Ready([])


def completes(screen: Terminal, line: str, whole: str) -> None:
    screen.text = ""
    screen.press(f"{line}\t")
    screen.expect(whole, SECONDS)
    screen.press("\x15")  # Ctrl-U takes the line away: nothing is run
    screen.text = ""
    screen.press("echo it was 'quiet'\n")
    screen.expect("it was quiet", SECONDS)


@pytest.mark.needs("bash")
def test_bash(bash: Terminal) -> None:
    for line, whole in LINES.items():
        completes(bash, line, whole)


@pytest.mark.thorough
@pytest.mark.needs("zsh")
def test_zsh(zsh: Terminal) -> None:
    for line, whole in LINES.items():
        completes(zsh, line, whole)


@pytest.mark.needs("zsh")
def test_zsh_finds_the_file_of_the_package(folder: Path) -> None:
    """As an installed package has it: in a folder of fpath, named for its function."""
    functions = folder / "site-functions"
    functions.mkdir()
    (functions / "_provision").write_text(script("zsh"))
    start = f"fpath=({functions} $fpath); autoload -Uz compinit && compinit -D -u; unsetopt list_beep"
    with typed_at(folder, ["zsh", "-f", "-i"], start, line="true") as screen:
        for line, whole in list(LINES.items())[:3]:
            completes(screen, line, whole)


@pytest.mark.thorough
@pytest.mark.needs("fish")
def test_fish(folder: Path) -> None:
    """It tells what it would complete, without a terminal."""
    ask = "; ".join(f"complete --do-complete '{line}'; echo ---" for line in LINES)
    done = subprocess.run(
        ["fish", "--no-config", "--private", "-c", f"provision completion fish | source; {ask}"],
        cwd=folder,
        env=settings(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    found = [answer.split("\n") for answer in done.stdout.split("---\n")]
    for (line, whole), answers in zip(LINES.items(), found, strict=False):
        word = whole.rpartition(" ")[2]
        # What follows `=` may come alone.
        assert {word, word.rpartition("=")[2]} & {each.partition("\t")[0] for each in answers}, (
            line,
            answers,
        )


@pytest.mark.needs("fish")
def test_fish_shows_what_each_does(folder: Path) -> None:
    done = subprocess.run(
        [
            "fish",
            "--no-config",
            "--private",
            "-c",
            "provision completion fish | source; complete -C 'provision '",
        ],
        cwd=folder,
        env=settings(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert lines["health"].startswith("Will the next build work")
    assert "other.toml" not in lines
