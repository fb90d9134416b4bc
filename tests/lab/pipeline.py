"""The pipeline that the product was made for: one `buildctl build` for three platforms that pushes one index."""

from __future__ import annotations

from typing import Final

from tests.lab.registry import Registry

DEBIAN: Final = {"amd64": "amd64", "arm64": "arm64", "arm": "armhf"}
"""Docker's TARGETARCH -> Debian's name of the architecture, whose busybox the image is made from."""
DOCKERFILE: Final = """\
FROM scratch
ARG TARGETARCH
ARG VERSION
ARG GITSHA
COPY busybox-$TARGETARCH /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox uname -m > /machine; echo $VERSION $GITSHA > /version"]
"""
MACHINES: Final = {"linux/amd64": b"x86_64", "linux/arm64": b"aarch64", "linux/arm/v7": b"armv7l"}
"""What `uname -m` says in a step of each platform."""


def build_command(target: str) -> str:
    """The command, in the folder of the context, that builds and pushes `target` (HOST:PORT/NAME:TAG)."""
    return (
        "buildctl build --progress=plain --frontend=dockerfile.v0 --local context=. --local dockerfile=."
        f" --opt filename=Dockerfile.demo --opt platform={','.join(MACHINES)}"
        " --opt build-arg:VERSION=1.0 --opt build-arg:GITSHA=abc123"
        f' --output type=image,"name={target}",push=true'
    )


def check_pushed(registry: Registry, image: str) -> None:
    """The index has the three platforms, and each step ran a program of its own platform."""
    assert registry.platforms(image) == list(MACHINES)
    for platform, machine in MACHINES.items():
        files = registry.files(image, platform)
        assert files["machine"].strip() == machine
        assert files["version"].strip() == b"1.0 abc123"
