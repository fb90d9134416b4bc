"""One tiny build for every platform through the builder, and which node built what, by the nodes' own records."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from provision import elf
from provision.architectures import PLATFORMS, normalise, of_platform
from provision.builder.buildx import Buildx, last_words
from provision.builder.buildx import alone as write_alone

_PATIENCE: Final = 600.0
_MARK: Final = "PROVISION_TRIAL"
_AT_ONCE: Final = 4
_RECENT: Final = 30
"""Records of a node that are looked at, the newest first: others may build there at the same time."""
# The program exits with the number of its arguments: 256, of which the kernel keeps 0 (templates/deep.sh).
_ARGUMENTS: Final = 255
_DOCKERFILE: Final = """\
FROM scratch
ARG TARGETARCH TARGETVARIANT PROVISION_TRIAL
COPY p-$TARGETARCH$TARGETVARIANT /p
RUN [{}]
"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of it."""

    built: Mapping[str, frozenset[str]]
    """Node -> the platforms that its own record of the build names."""
    clocks: Mapping[str, float]
    """Node -> when its build began by its own clock, less this machine's, in seconds; a few mean nothing."""
    errors: Mapping[str, str]
    """The platforms for which no build succeeded, each with its build's last words."""


def attempt(buildx: Buildx, builder: str, nodes: Mapping[str, Sequence[str]]) -> Trial:
    """Build now, for these nodes' platforms: for all at once, and if that fails for each of them, to see which it was.

    Raises BuildxError if buildx does not start or end.
    """
    wanted = [platform for platforms in nodes.values() for platform in platforms if platform in PLATFORMS]
    if not wanted:
        return Trial(built={}, clocks={}, errors={})
    whole = _attempt(buildx, builder, nodes, wanted)
    if not whole.errors:
        return whole
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        parts = list(pool.map(lambda each: _attempt(buildx, builder, nodes, [each]), wanted))
    return Trial(
        built={name: frozenset().union(*(part.built.get(name, ()) for part in parts)) for name in nodes},
        clocks=whole.clocks,
        errors={platform: words for part in parts for platform, words in part.errors.items()},
    )


def _attempt(buildx: Buildx, builder: str, nodes: Iterable[str], wanted: Sequence[str]) -> Trial:
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="provision-builder-") as place:
        _context(Path(place), wanted)
        begun = dt.datetime.now(dt.timezone.utc)
        done = buildx.ask(
            *("build", "--builder", builder, "--no-cache", "--provenance=false", "--progress", "plain"),
            *("--build-arg", f"{_MARK}={mark}", "--platform", ",".join(wanted)),
            *("--output", "type=cacheonly", place),
            timeout=_PATIENCE,
        )
    nodes = tuple(nodes)
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        records = list(pool.map(lambda node: _record(buildx, builder, node, mark), nodes))
    found = [(node, record) for node, record in zip(nodes, records, strict=True) if record]
    return Trial(
        built={name: _platforms(record) for name, record in found},
        clocks={name: (_moment(record["StartedAt"]) - begun).total_seconds() for name, record in found},
        errors=dict.fromkeys(wanted, last_words(done.stderr)) if done.returncode else {},
    )


def _context(folder: Path, platforms: Iterable[str]) -> None:
    words = ["/p", *["x"] * (_ARGUMENTS - 1), secrets.token_hex(8)]
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(json.dumps(words)[1:-1]), encoding="ascii")
    for platform in platforms:
        _, architecture, *variant = platform.split("/")
        program = folder / f"p-{architecture}{''.join(variant)}"
        program.write_bytes(elf.probe(of_platform(platform)))
        program.chmod(0o755)


def _record(buildx: Buildx, builder: str, node: str, mark: str) -> Any:
    """A node's own record of the build, asked with a configuration that has that node alone; None if it has none.

    With all nodes buildx finds one record for the whole build, which has the same reference on each of them.
    """
    with tempfile.TemporaryDirectory(prefix="provision-buildx-") as place:
        try:
            write_alone(builder, node, Path(place))
        except (OSError, ValueError, LookupError):
            return None
        alone = replace(buildx, config=Path(place))
        listed = alone.ask("history", "ls", "--builder", builder, "--no-trunc", "--format", "json").stdout
        for row in _json_lines(listed)[:_RECENT]:
            ref = str(row["ref"]).rpartition("/")[2]
            said = _json_lines(
                b" ".join(
                    alone.ask(
                        "history", "inspect", "--builder", builder, "--format", "json", ref
                    ).stdout.split(b"\n")
                )
            )
            if said and {"Name": _MARK, "Value": mark} in (said[0].get("BuildArgs") or ()):
                return said[0]
    return None


def _json_lines(output: bytes) -> list[Any]:
    try:
        return [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]
    except ValueError:
        return []


def _platforms(record: Mapping[str, Any]) -> frozenset[str]:
    if record.get("Status") != "completed":
        return frozenset()
    names = (str(name).split("/") for name in record.get("Platform") or ())
    return frozenset(normalise(*(*parts, "")[:3]) for parts in names)


def _moment(text: str) -> dt.datetime:
    """As Go writes it, with nanoseconds, of which Python before 3.11 takes none."""
    return dt.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=dt.timezone.utc)
