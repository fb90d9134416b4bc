"""The tasks of `./inv`: the product's own, and three for those who work on it. No logic lives here."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from provision.cli import tasks as cli
from provision.cli.program import Program

ROOT: Final = Path(__file__).resolve().parent


def run(*arguments: str) -> None:
    """Run a Python module's command line in the checkout, and end with its exit code if that is not 0."""
    sys.stdout.flush()
    code = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode
    if code:
        # A negative code is a signal's number; shells say 128 + it.
        raise Exit(code=code if code > 0 else 128 - code)


@task(
    auto_shortflags=False,
    help={
        "all": "install what is missing by this machine's package manager, then run every rung (root, half an hour)",
        "yes": "with --all: install without asking",
        "rung": "only these rungs of the ladder, comma-separated: unit kernel shells ssh builds bare sid host vm",
        "k": "only tests whose name matches this expression, as pytest's -k",
        "args": "anything else for pytest, as one word: --args '-x --durations=10'",
    },
)
def test(
    c: Context, all: bool = False, yes: bool = False, rung: str = "", k: str = "", args: str = ""
) -> None:
    """Run the tests that can run here in five minutes, and name the others; with --all, run all of them."""
    flags = [name for name, given in (("--all", all), ("--yes", yes)) if given]
    matching = ["-k", k] if k else []
    run("-m", "tests.ladder", *flags, f"--rung={rung}", *matching, "--", *shlex.split(args))


@task(auto_shortflags=False, help={"fix": "first let ruff repair and format what it can"})
def lint(c: Context, fix: bool = False) -> None:
    """Run the linters alone: ruff, mypy --strict, the arrows between rooms, shellcheck on every script."""
    if fix:
        subprocess.run([sys.executable, "-m", "ruff", "check", "--fix", "--quiet"], cwd=ROOT, check=False)
        run("-m", "ruff", "format", "--quiet")
    run(
        "-m",
        "pytest",
        "--quiet",
        "--no-header",
        "tests/unit/house/test_lint.py",
        "tests/unit/house/test_lint_templates.py",
    )


@task(auto_shortflags=False, help={"name": "only this one: a file of bench/ without its .py"})
def bench(c: Context, name: str = "") -> None:
    """Measure: every file of bench/, or one of them, as a program that prints its table."""
    known = sorted(script.stem for script in (ROOT / "bench").glob("[a-z]*.py"))
    if name and name not in known:
        raise Exit(f"no benchmark {name!r}; there are: {', '.join(known)}", code=1)
    for each in [name] if name else known:
        run("-m", f"bench.{each}")


namespace: Final = cli.namespace()
for contributor_task in (test, lint, bench):
    namespace.add_task(contributor_task)


def main() -> None:
    """`./inv`, which says by which path it was started."""
    called = os.environ.get("PROVISION_INV", "")
    Program(name="inv", binary="./inv", namespace=namespace, called=called).run()
