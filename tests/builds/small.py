"""A BuildKit that compiles in seconds, as the real one does."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from provision.buildkit.go.build import build
from provision.buildkit.go.module import COMMANDS, Module
from provision.buildkit.go.store import Built
from tests.lab.goproxy import MODULE, GoProxy, Published

VERSION = "v0.99.9"
ARM = "linux/arm/v6"

_MOD = """module provision.invalid/buildkit

go 1.24.0

tool (
	{tools}
)

require {module} {version} // indirect
"""


def resolve_by_hand(cache: Path, published: Published) -> None:
    """What an earlier run would have left: go.mod and go.sum of this version."""
    tools = "\n\t".join(f"{MODULE}/cmd/{name}" for name in COMMANDS)
    mod = _MOD.format(tools=tools, module=MODULE, version=published.version)
    folder = cache / "go" / "resolved" / published.version
    Module(mod=mod, sums=published.sums, vouched="").write(folder)
    (folder / "vouched").write_text("verified by hand")


@dataclass(kw_only=True)
class Heard:
    """A watch that remembers."""

    stages: list[str] = field(default_factory=list)
    counts: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def go_on(self) -> None:
        pass

    def begin(self, stage: str, _text: str) -> None:
        self.stages.append(stage)

    def count(self, stage: str, done: int, total: int | None) -> None:
        self.counts[stage] = (done, total)

    def end(self, _stage: str) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """A cache folder and the proxy that it is filled from."""

    cache: Path
    proxy: GoProxy

    def build(self, platform: str = ARM, heard: Heard | None = None) -> Built:
        return build(VERSION, platform, self.cache, heard)

    def left(self) -> list[str]:
        """Everything in the cache that a build may leave, without what Go keeps and what was there before."""
        ignored = ("go/modules", "go/path", "go/resolved", "go/lock", "go/build/", "go/toolchains/")
        names = sorted(
            str(path.relative_to(self.cache)) for path in self.cache.rglob("*") if not path.is_dir()
        )
        return [name for name in names if not name.startswith(ignored)]


def programs(archive: Path) -> dict[str, bytes]:
    """The content of an archive by its names."""
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as opened:
        return {each.name: _content(opened, each) for each in opened.getmembers()}


def _content(opened: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = opened.extractfile(member)
    assert file is not None, member.name
    return file.read()
