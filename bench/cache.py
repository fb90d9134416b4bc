"""What a cache in a registry saves on a node without one, by its mode; what garbage collection leaves, by its limit.

Real daemons of BuildKit and a registry, on loopback. A project has a large base, slow steps, its source, a short step,
and a last stage that takes one file. Ratios of one run count; seconds are this machine's.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provision import elf
from provision.architectures import of_platform
from tests.lab.builder import Builder, builder
from tests.lab.registry import Registry
from tests.lab.requirements import missing

MEGABYTE: Final = 1 << 20
BASE: Final = 16 * MEGABYTE
SLOW: Final = 6
"""Steps before the source, each some tenths of a second."""
PROJECTS: Final = 4
SHARES: Final = (0.5, 0.9, 1.25)
"""Limits of garbage collection, the room that all projects take being 1."""


@dataclass(frozen=True, kw_only=True)
class Built:
    seconds: float
    cached: int
    """Steps that were taken from a cache."""


def project(folder: Path, number: int) -> Path:
    """A context."""
    folder.mkdir()
    (folder / "work").write_bytes(elf.work(of_platform("linux/amd64")))
    (folder / "work").chmod(0o755)
    (folder / "base").write_bytes(random.Random(number).randbytes(BASE))
    (folder / "source").write_text("one\n")
    # The program exits with the number of its words, 256, of which the kernel keeps 0.
    run = [f"RUN {json.dumps(['/work', *['x'] * 254, f'{number}-{each}'])}" for each in range(SLOW + 1)]
    steps = ["COPY work /work", "COPY base /base", *run[:-1], "COPY source /source", run[-1]]
    last = ["FROM scratch", "COPY --from=build /source /app"]
    (folder / "Dockerfile").write_text("\n".join(["FROM scratch AS build", *steps, *last, ""]))
    return folder


def build(node: Builder, context: Path, *options: str) -> Built:
    command = [str(node.folder / "bin/buildctl"), "--addr", f"unix://{node.folder}/socket", "build"]
    places = ["--local", f"context={context}", "--local", f"dockerfile={context}"]
    words = [*command, "--progress=plain", "--frontend=dockerfile.v0", *places, *options]
    begun = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    return Built(seconds=time.monotonic() - begun, cached=done.stderr.count(" CACHED\n"))


def modes(folder: Path, one: Builder, other: Builder) -> Iterator[tuple[str, Built, Built, Built, int]]:
    """For each mode: the build that writes the cache, and on a node without one the same and with another source."""
    for number, mode in enumerate(("none", "inline", "min", "max")):
        context = project(folder / mode, number)
        with Registry() as registry:
            image = f"{registry.address}/app:1"
            place = (
                f"type=registry,registry.insecure=true,ref={image if mode == 'inline' else f'{image}-cache'}"
            )
            keep = {"none": (), "inline": ("--export-cache", "type=inline")}.get(
                mode, ("--export-cache", f"{place},mode={mode}")
            )
            output = ("--output", f"type=image,name={image},push=true,registry.insecure=true")
            use = () if mode == "none" else ("--import-cache", place)
            empty(one)
            first = build(one, context, *keep, *output)
            size = registry.size
            empty(other)
            same = build(other, context, *use, *output)
            (context / "source").write_text("two\n")
            empty(other)
            changed = build(other, context, *use, *output)
            yield mode, first, same, changed, size


def empty(node: Builder) -> None:
    node.run("prune", "--all")


def used(node: Builder) -> int:
    rows = json.loads(node.run("du", "--format", "{{json .}}"))
    return sum(int(row["size"]) for row in rows if not row.get("shared"))


def limits(folder: Path, node: Builder) -> Iterator[tuple[float, Built]]:
    """Projects in turn, then each with another source, with a collection after each build: the second round."""
    contexts = [project(folder / f"project{number}", 100 + number) for number in range(PROJECTS)]
    empty(node)
    first = [build(node, each) for each in contexts]
    yield 0.0, Built(seconds=sum(each.seconds for each in first), cached=sum(each.cached for each in first))
    whole = used(node)
    for share in SHARES:
        empty(node)
        second = []
        for source in ("one", "two"):
            for context in contexts:
                (context / "source").write_text(f"{source}\n")
                made = build(node, context)
                second += [made] if source == "two" else []
                # By the daemon itself this runs a minute after a build; the rule is the same.
                node.run("prune", "--all", "--keep-storage", str(whole * share / 1e6))
        yield (
            share,
            Built(seconds=sum(each.seconds for each in second), cached=sum(each.cached for each in second)),
        )


def main() -> int:
    if lacking := missing("builds"):
        words = ("error: this benchmark cannot run here", *(f"  {each}" for each in lacking))
        print("\n".join(words), file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="bench-") as made, ExitStack() as stack:
        folder = Path(made)
        nodes = []
        for name in ("one", "other"):
            (folder / name).mkdir()
            nodes.append(stack.enter_context(builder(folder / name)))
        print(
            "| cache | first build s | MB stored | another node | with another source |\n| --- |"
            + " ---: |" * 4
        )
        whole = 0.0
        for mode, first, same, changed, size in modes(folder, *nodes):
            whole = whole or same.seconds
            cells = (f"{each.seconds / whole:.2f} ({each.cached} cached)" for each in (same, changed))
            print(f"| {mode} | {first.seconds:.1f} | {size / 1e6:.0f} | {' | '.join(cells)} |", flush=True)
        print("\n| limit, all projects being 1 | second round | steps cached |\n| ---: | ---: | ---: |")
        whole = 0.0
        for share, each in limits(folder, nodes[0]):
            whole = whole or each.seconds
            print(f"| {share or 'no cache'} | {each.seconds / whole:.2f} | {each.cached} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
