"""`python -m tests.ladder [--all [--yes]] [--rung A,B] [-k EXPRESSION] [-- WORDS FOR PYTEST]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.lab.requirements import RUNGS
from tests.ladder import install, run


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./inv test")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--rung", default="")
    parser.add_argument("-k", default="")
    parser.add_argument("words", nargs="*")
    given = parser.parse_args(arguments)
    rungs = tuple(name.strip() for name in given.rung.split(",") if name.strip())
    if unknown := set(rungs) - set(RUNGS):
        parser.error(f"no rung {', '.join(sorted(unknown))}; the ladder has {' '.join(RUNGS)}")
    selection = run.Selection(matching=given.k, words=tuple(given.words))
    if not given.all:
        return run.some(rungs, selection)
    try:
        install.install(agreed=given.yes)
    except install.NotInstalledError as problem:
        install.say(f"error: {problem}")
        return 1
    return run.everything(rungs, selection)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
