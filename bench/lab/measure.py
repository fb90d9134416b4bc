"""What a program costs: time, processor, memory, and what it does on the line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.proxy import Line

DELAY: Final = 0.025
"""Seconds each way: 50 ms there and back, as from one end of a continent to the other."""


LAUNCHER: Final = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run. Times in seconds, memory in bytes: of the largest process, if there are several."""

    wall: float
    processor: float
    memory: int
    turns: int
    connections: int
    sessions: int
    up: int
    down: int
    files: int = 0
    """Descriptors open at once in the command itself, not in processes that it starts."""


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    lines: Sequence[Line],
    sessions: Callable[[], int] = lambda: 0,
    accept: Sequence[int] = (0,),
) -> Cost:
    """Runs a command. Raises RuntimeError with what it said if it does not end as it should."""
    before = [(line.turns, line.connections, line.bytes["up"], line.bytes["down"]) for line in lines]
    opened = sessions()
    log, report = folder / "output", folder / "usage.json"
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(report), *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode not in accept:
        raise RuntimeError(f"{' '.join(command)} gave {done.returncode}:\n{log.read_text()[-3000:]}")
    usage = json.loads(report.read_text())
    after = [(line.turns, line.connections, line.bytes["up"], line.bytes["down"]) for line in lines]
    turns, connections, up, down = (
        sum(now[field] - then[field] for now, then in zip(after, before, strict=True)) for field in range(4)
    )
    return Cost(
        wall=usage["wall"],
        processor=usage["cpu"],
        memory=usage["kib"] * 1024,
        turns=turns,
        connections=connections,
        sessions=sessions() - opened,
        up=up,
        down=down,
        files=usage["files"],
    )


def best(costs: Sequence[Cost]) -> Cost:
    """The quickest of several: what else the machine did can only have made the others slower."""
    return min(costs, key=lambda cost: cost.wall)


def table(title: str, rows: Mapping[str, Cost]) -> str:
    """As Markdown, for docs/benchmarks.md."""
    head = "| | wall s | turns | connections | sessions | KB up | KB down | CPU s | MB |"
    lines = [f"\n**{title}**\n", head, "| --- |" + " ---: |" * 8]
    for name, cost in rows.items():
        cells = (
            f"{cost.wall:.2f}",
            # None of them is counted where there was no line between.
            cost.turns or "–",
            cost.connections or "–",
            cost.sessions or "–",
            f"{cost.up / 1000:.0f}" if cost.up else "–",
            f"{cost.down / 1000:.0f}" if cost.down else "–",
            f"{cost.processor:.2f}",
            f"{cost.memory / 1e6:.0f}",
        )
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
