"""Manifests, configurations and layers as the registry sends them, each checked against its descriptor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from provision.images import layer as layers
from provision.images.faults import FaultError
from provision.images.layer import Layer
from provision.images.manifest import Descriptor
from provision.images.streams import Content, Measured, drain
from provision.registry.client import Client, Document
from provision.registry.errors import AbsentError

Watch = Callable[[int], None]
"""Called with the number of bytes that just came."""

LARGEST_CONFIGURATION: Final = 8 << 20


def fetch_manifest(client: Client, wanted: Descriptor) -> Document:
    """A manifest that an index names. Raises FaultError if it is missing, or not the one."""
    try:
        found = client.manifest(wanted.digest)
    except AbsentError as error:
        raise FaultError("content-missing", f"manifest {wanted.digest}: {error.cause}") from error
    check("manifest", wanted, len(found.data), digest(found.data, wanted.digest))
    return found


def fetch_configuration(client: Client, wanted: Descriptor) -> bytes:
    """The configuration that a manifest names. Raises FaultError as `fetch_manifest`."""
    if wanted.size > LARGEST_CONFIGURATION:
        raise FaultError("content-malformed", f"the configuration claims {wanted.size} bytes")
    try:
        with client.blob(wanted.digest) as blob:
            data = Content(blob, wanted.size + 1).read(wanted.size + 1)
    except AbsentError as error:
        raise FaultError("content-missing", f"configuration {wanted.digest}: {error.cause}") from error
    check("configuration", wanted, len(data), digest(data, wanted.digest))
    return data


def fetch_layer(client: Client, wanted: Descriptor, watch: Watch) -> Layer:
    """A layer, read to its end. Raises FaultError; what is not the blob that was asked for comes first."""
    try:
        blob = client.blob(wanted.digest)
    except AbsentError as error:
        raise FaultError("content-missing", f"layer {wanted.digest}: {error.cause}") from error
    with blob:
        # One byte more than announced is enough to know that there is too much.
        packed = Measured(_Watched(Content(blob, wanted.size + 1), watch), _algorithm(wanted.digest))
        try:
            found = layers.read(packed)
        except FaultError as fault:
            if fault.name == "layer-damaged":
                drain(packed)
                check("layer", wanted, packed.size, packed.digest)
            raise FaultError(fault.name, f"layer {wanted.digest}: {fault.evidence}") from fault
        check("layer", wanted, packed.size, packed.digest)
    return found


class _Watched:
    def __init__(self, source: Content, watch: Watch) -> None:
        self._source = source
        self._watch = watch

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._watch(len(data))
        return data


def check(what: str, wanted: Descriptor, size: int, found: str) -> None:
    """Raises FaultError if size or digest differ."""
    if size != wanted.size:
        seen = f"more than {wanted.size}" if size > wanted.size else str(size)
        raise FaultError("content-size", f"{what} {wanted.digest} has {seen} bytes, not {wanted.size}")
    if found != wanted.digest:
        raise FaultError("content-digest", f"{what} {wanted.digest} is {found}")


def digest(data: bytes, like: str = "sha256:") -> str:
    """Of the data, by the same algorithm."""
    return f"{_algorithm(like)}:{hashlib.new(_algorithm(like), data).hexdigest()}"


def _algorithm(name: str) -> str:
    return name.partition(":")[0]
