"""Images in a real registry, right and wrong in one way each: exactly the finding of that way."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision import elf
from provision.architectures import of_platform
from provision.errors import UsageError
from provision.images import compression
from provision.images.faults import FAULTS
from provision.registry.client import Client
from provision.registry.errors import AbsentError, RegistrySilentError
from provision.spec import Registry
from tests.lab.cli import provision
from tests.lab.elves import dynamic
from tests.lab.images import Blob, File, Repository, archive, layer, sha256
from tests.unit.images.conftest import Check, ids
from tests.unit.images.made import (
    AMD64,
    ARM64,
    ARMV6,
    ARMV7,
    RUN,
    attestation,
    entry,
    index,
    of_entries,
    one,
    program,
    static,
)

pytestmark = pytest.mark.needs("docker-registry")


def test_a_right_image(repository: Repository, check: Check) -> None:
    name = index(repository, amd64=static(repository, AMD64), arm64=static(repository, ARM64))
    result = check(name, [ARM64, AMD64])
    assert (result.status, result.findings) == ("ok", ())
    assert [(row.platform, row.entrypoint, row.libraries, row.checked) for row in result.images] == [
        (AMD64, ("/app",), None, True),
        (ARM64, ("/app",), None, True),
    ]
    assert all(row.layers == 1 and row.size > 100 for row in result.images)
    assert result.notes[0].startswith(f"{name} is sha256:")


def test_by_digest(repository: Repository, check: Check) -> None:
    found = repository.index([(ARM64, static(repository, ARM64))], "latest")
    result = check(f"{repository.address}/{repository.name}@{found.digest}")
    assert (result.findings, result.notes) == ((), ())


def test_an_image_of_dockers_kind(repository: Repository, check: Check) -> None:
    data = layer({"app": program(ARM64)}, docker=True)
    image = repository.image([data], platform=ARM64, run=RUN, docker=True)
    repository.index([(ARM64, image)], "latest", docker=True)
    assert check(repository.reference("latest"), [ARM64]).findings == ()


def test_an_image_without_an_index(repository: Repository, check: Check) -> None:
    static(repository, ARM64, tag="latest")
    result = check(repository.reference("latest"), [ARM64])
    assert (result.status, ids(result)) == ("ok", [("index-missing", None)])
    assert result.images[0].checked


def test_platforms_missing_and_too_many(repository: Repository, check: Check) -> None:
    name = index(repository, amd64=static(repository, AMD64), arm64=static(repository, ARM64))
    result = check(name, [AMD64, ARMV7])
    assert ids(result) == [("platform-missing", ARMV7), ("platform-unwanted", ARM64)]
    assert result.status == "unhealthy"
    assert [row.checked for row in result.images] == [True, False]
    assert check(name, [AMD64], threshold="error").status == "ok"
    assert check(name).findings == ()


def test_the_configuration_names_the_platforms(repository: Repository, tmp_path: Path) -> None:
    name = index(repository, arm64=static(repository, ARM64))
    (tmp_path / "provision.toml").write_text('platforms = ["linux/arm64", "amd64"]\n')
    seen = provision("verify", name, "--format=json", cwd=tmp_path)
    assert seen.code == 5
    assert [(each["id"], each["platform"]) for each in seen.host["findings"]] == [
        ("platform-missing", AMD64)
    ]
    assert provision("verify", name, "--platforms", ARM64, cwd=tmp_path).code == 0


def test_a_platform_twice(repository: Repository, check: Check) -> None:
    images = [static(repository, ARM64), repository.image([], platform=ARM64)]
    repository.index([(ARM64, image) for image in images], "latest")
    assert ids(check(repository.reference("latest"))) == [
        ("platform-twice", ARM64),
        ("entrypoint-none", ARM64),
    ]


def test_the_program_of_another_architecture(repository: Repository, check: Check) -> None:
    """An arm64 image that holds an amd64 program: what nobody else tells."""
    name = one(repository, [layer({"app": program(AMD64)})])
    assert ids(check(name)) == [("entrypoint-architecture", ARM64)]


def test_swapped_manifests(repository: Repository, check: Check) -> None:
    name = index(repository, amd64=static(repository, ARM64), arm64=static(repository, AMD64))
    assert ids(check(name)) == [("platform-differs", AMD64), ("platform-differs", ARM64)]


def test_a_wrong_variant(repository: Repository, check: Check) -> None:
    name = index(repository, armv7=static(repository, ARMV6))
    result = check(name, [ARMV7])
    assert ids(result) == [("platform-differs", ARMV7)]
    assert result.findings[0].evidence == f"the index says {ARMV7}, the configuration {ARMV6}"


def test_variants_that_mean_the_same(repository: Repository, check: Check) -> None:
    v8 = static(repository, "linux/arm64/v8")
    assert check(index(repository, arm64=v8), [ARM64]).findings == ()


def test_an_entry_that_names_no_platform(repository: Repository, check: Check) -> None:
    repository.index([("", static(repository, ARM64))], "latest")
    assert check(repository.reference("latest"), [ARM64]).findings == ()


def test_a_missing_loader_and_a_missing_library(repository: Repository, check: Check) -> None:
    app = File(content=dynamic(ARM64, interpreter="/lib/ld-musl-aarch64.so.1", needed=("libx.so",)))
    assert ids(check(one(repository, [layer({"app": app})]))) == [("loader-missing", ARM64)]
    loader = layer({"lib/ld-musl-aarch64.so.1": File(content=dynamic(ARM64))})
    assert ids(check(one(repository, [loader, layer({"app": app})]))) == [("library-missing", ARM64)]
    library = layer({"usr/lib/libx.so": File(content=dynamic(ARM64))})
    result = check(one(repository, [loader, layer({"app": app}), library]))
    assert (result.findings, result.images[0].libraries) == ((), 1)


def test_foreign_files_are_one_warning(repository: Repository, check: Check) -> None:
    files = {f"opt/{number}": program(AMD64) for number in range(7)}
    files |= {"app": program(ARM64), "opt/arm": program(ARMV7), "opt/right": program(ARM64)}
    (finding,) = check(one(repository, [layer(files)])).findings
    assert (finding.id, finding.severity) == ("foreign-files", "warning")
    assert finding.evidence == (
        "7 files of amd64: /opt/0, /opt/1, /opt/2, /opt/3, /opt/4 and 2 more; 1 file of arm: /opt/arm"
    )


def test_foreign_files_that_a_newer_layer_took_away(repository: Repository, check: Check) -> None:
    old = layer({"opt/a": program(AMD64), "b": program(AMD64)})
    new = layer({"opt/.wh..wh..opq": File(), ".wh.b": File(), "app": program(ARM64)})
    assert check(one(repository, [old, new])).findings == ()


def test_programs_of_no_machine_are_not_foreign(repository: Repository, check: Check) -> None:
    bpf = bytearray(elf.probe(of_platform(ARM64)))
    bpf[18:20] = (247).to_bytes(2, "little")
    files = {"app": program(ARM64), "lib/prog.bpf.o": File(content=bytes(bpf))}
    assert check(one(repository, [layer(files)])).findings == ()


def test_a_file_that_is_named_by_one_finding_is_not_in_another(repository: Repository, check: Check) -> None:
    result = check(one(repository, [layer({"app": program(AMD64), "b": program(AMD64)})]))
    assert ids(result) == [("entrypoint-architecture", ARM64), ("foreign-files", ARM64)]
    assert result.findings[1].evidence == "1 file of amd64: /b"


def test_links_that_circle(repository: Repository, check: Check) -> None:
    data = layer({"app": File(link="b"), "b": File(link="app")})
    assert ids(check(one(repository, [data]))) == [("entrypoint-links", ARM64)]


def test_a_script_of_an_older_layer(repository: Repository, check: Check) -> None:
    old = layer(
        {"usr/bin/dash": program(ARM64), "bin": File(link="usr/bin"), "usr/bin/sh": File(link="dash")}
    )
    new = layer({"usr/local/bin/run": File(content=b"#!/bin/sh\n"), "app": File(link="usr/local/bin/run")})
    result = check(one(repository, [old, new]))
    assert result.findings == ()
    assert result.images[0].entrypoint == ("/usr/local/bin/run", "/usr/bin/dash")


@pytest.mark.needs("zstd")
def test_zstd(repository: Repository, check: Check) -> None:
    plain = archive({"app": program(ARM64)})
    data = subprocess.run(["zstd", "-c"], input=plain, capture_output=True, check=True).stdout
    kind = "application/vnd.oci.image.layer.v1.tar+zstd"
    assert check(one(repository, [Blob(data=data, media_type=kind, diff_id=sha256(plain))])).findings == ()


def test_a_plain_archive(repository: Repository, check: Check) -> None:
    plain = archive({"app": program(ARM64)})
    kind = "application/vnd.oci.image.layer.v1.tar"
    assert check(one(repository, [Blob(data=plain, media_type=kind, diff_id=sha256(plain))])).findings == ()


def test_an_encrypted_layer(repository: Repository, check: Check) -> None:
    data = replace(
        layer({"app": program(ARM64)}), media_type="application/vnd.oci.image.layer.v1.tar+gzip+encrypted"
    )
    result = check(one(repository, [data]))
    assert (ids(result), result.images[0].checked) == ([("layer-unread", ARM64)], False)


@pytest.mark.parametrize("run", [{}, {"Entrypoint": None, "Cmd": []}])
def test_nothing_to_start(repository: Repository, check: Check, run: Mapping[str, Any]) -> None:
    result = check(one(repository, [layer({"app": program(ARM64)})], run=run))
    assert (result.status, ids(result)) == ("ok", [("entrypoint-none", ARM64)])


def test_windows_is_left_alone(repository: Repository, check: Check) -> None:
    windows = repository.image(
        [layer({"x": File()})], platform="windows/amd64", run={"Entrypoint": ["c:\\x"]}
    )
    repository.index([(ARM64, static(repository, ARM64)), ("windows/amd64", windows)], "latest")
    result = check(repository.reference("latest"))
    assert result.findings == ()
    assert [row.checked for row in result.images] == [True, False]


def test_an_architecture_of_no_table(repository: Repository, check: Check) -> None:
    image = repository.image([layer({"app": program(ARM64)})], platform="linux/sparc64", run=RUN)
    repository.index([("linux/sparc64", image)], "latest")
    assert ids(check(repository.reference("latest"))) == [("platform-unknown", "linux/sparc64")]


# What is in the layers.


def test_what_unpacks_to_something_else(repository: Repository, check: Check) -> None:
    data = layer({"app": program(ARM64)})
    name = one(repository, [data], diff_ids=[sha256(b"other")])
    assert ids(check(name)) == [("layer-diff-id", ARM64)]
    name = one(repository, [data], diff_ids=[])
    assert ids(check(name)) == [("layer-diff-id", ARM64)]


@pytest.mark.parametrize(
    ("plain", "name", "words"),
    [
        (gzip.compress(archive({"app": program(ARM64)}))[:-20], "layer-damaged", "cannot be unpacked"),
        (gzip.compress(archive({"app": File(content=b"x" * 5000)})[:2000]), "layer-damaged", "cut short"),
        (gzip.compress(b"no archive" * 100), "layer-damaged", "no tar archive"),
        (gzip.compress(archive({"../../etc/cron.d/x": File()})), "layer-hostile", "out of the root"),
        (gzip.compress(archive({"x": File(hard="../../etc/shadow")})), "layer-hostile", "out of the root"),
    ],
    ids=["gzip", "archive", "text", "climbs", "climbing-link"],
)
def test_layers_that_nobody_can_unpack(
    repository: Repository, check: Check, plain: bytes, name: str, words: str
) -> None:
    data = Blob(data=plain, diff_id=sha256(b""))
    (finding,) = check(one(repository, [data])).findings
    assert (finding.id, finding.severity, finding.platform) == (name, "error", ARM64)
    assert words in finding.evidence


def test_a_bomb(repository: Repository, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "PLAUSIBLE", 1 << 20)
    monkeypatch.setattr(compression, "RATIO", 100)
    data = layer({"app": program(ARM64), "bomb": File(content=bytes(4 << 20))})
    assert ids(check(one(repository, [data]))) == [("layer-hostile", ARM64)]


# Attestations, artifacts, and what is no image.


def test_attestations_are_no_platform(repository: Repository, check: Check) -> None:
    image = static(repository, ARM64)
    about = attestation(repository, image.digest)
    result = check(of_entries(repository, entry(image, "arm64"), about), [ARM64])
    assert result.findings == ()
    assert [row.attestations for row in result.images] == [1]


def test_an_attestation_about_nothing(repository: Repository, check: Check) -> None:
    image = static(repository, ARM64)
    about = attestation(repository, sha256(b"another image"))
    assert ids(check(of_entries(repository, entry(image, "arm64"), about))) == [("attestation-orphan", None)]


def test_an_index_of_attestations_alone(repository: Repository, check: Check) -> None:
    about = attestation(repository, sha256(b"x"))
    assert [each for each, _ in ids(check(of_entries(repository, about)))] == [
        "index-empty",
        "attestation-orphan",
    ]


def test_an_index_in_an_index(repository: Repository, check: Check) -> None:
    inner = repository.index([(ARM64, static(repository, ARM64))], "inner")
    name = of_entries(repository, entry(static(repository, ARM64), "arm64"), inner.plain())
    assert ids(check(name)) == [("index-entry", None)]


def test_an_artifact(repository: Repository, check: Check) -> None:
    config = repository.blob(b"{}", "application/vnd.cncf.helm.config.v1+json")
    values = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.plain(),
        "layers": [],
    }
    repository.document(values, "latest")
    result = check(repository.reference("latest"))
    assert ids(result) == [("content-malformed", None)]
    assert "it is an artifact (application/vnd.cncf.helm.config.v1+json)" in result.findings[0].evidence


# The run as a whole.


def test_there_is_no_such_image(repository: Repository, check: Check) -> None:
    with pytest.raises(AbsentError, match=f"there is no {repository.reference('none')}"):
        check(repository.reference("none"))
    with pytest.raises(UsageError):
        check("Not/A/Name")


def test_a_silent_registry_and_its_mirrors(repository: Repository, check: Check) -> None:
    inside = Repository(address=repository.address, name=f"copies/{repository.name}")
    index(inside, arm64=static(inside, ARM64))
    registries = {
        "registry.invalid": Registry(
            http=True, mirrors=("127.0.0.1:1", f"{repository.address}/none", f"{repository.address}/copies")
        )
    }
    name = f"registry.invalid/{repository.name}"
    result = check(name, registries=registries)
    assert result.findings == ()
    assert result.notes[1] == (
        f"registry.invalid does not answer: this was read from its mirror {repository.address}/copies"
    )
    with pytest.raises(RegistrySilentError, match=r"registry\.invalid does not answer"):
        check(name, registries={"registry.invalid": Registry(http=True)})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Blobs that were asked for, in order."""
    digests: list[str] = []
    blob = Client.blob

    def spy(client: Client, digest: str) -> Any:
        digests.append(digest)
        return blob(client, digest)

    monkeypatch.setattr(Client, "blob", spy)
    return digests


