"""A container registry on loopback (Debian's docker-registry), and skopeo to see what is in it."""

from __future__ import annotations

import json
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab.nspawn import free_port

START_SECONDS = 20


class Registry:
    """`with Registry() as registry:` serves `registry.address` over plain HTTP, and is empty at first.

    `auth` is that section of its configuration; `tls` are files of a certificate and its key.
    """

    def __init__(
        self, *, auth: Mapping[str, Any] | None = None, tls: tuple[Path, Path] | None = None
    ) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._auth = auth
        self._tls = tls
        self._folder = tempfile.TemporaryDirectory(prefix="lab-registry-")
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Registry:
        folder = Path(self._folder.name)
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
            "http": {"addr": self.address},
        }
        if self._auth:
            settings["auth"] = self._auth
        if self._tls:
            certificate, key = map(str, self._tls)
            settings["http"] = {"addr": self.address, "tls": {"certificate": certificate, "key": key}}
        # JSON is YAML, and needs no library here.
        (folder / "config.yml").write_text(json.dumps(settings))
        with (folder / "log").open("wb") as log:
            command = ["docker-registry", "serve", str(folder / "config.yml")]
            self._server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self._wait(folder / "log")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def stored(self, digest: str) -> Path:
        """The file that holds the blob or manifest of this digest: what is written there is what is served."""
        hexadecimal = digest.removeprefix("sha256:")
        place = f"docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
        return Path(self._folder.name) / "blobs" / place

    @property
    def size(self) -> int:
        """Bytes of all that is stored."""
        blobs = Path(self._folder.name) / "blobs"
        return sum(path.stat().st_size for path in blobs.rglob("data"))

    def inspect(self, image: str) -> Any:
        """The manifest or index of `name:tag` or `name@digest`, as another program sees it."""
        return json.loads(_skopeo("inspect", "--tls-verify=false", "--raw", self._reference(image)))

    def platforms(self, image: str) -> list[str]:
        """The platforms of the index `image`, in its order. Raises KeyError if it is no index."""
        return [_platform(entry["platform"]) for entry in self.inspect(image)["manifests"]]

    def files(self, image: str, platform: str) -> dict[str, bytes]:
        """The files in the image of one platform, by path without a leading slash; later layers win."""
        index = self.inspect(image)["manifests"]
        (digest,) = (one["digest"] for one in index if _platform(one["platform"]) == platform)
        found: dict[str, bytes] = {}
        with tempfile.TemporaryDirectory(prefix="lab-image-") as folder:
            name = image.rsplit(":", 1)[0]
            _skopeo("copy", "--src-tls-verify=false", self._reference(f"{name}@{digest}"), f"dir:{folder}")
            manifest = json.loads((Path(folder) / "manifest.json").read_text())
            for layer in manifest["layers"]:
                found.update(_unpack(Path(folder) / layer["digest"].removeprefix("sha256:")))
        return found

    def _reference(self, image: str) -> str:
        return f"docker://{self.address}/{image}"

    def _wait(self, log: Path) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", int(self.address.rpartition(":")[2])), 2):
                    return
            except OSError:  # noqa: PERF203 - asked until it answers
                if (self._server and self._server.poll() is not None) or time.monotonic() > end:
                    raise RuntimeError(f"docker-registry did not start:\n{log.read_text()}") from None
                time.sleep(0.05)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
        self._folder.cleanup()


def _platform(entry: dict[str, str]) -> str:
    parts = [entry["os"], entry["architecture"], entry.get("variant", "")]
    return "/".join(part for part in parts if part)


def _unpack(layer: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(layer) as archive:
        for member in archive:
            if member.isfile() and (content := archive.extractfile(member)):
                found[member.name.removeprefix("./")] = content.read()
    return found


def _skopeo(*arguments: str) -> str:
    command = ["skopeo", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout
