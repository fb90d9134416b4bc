"""What the first `./inv` of a fresh checkout costs over `python3 -m venv` and one `pip install` of the dependencies.

Wall and processor time of both, by turns in one run. Ends with 1 if the target is missed. Needs a package index.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.startup import cpu
from tests.lab import checkout

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TURNS: Final = 3
PROMISED: Final = 1.15
"""Processor time of `./inv`, with that of venv and pip being 1."""

Command = Sequence[str | Path]


def dependencies() -> list[str]:
    with (checkout.ROOT / "pyproject.toml").open("rb") as file:
        found: list[str] = tomllib.load(file)["project"]["dependencies"]
    return found


def by_hand(folder: Path) -> list[Command]:
    """What a person would type."""
    pip = (str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", *dependencies())
    return [("python3", "-m", "venv", folder / "venv"), pip]


def ours(folder: Path) -> list[Command]:
    """The first use of a fresh clone."""
    checkout.copy(folder)
    return [(folder / "inv", "--list")]


def measure(commands: Sequence[Command]) -> tuple[float, float]:
    """Wall and processor time of all, in s."""
    start, before = time.perf_counter(), cpu()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start, (cpu() - before) / 1000


def main() -> int:
    rows = {"venv and pip install": by_hand, "./inv --list": ours}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    # The first turn fills pip's cache and is not counted.
    for turn in range(TURNS + 1):
        for name, prepare in rows.items():
            with tempfile.TemporaryDirectory(prefix="bench-") as made:
                cost = measure(prepare(Path(made)))
            if turn:
                found[name].append(cost)
    busy = {}
    for name, costs in found.items():
        wall, busy[name] = (statistics.median(column) for column in zip(*costs, strict=True))
        print(f"{name:22} wall {wall:6.2f} s   cpu {busy[name]:6.2f} s")
    hand, inv = busy.values()
    met = inv / hand <= PROMISED
    by = "uv" if shutil.which("uv") else "pip"
    print(
        f"ratio of cpu {inv / hand:.2f} (with {by}), promised at most {PROMISED}: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
