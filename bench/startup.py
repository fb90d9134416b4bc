"""What `./inv` costs over Invoke alone once the environment is there: wall and CPU time of both."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TURNS: Final = 20


def cpu() -> float:
    """CPU time of all children so far, in ms. Unlike wall time it hardly changes with what else runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def measure(command: list[str]) -> tuple[float, float]:
    """Median wall and median CPU time of TURNS runs, in ms. A first run fills the caches and is not counted."""
    wall: list[float] = []
    busy: list[float] = []
    for _ in range(TURNS + 1):
        start, before = time.perf_counter(), cpu()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall.append((time.perf_counter() - start) * 1000)
        busy.append(cpu() - before)
    return statistics.median(wall[1:]), statistics.median(busy[1:])


def main() -> None:
    direct = measure([str(ROOT / ".venv/bin/inv"), "--search-root", str(ROOT), "--list"])
    bootstrap = measure([str(ROOT / "inv"), "--list"])
    for name, (wall, busy) in (("invoke alone", direct), ("./inv", bootstrap)):
        print(f"{name:14} wall {wall:7.1f} ms   cpu {busy:7.1f} ms")
    print(
        f"{'overhead':14} wall {bootstrap[0] - direct[0]:7.1f} ms   cpu {bootstrap[1] - direct[1]:7.1f} ms"
    )


if __name__ == "__main__":
    main()
