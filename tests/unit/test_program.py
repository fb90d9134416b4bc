"""The command line before a task begins: help that teaches, and what a slip of the hand is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from provision import __version__
from tests.lab.cli import COMMAND, provision

SLIPS = {
    ("provison",): ("there is no command 'provison'", "Did you mean provision?"),
    ("zzz",): ("there is no command 'zzz'", "provision --list shows all."),
    ("--help", "helth"): ("there is no command 'helth'", "Did you mean health?"),
    ("health", "--hots", "pi"): ("there is no option '--hots'", "Did you mean --hosts?"),
    ("hosts", "plan", "--plattforms", "arm64"): (
        "there is no option '--plattforms'",
        "Did you mean --platforms?",
    ),
    ("plan", "--hosts"): ("--hosts needs a value", "provision plan --help says which."),
    ("explain",): ("explain needs a PLATFORM", "provision explain --help says which."),
}


@pytest.mark.parametrize("words", SLIPS, ids=" ".join)
def test_a_slip_is_told_what_was_meant(words: tuple[str, ...], tmp_path: Path) -> None:
    what, to_do = SLIPS[words]
    seen = provision(*words, cwd=tmp_path)
    assert (seen.code, seen.out) == (1, "")
    assert seen.err == f"error: {what}\n  what to do: {to_do}\n"


@pytest.mark.parametrize("words", [(), ("--help",)], ids=["nothing", "help"])
def test_help_shows_the_commands_and_none_of_invokes_own_flags(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    seen = provision(*words, cwd=tmp_path)
    assert (seen.code, seen.err) == (0, "")
    assert seen.out.startswith("Usage: provision COMMAND")
    assert "Make it a build machine" in seen.out
    assert "--dry" not in seen.out


@pytest.mark.parametrize(
    "words", [("explain", "--help"), ("explain", "-h"), ("--help", "explain")], ids=" ".join
)
def test_help_of_a_task_with_an_argument(words: tuple[str, ...], tmp_path: Path) -> None:
    seen = provision(*words, cwd=tmp_path)
    assert (seen.code, seen.err) == (0, "")
    assert "--ask-sudo-password" in seen.out


def test_who_reads_may_stop_early(tmp_path: Path) -> None:
    with subprocess.Popen(
        [COMMAND, "health", "--help"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


def test_modules_in_the_users_folder_are_not_ours(tmp_path: Path) -> None:
    for name in ("tasks", "provision", "invoke", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')")
    inv = [sys.executable, "-I", "-c", "import tasks; tasks.main()", "--version"]
    done = subprocess.run(inv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"inv {__version__}\n", "")
