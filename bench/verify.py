"""What `verify` costs with large layers, beside `skopeo inspect` and `skopeo copy` of the same images.

Needs docker-registry, skopeo and zstd, and 4 GB in the folder for temporary files. Ends with 1 if a target is missed.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bench.lab import measure
from bench.lab.measure import Cost
from provision import elf
from provision.architectures import of_platform
from tests.lab.cli import COMMAND
from tests.lab.images import OCI_LAYER, Blob, File, Repository, archive, layer, sha256
from tests.lab.registry import Registry

GIGABYTE: Final = 1 << 30
NOISE: Final = 256 << 20
FILES: Final = 200_000
MOST_MEMORY: Final = 150e6


def packed(pieces: Iterator[bytes], level: int) -> Blob:
    """A layer that is never whole in memory before it is packed."""
    pack = zlib.compressobj(level, zlib.DEFLATED, 31)
    total, out = hashlib.sha256(), []
    for piece in pieces:
        total.update(piece)
        out.append(pack.compress(piece))
    out.append(pack.flush())
    return Blob(data=b"".join(out), diff_id=f"sha256:{total.hexdigest()}")


def large(size: int, *, noise: bool) -> Iterator[bytes]:
    """An archive of one file, in pieces."""
    whole = archive({"large": File()})
    head = bytearray(whole[:512])
    head[124:136] = b"%011o\0" % size
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    yield bytes(head)
    piece = 1 << 20
    for number in range(size // piece):
        yield random.Random(number).randbytes(piece) if noise else bytes(piece)
    yield bytes(10240)


def images(repository: Repository) -> Mapping[str, str]:
    """Pushes them; names by what is large about them."""
    app = layer({"app": File(content=elf.probe(of_platform("linux/amd64")))})
    run = {"Entrypoint": ["/app"]}
    plain = archive({f"srv/{n % 500}/{n}.txt": File(content=b"x", mode=0o644) for n in range(FILES)})
    noise = packed(large(NOISE, noise=True), 1)
    zstd = subprocess.run(
        ["zstd", "-q", "-c"], input=b"".join(large(GIGABYTE, noise=False)), capture_output=True, check=True
    ).stdout
    zeros = packed(large(GIGABYTE, noise=False), 6)
    layers = {
        "1 GiB of zeros, gzip": zeros,
        "1 GiB of zeros, zstd": Blob(data=zstd, media_type=f"{OCI_LAYER}+zstd", diff_id=zeros.diff_id),
        "256 MiB of noise, gzip": noise,
        f"{FILES} files, gzip": Blob(data=layer(plain).data, diff_id=sha256(plain)),
    }
    for number, each in enumerate(layers.values()):
        repository.image([each, app], run=run, tag=str(number))
    return {name: repository.reference(str(number)) for number, name in enumerate(layers)}


def main() -> int:
    rows: dict[str, Cost] = {}
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    with Registry() as registry, tempfile.TemporaryDirectory(prefix="bench-verify-") as place:
        folder = Path(place)
        names = images(Repository(address=registry.address, name="bench"))
        for title, name in names.items():
            here = {"HOME": place, **environment}
            commands = {
                "provision verify": [str(COMMAND), "verify", name],
                "skopeo inspect": ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"],
                "skopeo copy": [
                    "skopeo",
                    "copy",
                    "--src-tls-verify=false",
                    f"docker://{name}",
                    f"dir:{place}/copy",
                ],
            }
            for program, command in commands.items():
                rows[f"{program}, {title}"] = measure.run(command, folder=folder, environment=here, lines=())
    print("| | wall s | CPU s | MB |\n| --- | ---: | ---: | ---: |")
    for name, cost in rows.items():
        print(f"| {name} | {cost.wall:.2f} | {cost.processor:.2f} | {cost.memory / 1e6:.0f} |")
    most = max(cost.memory for name, cost in rows.items() if name.startswith("provision"))
    print(f"\nmost memory of provision: {most / 1e6:.0f} MB, promised: at most {MOST_MEMORY / 1e6:.0f}")
    return 0 if most <= MOST_MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
