"""BuildKit's programs for one platform: from the cache, or compiled now."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from provision.architectures import go_environment
from provision.buildkit.errors import explain_local
from provision.buildkit.go import toolchain
from provision.buildkit.go.archive import pack
from provision.buildkit.go.command import Go
from provision.buildkit.go.environment import database, environment
from provision.buildkit.go.module import (
    BUILDKIT,
    BUILDX,
    DAEMON,
    Module,
    Product,
    pinned,
    resolve,
    resolved,
)
from provision.buildkit.go.store import Built, Source, Store
from provision.buildkit.go.toolchain import Toolchain
from provision.buildkit.go.watch import Nobody, Watch, stage


def build(version: str, platform: str, cache: Path, watch: Watch | None = None) -> Built:
    """BuildKit `version` for `platform` ("linux/arm/v6"), from `cache` or compiled now, which takes minutes.

    Uses no network if the cache has it. Threads and processes that want to build wait for each other.
    Raises ChecksumError for a module that is not what it should be, StoppedBuildError after Ctrl-C, and
    ReleaseError for everything else that prevents it; then the cache holds nothing half-made.
    """
    if built := known(version, platform, cache):
        return built
    store, go = Store(cache=cache), toolchain.find()
    try:
        with store.building(watch or Nobody()) as workshop:
            return _build(version, platform, store, go, workshop, watch or Nobody())
    except OSError as error:
        raise explain_local(error, str(cache)) from error


def known(version: str, platform: str, cache: Path) -> Built | None:
    """The same, if `build` would find it in the cache."""
    store, go = Store(cache=cache), toolchain.find()
    module = _module(version, store)
    return store.find(_source(version, platform, go, module)) if module else None


def latest(cache: Path, watch: Watch | None = None) -> str:
    """The newest finished version that the Go proxy has. Raises as `build`."""
    store, go = Store(cache=cache), toolchain.find()
    try:
        with store.building(watch or Nobody()) as workshop:
            run = prepare(go, store, "the newest BuildKit", {}, watch or Nobody())
            # Without a line `go`, which could ask for a newer Go.
            Module(mod="module provision.invalid/buildkit\n", sums="", vouched="").write(workshop)
            return run(workshop, "list", "-m", "-f", "{{.Version}}", f"{BUILDKIT}@latest").strip()
    except OSError as error:
        raise explain_local(error, str(cache)) from error


def prepare(found: Toolchain, store: Store, purpose: str, target: Mapping[str, str], watch: Watch) -> Go:
    """A Go that is ready to run. Raises as `wheel.install`."""
    program = found.ready(store.folder, watch)
    settings = environment(os.environ, found.chosen, store.folder, target)
    return Go(program=program, environment=settings, purpose=purpose, go_on=watch.go_on)


def compile_commands(
    go: Go, module: Path, label: str, watch: Watch, product: Product = DAEMON
) -> Mapping[str, Path]:
    """The programs as files of a release archive; `module` holds go.mod and go.sum, `label` is their version.

    Raises as `Go`.
    """
    with stage(watch, "build-modules", f"get the Go modules of {go.purpose}"):
        counter = _Counter(watch=watch, stage="build-modules", total=None, sign="go: downloading ")
        packages = go(module, "list", "-tags", product.tags, "-deps", "tool", line=counter).split()
    with stage(watch, "build-compile", f"compile {go.purpose} from source"):
        counter = _Counter(watch=watch, stage="build-compile", total=len(packages), sign="")
        # Without -X they call themselves "v0.0.0+unknown"; -s -w leave out what only a debugger reads.
        flags = f"-s -w -X {product.path}/version.Version={label}"
        arguments = ("-v", "-trimpath", "-buildvcs=false", "-tags", product.tags, "-ldflags", flags)
        go(module, "build", *arguments, "-o", f"{module}/bin/", "tool", line=counter)
    return {f"bin/{name}": module / "bin" / name for name in product.commands}


def build_buildx(platform: str, cache: Path, target: Path, watch: Watch | None = None) -> str:
    """Compile buildx for `platform` into the file `target`; the words on its source. Raises as `build`."""
    store, found, module = Store(cache=cache), toolchain.find(), pinned(BUILDX)
    version = module.version_of(BUILDX)
    try:
        with store.building(watch or Nobody()) as workshop:
            purpose = f"buildx {version} for {platform}"
            go = prepare(found, store, purpose, go_environment(platform), watch or Nobody())
            module.write(workshop / "build")
            (made,) = compile_commands(go, workshop / "build", version, watch or Nobody(), BUILDX).values()
            place_program(made, target)
    except OSError as error:
        raise explain_local(error, str(target)) from error
    return f"built from {BUILDX.path} {version} by {found.builds(module.go)}, {module.vouched}"


def place_program(made: Path, target: Path) -> None:
    """Put a copy of a program in its place, whole or not at all. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Another filesystem than the cache's, perhaps.
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(made, new)
        new.chmod(0o755)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


class _Counter:
    """Tells a watch about the lines of Go: with `sign`, those that begin so; else those that are a package."""

    def __init__(self, *, watch: Watch, stage: str, total: int | None, sign: str) -> None:
        self._tell = partial(watch.count, stage)
        self._total = total
        self._sign = sign
        self._done = 0

    def __call__(self, line: str) -> None:
        if line.startswith(self._sign) if self._sign else " " not in line:
            self._done += 1
            self._tell(self._done, self._total)


def _module(version: str, store: Store) -> Module | None:
    """The version's module, without asking anybody."""
    return pinned() if version == pinned().version else resolved(version, store.folder)


def _source(version: str, platform: str, go: Toolchain, module: Module) -> Source:
    return Source(version=version, platform=platform, go=go.builds(module.go), module=module.fingerprint)


def _build(
    version: str, platform: str, store: Store, found: Toolchain, workshop: Path, watch: Watch
) -> Built:
    purpose = f"BuildKit {version} for {platform}"
    module = _module(version, store)
    if module and (built := store.find(_source(version, platform, found, module))):
        return built  # another run has built it, while this one waited
    go = prepare(found, store, purpose, go_environment(platform), watch)
    if module is None:
        with stage(watch, "build-resolve", f"ask which Go modules BuildKit {version} needs"):
            vouching = database(found.chosen.get("GOSUMDB", "")).split("+")[0].split()[0]
            module = resolve(version, store.folder, workshop, go, database=vouching)
    place = workshop / "build"
    module.write(place)
    programs = compile_commands(go, place, version, watch)
    with stage(watch, "build-pack", f"pack {purpose}"):
        pack(workshop / "archive", programs)
    return store.keep(_source(version, platform, found, module), module.vouched, workshop / "archive")
