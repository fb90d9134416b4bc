"""Runs a command and writes what it used: `launch.py REPORT COMMAND...`. Small, and without imports of ours.

The kernel counts the memory that a process had before exec(2), so a large parent shows in its child's peak.
"""

import json
import os
import sys
import threading
import time

LOOK_SECONDS = 0.05


def main() -> int:
    report, *command = sys.argv[1:]
    begun = time.monotonic()
    process = os.spawnvp(os.P_NOWAIT, command[0], command)  # noqa: S606 - no shell, and no subprocess module
    files = [0]
    threading.Thread(target=count_files, args=(process, files), daemon=True).start()
    # wait4 tells what this one child and its own children used.
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - begun
    seconds = usage.ru_utime + usage.ru_stime
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is megabytes
        json.dump({"wall": wall, "cpu": seconds, "kib": usage.ru_maxrss, "files": files[0]}, file)
    return os.waitstatus_to_exitcode(status)


def count_files(process: int, most: list[int]) -> None:
    """The most descriptors that the process was seen to have open, until it ends."""
    try:
        while True:
            most[0] = max(most[0], len(os.listdir(f"/proc/{process}/fd")))  # noqa: PTH208
            time.sleep(LOOK_SECONDS)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
