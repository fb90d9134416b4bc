"""Indexes, manifests and configurations as typed values (OCI image-spec 1.1; Docker's image manifest 2, schema 2).

What a registry sends is judged as hostile: FaultError for what cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provision.architectures import normalise
from provision.images.faults import FaultError
from provision.registry.reference import is_digest

INDEXES: Final = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFESTS: Final = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1"
_CONFIGURATIONS: Final = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)
_LAYERS: Final = tuple(
    f"application/vnd.{kind}"
    for kind in (
        "oci.image.layer.v1.tar",
        "oci.image.layer.nondistributable.v1.tar",
        "docker.image.rootfs.diff.tar",
        "docker.image.rootfs.foreign.diff.tar",
    )
)
_PACKINGS: Final = ("", "+gzip", "+zstd", ".gzip", ".zstd")
_UNKNOWN: Final = "unknown/unknown"
_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_REFERENCE_DIGEST: Final = "vnd.docker.reference.digest"


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """One document or blob that another one names."""

    media_type: str
    digest: str
    size: int
    platform: str = ""
    """Canonical; empty where the descriptor names none."""
    about: str = ""
    """Of an attestation: the digest of the image that it is about."""
    attestation: bool = False
    artifact: bool = False
    """It is no image: a signature, a list of software, anything else."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """The entries of an index, in its order."""

    entries: tuple[Descriptor, ...]

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """Those that are images."""
        return tuple(
            each
            for each in self.entries
            if each.media_type in MANIFESTS and not each.attestation and not each.artifact
        )

    @property
    def attestations(self) -> tuple[Descriptor, ...]:
        """Those that say something about an image."""
        return tuple(each for each in self.entries if each.attestation)

    @property
    def strange(self) -> tuple[Descriptor, ...]:
        """Those that are neither images nor known to be something else."""
        return tuple(each for each in self.entries if each.media_type not in MANIFESTS and not each.artifact)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One image: its configuration, and its layers, oldest first."""

    configuration: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What an image says about itself."""

    platform: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    diff_ids: tuple[str, ...] = ()


def document(data: bytes, media_type: str) -> Index | Manifest:
    """An index or a manifest, by what it says it is. `media_type` is what the registry calls it."""
    values = _object(data, "the manifest")
    kind = values.get("mediaType") or media_type
    if not isinstance(kind, str):
        raise FaultError("content-malformed", "its mediaType is no word")
    if kind.startswith(_SCHEMA_1) or values.get("schemaVersion") == 1:
        raise FaultError(
            "content-malformed", "the manifest is of Docker's schema 1, which today's clients refuse"
        )
    both = "manifests" in values and ("layers" in values or "config" in values)
    if both:  # CVE-2021-41190: what it is depends on who reads it
        raise FaultError("content-malformed", "it is an index and a manifest at once")
    if kind in INDEXES or (kind not in MANIFESTS and "manifests" in values):
        return Index(entries=tuple(_descriptor(each) for each in _list(values, "manifests")))
    if kind in MANIFESTS or "layers" in values:
        return Manifest(
            configuration=_descriptor(values.get("config")),
            layers=tuple(_descriptor(each) for each in _list(values, "layers")),
        )
    raise FaultError("content-malformed", f"it is neither an index nor a manifest: {kind[:100]}")


def is_image(manifest: Manifest) -> bool:
    """Whether it has the configuration of an image, and is no artifact."""
    return manifest.configuration.media_type in _CONFIGURATIONS


def is_readable(layer: Descriptor) -> bool:
    """Whether the layer is of a known kind: encrypted ones are not."""
    return any(layer.media_type == f"{kind}{packing}" for kind in _LAYERS for packing in _PACKINGS)


def configuration(data: bytes) -> Configuration:
    """The configuration of an image."""
    values = _object(data, "the configuration")
    run = values.get("config") or {}
    root = values.get("rootfs")
    if not isinstance(run, dict) or not isinstance(root, dict):
        raise FaultError(
            "content-malformed", "the configuration has no rootfs, or a config that is no object"
        )
    variables = (each.partition("=") for each in _words(run, "Env"))
    return Configuration(
        platform=_platform(values),
        entrypoint=_words(run, "Entrypoint"),
        command=_words(run, "Cmd"),
        environment={name: value for name, _, value in variables},
        folder=str(run.get("WorkingDir") or "/"),
        diff_ids=_words(root, "diff_ids"),
    )


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FaultError("content-malformed", f"{what} is no JSON: {str(error)[:100]}") from error
    if not isinstance(values, dict):
        raise FaultError("content-malformed", f"{what} is no JSON object")
    return values


def _list(values: Mapping[str, Any], key: str) -> list[Any]:
    found = values.get(key)
    if not isinstance(found, list):
        raise FaultError("content-malformed", f"its {key} is no list")
    return found


def _words(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = values.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise FaultError("content-malformed", f"its {key} is no list of words")
    return tuple(found)


def _platform(values: Mapping[str, Any]) -> str:
    """Empty if it names none."""
    words = [values.get(key) or "" for key in ("os", "architecture", "variant")]
    if not all(isinstance(word, str) and len(word) <= 100 for word in words):
        raise FaultError("content-malformed", "its platform is no three words")
    system, architecture, variant = words
    return normalise(system, architecture, variant) if system or architecture else ""


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise FaultError("content-malformed", "a descriptor is no JSON object")
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_digest(digest) or not isinstance(size, int) or size < 0:
        raise FaultError("content-malformed", "a descriptor has no digest or no size")
    notes = value.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    place = value.get("platform")
    platform = _platform(place) if isinstance(place, dict) else ""
    attestation = notes.get(_REFERENCE_TYPE) == "attestation-manifest"
    return Descriptor(
        media_type=str(value.get("mediaType") or ""),
        digest=digest,
        size=size,
        platform=platform,
        about=str(notes.get(_REFERENCE_DIGEST) or "") if attestation else "",
        attestation=attestation,
        artifact=not attestation and (platform == _UNKNOWN or bool(value.get("artifactType"))),
    )
