"""Debian's static busybox for foreign architectures: a shell and userland for images built FROM scratch.

Packages come by apt with a state of its own (lists, cache, architecture), so this machine's apt is not
touched. One release suite is asked at a time, the next where it has no such package, or where its mirror is
out of step.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab.apt import source
from tests.lab.cache import Cache, fingerprint

# The first changes no more and has mips64el; the second has riscv64, the third loong64.
SUITES = ("bookworm", "trixie", "forky")


def busybox(architecture: str, *, cache: Cache | None = None) -> Path:
    """The static busybox for Debian's `architecture` name (arm64, armhf, s390x, ppc64el …).

    Raises RuntimeError with apt's own words if no suite has it.
    """

    def build(target: Path) -> None:
        problems = []
        for suite in SUITES:
            try:
                return _fetch(target, architecture, suite)
            except RuntimeError as problem:  # noqa: PERF203 - three turns
                problems.append(f"{suite}: {problem}")
        raise RuntimeError(f"no busybox-static for {architecture}:\n" + "\n".join(problems))

    return (cache or Cache.default()).get(f"busybox-{architecture}", fingerprint(*SUITES), build)


def _fetch(target: Path, architecture: str, suite: str) -> None:
    state = target.parent / suite
    options = _prepare(state, architecture, suite)
    # It exits 100 as soon as one index is out of step; the download then says whether that index mattered.
    subprocess.run(["apt-get", *options, "update"], check=False, capture_output=True)
    _run(["apt-get", *options, "download", "busybox-static"], state)
    (package,) = state.glob("busybox-static_*.deb")
    _run(["dpkg-deb", "--extract", str(package), "tree"], state)
    # /bin/busybox before Debian's merged /usr, /usr/bin/busybox after.
    (binary,) = (path for path in state.glob("tree/**/bin/busybox") if path.is_file())
    binary.rename(target)


def _prepare(state: Path, architecture: str, suite: str) -> list[str]:
    """Make the folders of a separate apt; the options that point apt at them."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "sources.list").write_text(f"{source(suite)}\n")
    (state / "status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "APT::Sandbox::User": "root",  # the folder is ours alone; user _apt could not write to it
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Dir::State::Lists": state / "lists",
        "Dir::State::Status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
