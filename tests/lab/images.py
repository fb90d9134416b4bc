"""Images made by hand, as right or as wrong as a test wants them, and pushed over the registry's own protocol."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class File:
    """One member of a layer."""

    content: bytes = b""
    mode: int = 0o755
    link: str | None = None
    hard: str | None = None
    folder: bool = False


def archive(files: Mapping[str, File]) -> bytes:
    """A tar archive with these members, in this order."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, file in files.items():
            member = tarfile.TarInfo(name)
            member.mode = file.mode
            if file.link is not None:
                member.type, member.linkname = tarfile.SYMTYPE, file.link
            elif file.hard is not None:
                member.type, member.linkname = tarfile.LNKTYPE, file.hard
            elif file.folder:
                member.type = tarfile.DIRTYPE
            member.size = len(file.content)
            made.addfile(member, io.BytesIO(file.content))
    return target.getvalue()


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A layer: its bytes as pushed, its type, and the digest of what is in it."""

    data: bytes
    media_type: str = f"{OCI_LAYER}+gzip"
    diff_id: str


def layer(files: Mapping[str, File] | bytes, *, docker: bool = False) -> Blob:
    """Packed with gzip."""
    plain = files if isinstance(files, bytes) else archive(files)
    kind = f"{DOCKER_LAYER}.gzip" if docker else f"{OCI_LAYER}+gzip"
    return Blob(data=gzip.compress(plain, 1, mtime=0), media_type=kind, diff_id=sha256(plain))


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """Of something pushed."""

    media_type: str
    digest: str
    size: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **self.extra}


def described(platform: str) -> dict[str, str]:
    """`linux/arm/v7` as an index has it."""
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of a registry on loopback, over plain HTTP; `headers` may hold a login."""

    address: str
    name: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def reference(self, tag: str) -> str:
        return f"{self.address}/{self.name}:{tag}"

    def blob(self, data: bytes, media_type: str = "application/octet-stream") -> Descriptor:
        digest = sha256(data)
        begun = self._request("POST", f"http://{self.address}/v2/{self.name}/blobs/uploads/", b"")
        place = urllib.parse.urljoin(f"http://{self.address}", begun["Location"])
        mark = "&" if "?" in place else "?"
        self._request(
            "PUT", f"{place}{mark}digest={digest}", data, {"Content-Type": "application/octet-stream"}
        )
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    def document(self, values: Mapping[str, Any], tag: str = "") -> Descriptor:
        """A manifest or an index, under a tag or its digest."""
        data = json.dumps(values).encode()
        digest, kind = sha256(data), str(values["mediaType"])
        url = f"http://{self.address}/v2/{self.name}/manifests/{tag or digest}"
        self._request("PUT", url, data, {"Content-Type": kind})
        return Descriptor(media_type=kind, digest=digest, size=len(data))

    def image(
        self,
        layers: Sequence[Blob],
        *,
        platform: str = "linux/amd64",
        run: Mapping[str, Any] | None = None,
        diff_ids: Sequence[str] | None = None,
        tag: str = "",
        docker: bool = False,
    ) -> Descriptor:
        """A manifest with its configuration and layers, oldest first."""
        config = {
            **described(platform),
            "config": dict(run or {}),
            "rootfs": {
                "type": "layers",
                "diff_ids": [each.diff_id for each in layers] if diff_ids is None else list(diff_ids),
            },
        }
        kind = DOCKER_CONFIG if docker else OCI_CONFIG
        values = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
            "config": self.blob(json.dumps(config).encode(), kind).plain(),
            "layers": [self.blob(each.data, each.media_type).plain() for each in layers],
        }
        return self.document(values, tag)

    def index(
        self, entries: Iterable[tuple[str, Descriptor]], tag: str, *, docker: bool = False
    ) -> Descriptor:
        """An index of images by platform; an entry of platform "" says none."""
        manifests = [
            {**entry.plain(), **({"platform": described(platform)} if platform else {})}
            for platform, entry in entries
        ]
        kind = DOCKER_INDEX if docker else OCI_INDEX
        return self.document({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}, tag)

    def _request(
        self, method: str, url: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        request = urllib.request.Request(  # noqa: S310 - http to loopback
            url, data=data, method=method, headers={**self.headers, **(headers or {})}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return dict(answer.headers)