def layers_asked(asked: list[str], *layers: Blob) -> list[int]:
    digests = [sha256(each.data) for each in layers]
    return [digests.index(digest) for digest in asked if digest in digests]


def test_layers_are_read_newest_first(repository: Repository, check: Check, asked: list[str]) -> None:
    layers = [layer({"a": File()}), layer({"app": program(ARM64)}), layer({"b": File()})]
    name = one(repository, layers)
    check(name)
    assert layers_asked(asked, *layers) == [2, 1, 0]


def test_quick_reads_as_far_as_needed(repository: Repository, check: Check, asked: list[str]) -> None:
    layers = [layer({"foreign": program(AMD64)}), layer({"app": program(ARM64)}), layer({"b": File()})]
    name = one(repository, layers)
    result = check(name, quick=True)
    assert layers_asked(asked, *layers) == [2, 1]
    assert (result.findings, result.images[0].checked) == ((), True)
    # A name that is looked for on PATH may be in any of them.
    name = one(repository, layers, run={"Entrypoint": ["app"], "Env": ["PATH=/bin:/"]})
    asked.clear()
    assert ids(check(name, quick=True)) == [("foreign-files", ARM64)]
    assert layers_asked(asked, *layers) == [2, 1, 0]


def test_a_layer_that_two_platforms_share_is_read_once(
    repository: Repository, check: Check, asked: list[str]
) -> None:
    shared = layer({"etc/settings": File(content=b"x")})
    amd64 = repository.image([shared, layer({"app": program(AMD64)})], platform=AMD64, run=RUN)
    arm64 = repository.image([shared, layer({"app": program(ARM64)})], platform=ARM64, run=RUN)
    name = index(repository, amd64=amd64, arm64=arm64)
    assert check(name).findings == ()
    assert layers_asked(asked, shared) == [0]


def test_the_page_lists_every_fault() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/verify.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(each for each in listed if each in FAULTS) == sorted(FAULTS)
    for name, fault in FAULTS.items():
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {fault.severity} |" in line
