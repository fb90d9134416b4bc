"""What a name in a registry leads to: an index with its images, or one image; manifests and configurations only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from provision.images.content import digest, fetch_configuration, fetch_manifest
from provision.images.faults import FaultError, finding
from provision.images.manifest import (
    Configuration,
    Descriptor,
    Index,
    Manifest,
    configuration,
    document,
    is_image,
)
from provision.registry.client import Client
from provision.registry.reference import Reference
from provision.result import Finding


@dataclass(frozen=True, kw_only=True)
class Image:
    """One platform: its manifest and configuration were read."""

    platform: str
    """As the index says, else the configuration."""
    digest: str
    manifest: Manifest
    configuration: Configuration
    attestations: int = 0


@dataclass(kw_only=True)
class Listing:
    """What was found. `findings` are about the index and what it names."""

    digest: str
    """Of what the name leads to."""
    images: list[Image] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def note(self, name: str, evidence: str, platform: str | None = None) -> None:
        """Adds a finding."""
        self.findings.append(finding(name, evidence, platform))


def listing(client: Client, reference: Reference, wanted: Sequence[str] | None) -> Listing:
    """The images behind a name, compared with the platforms that are wanted, if any are.

    Raises RegistryError, RegistrySilentError where nothing can be read.
    """
    first = client.manifest(reference.target)
    found = Listing(digest=digest(first.data, reference.digest or "sha256:"))
    if reference.digest and found.digest != reference.digest:
        found.note("content-digest", f"manifest {reference.digest} is {found.digest}")
        return found
    try:
        top = document(first.data, first.media_type)
        if isinstance(top, Index):
            _entries(client, found, top)
        else:
            _single(client, found, top)
    except FaultError as fault:
        found.note(fault.name, fault.evidence)
    else:
        _compare(found, wanted)
    return found


def _single(client: Client, found: Listing, manifest: Manifest) -> None:
    """An image that stands for itself."""
    if not is_image(manifest):
        kind = manifest.configuration.media_type[:100]
        raise FaultError("content-malformed", f"it is an artifact ({kind}), no image")
    image = _image(client, found, found.digest, manifest, "")
    found.images.append(image)
    found.note("index-missing", f"the name leads to the image of {image.platform} itself")


def _entries(client: Client, found: Listing, index: Index) -> None:
    """The images of an index that can be read. What is wrong with the others is noted."""
    for each in index.strange:
        found.note("index-entry", f"{each.digest} is of type {each.media_type[:100] or '(none)'}")
    if not index.images:
        found.note("index-empty", "the index names no image")
    names = {each.digest for each in index.images}
    about = Counter(each.about for each in index.attestations)
    for each in index.attestations:
        _attestation(client, found, each, known=each.about in names)
    for each in index.images:
        image = _entry(client, found, each)
        if image:
            found.images.append(replace(image, attestations=about[each.digest]))


def _attestation(client: Client, found: Listing, entry: Descriptor, *, known: bool) -> None:
    if not known:
        found.note("attestation-orphan", f"{entry.digest} is about {entry.about or 'nothing'}")
    try:
        fetch_manifest(client, entry)
    except FaultError as fault:
        found.note(fault.name, f"attestation: {fault.evidence}")


def _entry(client: Client, found: Listing, entry: Descriptor) -> Image | None:
    """None for an artifact, and for what cannot be read, which is noted."""
    try:
        manifest = document(fetch_manifest(client, entry).data, entry.media_type)
        if isinstance(manifest, Manifest) and is_image(manifest):
            return _image(client, found, entry.digest, manifest, entry.platform)
    except FaultError as fault:
        found.note(fault.name, fault.evidence, entry.platform or None)
    return None


def _image(client: Client, found: Listing, own: str, manifest: Manifest, platform: str) -> Image:
    """`platform` is the index's word. Raises FaultError."""
    settings = configuration(fetch_configuration(client, manifest.configuration))
    if not settings.platform and not platform:
        raise FaultError("content-malformed", "neither the index nor the configuration names a platform")
    if settings.platform and platform and settings.platform != platform:
        evidence = f"the index says {platform}, the configuration {settings.platform}"
        found.note("platform-differs", evidence, platform)
    return Image(
        platform=platform or settings.platform, digest=own, manifest=manifest, configuration=settings
    )


def _compare(found: Listing, wanted: Sequence[str] | None) -> None:
    """With what is wanted. An image that cannot be read is not missing: it has its own finding."""
    there = [image.platform for image in found.images]
    for platform, number in Counter(there).items():
        if number > 1:
            found.note("platform-twice", f"{number} entries are for {platform}", platform)
    if wanted is None:
        return
    unread = {each.platform for each in found.findings}
    for platform in wanted:
        if platform not in there and platform not in unread:
            found.note(
                "platform-missing", f"the image has {', '.join(dict.fromkeys(there)) or 'none'}", platform
            )
    for platform in dict.fromkeys(there):
        if platform not in wanted:
            found.note("platform-unwanted", f"wanted are {', '.join(wanted)}", platform)
