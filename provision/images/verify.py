"""Is what was pushed what was meant? Reads an image from a registry, and judges every platform of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from provision.architectures import ARCHITECTURES
from provision.images.content import fetch_layer
from provision.images.entrypoint import Verdict, judge, name_of
from provision.images.faults import FaultError
from provision.images.layer import Layer
from provision.images.listing import Image, Listing, listing
from provision.images.manifest import Descriptor, is_readable
from provision.images.tree import NeedMoreError, Tree
from provision.registry.client import Client
from provision.registry.reference import Reference
from provision.result import SEVERITIES, Finding, ImageRow

Watch = Callable[[str, int, int], None]
"""Called with a platform, the bytes of its layers that came so far, and those that there are."""

_ROWS: Final = frozenset(row.name for row in ARCHITECTURES)
_NO_MACHINE: Final = frozenset({0, 247})
"""EM_NONE and EM_BPF: data, and programs for the kernel's own machine, are right everywhere."""
_SHOWN: Final = 5
_MOST_KEPT: Final = 200_000
"""Files of layers that are kept as another platform has them, too. What is more is read again."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is expected, and how thoroughly to look."""

    platforms: tuple[str, ...] | None = None
    """None: whatever there is."""
    quick: bool = False
    """Read only as many layers as it takes to judge what the image starts."""
    watch: Watch = lambda _platform, _done, _all: None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an image is like."""

    digest: str
    """Of what the tag names."""
    rows: tuple[ImageRow, ...]
    findings: tuple[Finding, ...]


@dataclass(kw_only=True)
class _Run:
    client: Client
    wish: Wish
    listing: Listing
    shared: Counter[str] = field(default_factory=Counter)
    """How often each layer will be wanted yet."""
    kept: dict[str, Layer] = field(default_factory=dict)


def verify(client: Client, reference: Reference, wish: Wish) -> Outcome:
    """Every fault of an image. Raises RegistryError, RegistrySilentError, UnpackError where it cannot be read."""
    found = listing(client, reference, wish.platforms)
    run = _Run(client=client, wish=wish, listing=found)
    wanted = [image for image in found.images if wish.platforms is None or image.platform in wish.platforms]
    run.shared.update(layer.digest for image in wanted for layer in image.manifest.layers)
    rows = tuple(_row(run, image, wanted=image in wanted) for image in found.images)
    worst_first = sorted(found.findings, key=lambda each: SEVERITIES.index(each.severity))
    return Outcome(digest=found.digest, rows=rows, findings=tuple(worst_first))


def _row(run: _Run, image: Image, *, wanted: bool) -> ImageRow:
    """What is said of a platform, after its layers have been read if they are to be."""
    verdict = _layers(run, image) if wanted else None
    return ImageRow(
        platform=image.platform,
        digest=image.digest,
        size=sum(each.size for each in image.manifest.layers),
        layers=len(image.manifest.layers),
        attestations=image.attestations,
        entrypoint=verdict.chain if verdict else (),
        libraries=verdict.libraries if verdict else None,
        checked=verdict is not None,
    )


def _layers(run: _Run, image: Image) -> Verdict | None:
    """Reads the layers and judges the programs in them; None if they could not be judged."""
    platform = image.configuration.platform or image.platform
    system, architecture = (*platform.split("/"), "")[:2]
    if system != "linux":
        return None
    strange = [each.media_type for each in image.manifest.layers if not is_readable(each)]
    if strange:
        run.listing.note("layer-unread", f"a layer is of type {strange[0][:100]}", image.platform)
        return None
    found = _read(run, image)
    if found is None:
        return None
    tree, verdict = found
    if architecture not in _ROWS:
        run.listing.note(
            "platform-unknown", f"{architecture} is not in the table of architectures", image.platform
        )
        return None
    run.listing.findings += [replace(each, platform=image.platform) for each in verdict.findings]
    foreign = _foreign(tree, architecture, verdict.named)
    if foreign:
        run.listing.note("foreign-files", foreign, image.platform)
    return verdict


def _read(run: _Run, image: Image) -> tuple[Tree, Verdict] | None:
    """The files of an image and the verdict on what it starts; None if a layer is not what it should be."""
    layers, ids = image.manifest.layers, image.configuration.diff_ids
    sound = len(layers) == len(ids)
    if not sound:
        evidence = f"there are {len(layers)} layers, and {len(ids)} diff_ids in the configuration"
        run.listing.note("layer-diff-id", evidence, image.platform)
    total, done = sum(each.size for each in layers), 0
    tree = Tree()

    def watch(came: int) -> None:
        nonlocal done
        done = min(done + came, total)
        run.wish.watch(image.platform, done, total)

    for number in reversed(range(len(layers))):
        verdict = _verdict(tree, image) if run.wish.quick and sound else None
        if verdict:
            return tree, verdict
        try:
            tree.add(_layer(run, layers[number], ids[number] if sound else "", watch))
        except FaultError as fault:
            run.listing.note(fault.name, fault.evidence, image.platform)
            sound = False
            if fault.name == "layer-hostile":
                return None
    tree.complete = True
    verdict = _verdict(tree, image) if sound else None
    return (tree, verdict) if verdict else None


def _verdict(tree: Tree, image: Image) -> Verdict | None:
    """None if older layers are needed."""
    try:
        return judge(tree, image.configuration, image.configuration.platform or image.platform)
    except NeedMoreError:
        return None


def _layer(run: _Run, wanted: Descriptor, diff_id: str, watch: Callable[[int], None]) -> Layer:
    """The layer, read once however many images share it. Raises FaultError."""
    run.shared[wanted.digest] -= 1
    if wanted.digest in run.kept:
        watch(wanted.size)
    layer = run.kept.pop(wanted.digest, None) or fetch_layer(run.client, wanted, watch)
    if run.shared[wanted.digest] and _room(run, layer):
        run.kept[wanted.digest] = layer
    if diff_id not in ("", layer.diff_id):
        raise FaultError("layer-diff-id", f"layer {wanted.digest} unpacks to {layer.diff_id}, not {diff_id}")
    return layer


def _room(run: _Run, layer: Layer) -> bool:
    return sum(len(each.entries) for each in (*run.kept.values(), layer)) <= _MOST_KEPT


def _foreign(tree: Tree, architecture: str, named: frozenset[str]) -> str:
    """The ELF files of other architectures, apart from those that a finding has named."""
    groups: dict[str, list[str]] = {}
    for path, entry in tree.items():
        program = entry.program
        if program is None or program.machine in _NO_MACHINE or f"/{path}" in named:
            continue
        name = name_of(program)
        if name != architecture:
            groups.setdefault(name, []).append(f"/{path}")
    return "; ".join(_listed(name, sorted(paths)) for name, paths in sorted(groups.items()))


def _listed(name: str, paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    files = "file" if len(paths) == 1 else "files"
    return f"{len(paths)} {files} of {name}: {', '.join(paths[:_SHOWN])}{more}"
