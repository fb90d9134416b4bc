"""Small images, right but for what a test changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from provision import elf
from provision.architectures import of_platform
from tests.lab.images import Blob, Descriptor, File, Repository, layer

AMD64: Final = "linux/amd64"
ARM64: Final = "linux/arm64"
ARMV7: Final = "linux/arm/v7"
ARMV6: Final = "linux/arm/v6"
RUN: Final[Mapping[str, Any]] = {"Entrypoint": ["/app"]}


def program(platform: str) -> File:
    return File(content=elf.probe(of_platform(platform)))


def static(repository: Repository, platform: str, **changes: Any) -> Descriptor:
    """A right image of one static program."""
    return repository.image([layer({"app": program(platform)})], platform=platform, run=RUN, **changes)


def index(repository: Repository, **entries: Descriptor) -> str:
    """An index of images under `latest`; keywords are amd64, arm64, armv7."""
    names = {"amd64": AMD64, "arm64": ARM64, "armv7": ARMV7}
    repository.index([(names[name], entry) for name, entry in entries.items()], "latest")
    return repository.reference("latest")


def one(repository: Repository, layers: Sequence[Blob], **changes: Any) -> str:
    """An index of one image for arm64."""
    changes = {"platform": ARM64, "run": RUN, **changes}
    return index(repository, arm64=repository.image(layers, **changes))


def attestation(repository: Repository, about: str) -> dict[str, Any]:
    config = repository.blob(b"{}", "application/vnd.oci.empty.v1+json")
    statement = repository.blob(b'{"_type": "x"}', "application/vnd.in-toto+json")
    made = repository.document(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.plain(),
            "layers": [statement.plain()],
        }
    )
    notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about}
    unknown = {"os": "unknown", "architecture": "unknown"}
    return {**made.plain(), "annotations": notes, "platform": unknown}


def of_entries(repository: Repository, *entries: Mapping[str, Any]) -> str:
    kind = "application/vnd.oci.image.index.v1+json"
    repository.document({"schemaVersion": 2, "mediaType": kind, "manifests": list(entries)}, "latest")
    return repository.reference("latest")


def entry(image: Descriptor, architecture: str) -> dict[str, Any]:
    return {**image.plain(), "platform": {"os": "linux", "architecture": architecture}}
