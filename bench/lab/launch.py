"""Runs a command and writes what it used: `launch.py REPORT COMMAND...`. Small, and without imports of ours.

The kernel counts the memory that a process had before exec(2), so a large parent shows in its child's peak.
"""

import json
import os
import sys
import time


def main() -> int:
    report, *command = sys.argv[1:]
    begun = time.monotonic()
    process = os.spawnvp(os.P_NOWAIT, command[0], command)  # noqa: S606 - no shell, and no subprocess module
    # wait4 tells what this one child and its own children used.
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - begun
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is megabytes
        json.dump({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "kib": usage.ru_maxrss}, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
