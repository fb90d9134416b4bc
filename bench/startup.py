"""What `./inv` costs over Invoke alone once the environment is there: one line per way of starting."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TURNS: Final = 20


def milliseconds(command: list[str]) -> list[float]:
    """Wall time of each of TURNS runs, in ms. The first run, which fills the caches, is not counted."""
    times: list[float] = []
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - start) * 1000)
    return times[1:]


def main() -> None:
    direct = milliseconds([str(ROOT / ".venv/bin/inv"), "--search-root", str(ROOT), "--list"])
    bootstrap = milliseconds([str(ROOT / "inv"), "--list"])
    for name, times in (("invoke alone", direct), ("./inv", bootstrap)):
        print(f"{name:14} median {statistics.median(times):6.1f} ms   best {min(times):6.1f} ms")
    print(f"{'overhead':14} median {statistics.median(bootstrap) - statistics.median(direct):6.1f} ms")


if __name__ == "__main__":
    main()
