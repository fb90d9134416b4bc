"""Messages about the build itself: its Dockerfile, its context, its steps.

Texts: BuildKit's dockerfile2llb, solver and executor, its exec's own words, and QEMU's.
"""

from __future__ import annotations

from typing import Final

from provision.buildkit.failures.meaning import Meaning, means
from provision.fix import PROVISION, Fix, run
from provision.paths import BUILDCTL

_PRUNE: Final = Fix.by(run(BUILDCTL, "prune"))
_MEMORY: Final = Fix(
    words="add memory or swap, or set [buildkit] max_parallelism lower, so that fewer steps run at once"
)

MEANINGS: Final[tuple[Meaning, ...]] = (
    means(
        r"exec \S+: exec format error",
        "the step is for another architecture, and no handler is registered for it",
        Fix.by(PROVISION),
    ),
    means(
        r"exec \S+: no such file or directory",
        "the program or its loader is not in the image, or its handler lacks the F flag",
    ),
    means(
        r"(?:runtime execution on platform|no support for running processes with) (?P<platform>[\w/]+)"
        r"(?: platform| not supported)",
        "the daemon does not run steps for {platform}: it does not list it",
        Fix.by(PROVISION),
    ),
    means(
        r"(?:no space left on device|ENOSPC)",
        "the disk that the build or the daemon's state lies on is full",
        _PRUNE,
    ),
    means(
        r"(?i)disk quota exceeded",
        "root's quota on that disk is used up",
        Fix(words="raise it there, or prune the build cache"),
    ),
    means(
        r"exit code: 137\b",
        "the step was killed: most often because memory ran out",
        _MEMORY,
    ),
    means(
        r"(?:cannot allocate memory|ENOMEM|signal: killed)",
        "there was not enough memory",
        _MEMORY,
    ),
    means(
        r"qemu: uncaught target signal (?P<signal>\d+)",
        "the emulated program, or QEMU under it, ended by signal {signal}",
        Fix(words="try a newer QEMU (`interpreters`), or build this platform on a machine of its own"),
    ),
    means(
        r"exit code: 139\b",
        "the program crashed (signal 11); under emulation QEMU itself may have",
        Fix(words="try a newer QEMU (`interpreters`), or build this platform on a machine of its own"),
    ),
    means(
        r"too many open files",
        "a limit of open files was reached",
        Fix(words="raise LimitNOFILE of the service, or fs.inotify and fs.file-max of the kernel"),
    ),
    means(
        r"resource temporarily unavailable",
        "a limit of processes was reached",
        Fix(words="raise TasksMax of the service, or the container's pids limit"),
    ),
    means(
        r"Temporary failure (?:in name resolution|resolving)|Could not resolve host|bad address '",
        "a build step cannot resolve names",
        Fix.by(
            PROVISION,
            words="first set nameservers under [buildkit.dns] if the machine's own do not reach there",
        ),
    ),
    means(
        r"failed to read dockerfile: open (?P<file>\S+): no such file or directory",
        "the folder of --local dockerfile holds no {file}",
        Fix(words="give the folder with --local dockerfile=, and another name with --opt filename="),
    ),
    means(
        r"failed to calculate checksum of ref [^\n]*?\"(?P<file>[^\"]+)\": not found",
        "what COPY or ADD names is not in the context: {file}",
        Fix(words="look at the path, at --local context= and at .dockerignore"),
    ),
    means(
        r"dockerfile parse error[^\n]*",
        "the Dockerfile cannot be read",
        Fix(words="correct the line that the message names"),
    ),
    means(
        r"parent snapshot sha256:\w+ does not exist|content digest sha256:\w+: not found",
        "the build cache has lost a part of itself",
        _PRUNE,
    ),
    means(
        r"process \"[^\n]*\" did not complete successfully: exit code: (?P<code>\d+)",
        "a command of the Dockerfile failed by itself, with status {code}",
        Fix(words="the lines above it say why"),
    ),
)
"""The first that fits counts, so the general ones stand last."""
