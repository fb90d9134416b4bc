"""A registry with a password, over TLS of its own authority, and a build for it: what the pipeline is typed against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bcrypt

from tests.lab import authority
from tests.lab.programs import hello
from tests.lab.registry import Registry

USER: Final = "ci"
PASSWORD: Final = "p w$'\"x"
DOCKERFILE: Final = """\
FROM scratch
ARG TARGETARCH
COPY hello-$TARGETARCH /bin/hello
ENTRYPOINT ["/bin/hello"]
"""


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """The registry, and the certificate of its authority."""

    registry: Registry
    authority: Path

    @property
    def address(self) -> str:
        return self.registry.address


@contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    """It lets `USER` in with `PASSWORD`, and nobody else."""
    root, certificate = authority.make(folder)
    coded = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{coded}\n")
    auth = {"htpasswd": {"realm": "lab", "path": str(folder / "htpasswd")}}
    with Registry(auth=auth, tls=(certificate.certificate, certificate.key)) as registry:
        yield Guarded(registry=registry, authority=root)


def context() -> dict[str, bytes]:
    """The files of a build for amd64 and arm64."""
    programs = {f"hello-{name}": hello(name).read_bytes() for name in ("amd64", "arm64")}
    return {"Dockerfile": DOCKERFILE.encode(), **programs}
