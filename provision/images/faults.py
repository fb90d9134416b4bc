"""Every fault of an image by its id, which never changes. docs/verify.md lists the same ids (a test compares them)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from provision.fix import Fix
from provision.result import Finding, Severity


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a kind of fault leads to and what to do about it. What was seen is each finding's own."""

    severity: Severity
    consequence: str
    fix: str


_PUSH: Final = "push the image again; if that does not help, look at the registry's storage"
_BUILD: Final = "build the image again for this platform: buildctl build --opt platform={platform} …"
_COPY: Final = "copy it into the image, or choose a base image that has it"

FAULTS: Final[Mapping[str, Fault]] = {
    # the index
    "index-missing": Fault(
        severity="info",
        consequence="one image and no index: machines of any platform pull it, and start it or not",
        fix="buildctl build --opt multi-platform=true … pushes an index for one platform, too",
    ),
    "index-empty": Fault(
        severity="error",
        consequence="nobody can pull an image from it",
        fix="build and push the image again",
    ),
    "index-entry": Fault(
        severity="warning",
        consequence="clients ignore it or fail",
        fix="remove it from the index, or push what it stands for as an artifact",
    ),
    "platform-missing": Fault(
        severity="error",
        consequence="machines of this platform cannot pull the image",
        fix="build for it as well: buildctl build --opt platform=…,{platform} …",
    ),
    "platform-unwanted": Fault(
        severity="warning",
        consequence="the image has more than was asked for",
        fix="leave it out of the build's platforms, or add {platform} to `platforms`",
    ),
    "platform-twice": Fault(
        severity="warning",
        consequence="clients take one of them, not all the same one",
        fix="build and push the image again, with each platform once",
    ),
    "platform-differs": Fault(
        severity="error",
        consequence="machines of {platform} pull an image that is for others, or says so",
        fix=_BUILD,
    ),
    "attestation-orphan": Fault(
        severity="warning",
        consequence="nothing finds this attestation: it is about an image that the index does not hold",
        fix="build and push the image again, with its attestations",
    ),
    # what the registry holds
    "content-missing": Fault(
        severity="error", consequence="pulls fail: the registry does not have it", fix=_PUSH
    ),
    "content-digest": Fault(
        severity="error",
        consequence="pulls fail: clients refuse content that is not that of its digest",
        fix=_PUSH,
    ),
    "content-size": Fault(
        severity="error",
        consequence="pulls fail: clients refuse content of another size than announced",
        fix=_PUSH,
    ),
    "content-malformed": Fault(
        severity="error", consequence="clients cannot read it", fix="build and push the image again"
    ),
    # layers
    "layer-damaged": Fault(
        severity="error",
        consequence="pulls fail while the layer is unpacked",
        fix="build and push the image again",
    ),
    "layer-hostile": Fault(
        severity="error",
        consequence="it may fill the disk of the machine that unpacks it, or write where it should not; "
        "the rest of the image was not read",
        fix="do not run this image before you know who built it",
    ),
    "layer-diff-id": Fault(
        severity="error",
        consequence="pulls fail after the download: the layers are not those that the configuration names",
        fix="build and push the image again",
    ),
    "layer-unread": Fault(
        severity="warning",
        consequence="what is in it is not known, so this platform's programs were not checked",
        fix="look at it with the tool that made it",
    ),
    # what the image starts
    "entrypoint-none": Fault(
        severity="info",
        consequence="the image starts only with a command given",
        fix="write ENTRYPOINT or CMD into the Dockerfile, if it is to start by itself",
    ),
    "entrypoint-missing": Fault(
        severity="error",
        consequence="containers fail to start: no such file or directory",
        fix="correct ENTRYPOINT or CMD, or copy the program into the image",
    ),
    "entrypoint-links": Fault(
        severity="error",
        consequence="containers fail to start: too many levels of symbolic links",
        fix="correct the links in the image",
    ),
    "entrypoint-mode": Fault(
        severity="error",
        consequence="containers fail to start: permission denied",
        fix="COPY --chmod=755 … in the Dockerfile, or chmod before the build",
    ),
    "entrypoint-format": Fault(
        severity="error",
        consequence="containers fail to start: exec format error",
        fix="give a script its first line, such as #!/bin/sh, or copy the program again",
    ),
    "entrypoint-architecture": Fault(
        severity="error",
        consequence="containers fail to start: exec format error",
        fix="compile for the target: ARG TARGETARCH in the Dockerfile, or let the stage run on its platform",
    ),
    "interpreter-missing": Fault(
        severity="error",
        consequence="containers fail to start: no such file or directory, which names the script",
        fix=_COPY,
    ),
    "loader-missing": Fault(
        severity="error",
        consequence="containers fail to start: no such file or directory, which names the program",
        fix="link it statically (CGO_ENABLED=0, musl), or choose a base image with this loader",
    ),
    "library-missing": Fault(
        severity="error",
        consequence="containers fail to start: cannot open shared object file",
        fix=_COPY,
    ),
    "foreign-files": Fault(
        severity="warning",
        consequence="they fail when they are started or loaded",
        fix="copy those of {platform}; a build stage that runs on another platform may have made them",
    ),
    "platform-unknown": Fault(
        severity="info",
        consequence="its programs were not checked",
        fix="none needed, if the platform is meant",
    ),
}


class FaultError(Exception):
    """A fault that ends the reading of something: it becomes a finding."""

    def __init__(self, name: str, evidence: str) -> None:
        super().__init__(f"{name}: {evidence}")
        self.name = name
        self.evidence = evidence


def finding(name: str, evidence: str, platform: str | None = None) -> Finding:
    """A finding with an id of the table. Raises KeyError for another: a defect, which tests find."""
    fault = FAULTS[name]
    return Finding(
        id=name,
        severity=fault.severity,
        platform=platform,
        evidence=evidence,
        consequence=fault.consequence.replace("{platform}", platform or "this platform"),
        fix=Fix(words=fault.fix.replace("{platform}", platform or "PLATFORM")),
    )
