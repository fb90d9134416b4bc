"""Documents of hostile registries: whatever is in them, they are read, or are a fault."""

from __future__ import annotations

import json

import pytest

from provision.images import manifest
from provision.images.faults import FaultError

DIGEST = f"sha256:{'a' * 64}"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    "values",
    [
        [],
        {},
        {"mediaType": ["x"]},
        {"mediaType": {"a": 1}, "layers": []},
        {"mediaType": 5},
        {"mediaType": INDEX},
        {"mediaType": INDEX, "manifests": [3]},
        {"mediaType": INDEX, "manifests": [{"digest": DIGEST, "size": -1}]},
        {"mediaType": INDEX, "manifests": [{"digest": "sha256:../x", "size": 1}]},
        {"mediaType": INDEX, "manifests": [{"digest": DIGEST, "size": 1, "platform": {"os": [1]}}]},
        {"mediaType": INDEX, "manifests": [], "layers": []},
        {"schemaVersion": 1, "layers": []},
    ],
    ids=json.dumps,
)
def test_a_document_that_cannot_be_read(values: object) -> None:
    with pytest.raises(FaultError) as caught:
        manifest.document(json.dumps(values).encode(), "")
    assert caught.value.name == "content-malformed"


@pytest.mark.parametrize("text", ["[" * 3000, "{", "\xff", '{"size": ' + "9" * 5000 + "}"], ids=len)
def test_a_text_that_is_no_document(text: str) -> None:
    for read in (lambda data: manifest.document(data, INDEX), manifest.configuration):
        with pytest.raises(FaultError):
            read(text.encode("latin-1"))


@pytest.mark.parametrize(
    "values",
    [
        {"rootfs": []},
        {"rootfs": {"diff_ids": [1]}},
        {"rootfs": {}, "config": {"Env": [1]}},
        {"rootfs": {}, "config": {"Entrypoint": "/app"}},
        {"rootfs": {}, "os": {"a": 1}},
        {"rootfs": {}, "os": "linux", "architecture": "x" * 101},
    ],
    ids=json.dumps,
)
def test_a_configuration_that_cannot_be_read(values: object) -> None:
    with pytest.raises(FaultError):
        manifest.configuration(json.dumps(values).encode())
