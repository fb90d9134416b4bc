"""`verify` of images that other tools made here: BuildKit, skopeo, Debian's packages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import bcrypt
import pytest

from tests.lab.builder import Builder, builder
from tests.lab.buildx import buildx as buildx_program
from tests.lab.busybox import busybox
from tests.lab.cli import Outcome, provision
from tests.lab.debian import debian, installed
from tests.lab.images import File, Repository, layer
from tests.lab.programs import hello
from tests.lab.registry import Registry

PLATFORMS: Final = "linux/amd64,linux/arm64,linux/arm/v7"
DOCKERFILE: Final = """\
FROM scratch
ARG TARGETARCH TARGETVARIANT
COPY hello-$TARGETARCH$TARGETVARIANT /bin/hello
COPY --chmod=755 run.sh /usr/local/bin/run
COPY busybox-$TARGETARCH$TARGETVARIANT /bin/busybox
COPY busybox-$TARGETARCH$TARGETVARIANT /bin/sh
ENTRYPOINT ["run"]
CMD ["hello"]
"""


@pytest.fixture(scope="module")
def buildkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    with builder(tmp_path_factory.mktemp("builder")) as made:
        yield made


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dockerfile, and what it copies for each platform."""
    folder = tmp_path_factory.mktemp("context")
    for name, goarch, variant, architecture in (
        ("amd64", "amd64", "", "amd64"),
        ("arm64", "arm64", "", "arm64"),
        ("armv7", "arm", "7", "armhf"),
    ):
        (folder / f"hello-{name}").write_bytes(hello(goarch, variant=variant).read_bytes())
        (folder / f"busybox-{name}").write_bytes(busybox(architecture).read_bytes())
        for file in (f"hello-{name}", f"busybox-{name}"):
            (folder / file).chmod(0o755)
    (folder / "run.sh").write_text("#!/bin/sh\nexec hello\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


@pytest.fixture
def verify(tmp_path: Path) -> Any:
    def run(image: str, *more: str) -> Outcome:
        return provision("verify", image, "--format=json", *more, cwd=tmp_path)

    return run


def output(name: str, **more: str) -> tuple[str, str]:
    words = {"type": "image", "name": name, "push": "true", **more}
    return "--output", ",".join(f"{key}={value}" for key, value in words.items())


def findings(outcome: Outcome) -> list[tuple[str, str | None]]:
    assert outcome.envelope["errors"] == [], outcome.err
    return [(each["id"], each["platform"]) for each in outcome.host["findings"]]


KINDS: Final = {
    "usual": {},
    "docker": {"oci-mediatypes": "false"},
    "zstd": {"compression": "zstd", "force-compression": "true", "oci-mediatypes": "true"},
    "estargz": {"compression": "estargz", "force-compression": "true", "oci-mediatypes": "true"},
    "uncompressed": {"compression": "uncompressed", "force-compression": "true"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_buildkit_pushes_is_right(
    buildkit: Builder, registry: Registry, context: Path, verify: Any, kind: str
) -> None:
    name = f"{registry.address}/built:{kind}"
    buildkit.build(context, "--opt", f"platform={PLATFORMS}", *output(name, **KINDS[kind]))
    seen = verify(name, "--platforms", PLATFORMS)
    assert (seen.code, findings(seen)) == (0, [])
    assert [row["platform"] for row in seen.host["images"]] == PLATFORMS.split(",")
    assert all(row["entrypoint"] == ["/usr/local/bin/run", "/bin/sh"] for row in seen.host["images"])
    quick = verify(name, "--platforms", PLATFORMS, "--quick")
    assert (quick.code, findings(quick)) == (0, [])


def test_attestations_of_buildkit(buildkit: Builder, registry: Registry, context: Path, verify: Any) -> None:
    name = f"{registry.address}/built:attested"
    options = ("--opt", f"platform={PLATFORMS}", "--opt", "attest:provenance=mode=max")
    buildkit.build(context, *options, *output(name))
    assert len(registry.inspect("built:attested")["manifests"]) == 6
    seen = verify(name, "--platforms", PLATFORMS)
    assert (seen.code, findings(seen)) == (0, [])
    assert [row["attestations"] for row in seen.host["images"]] == [1, 1, 1]
    buildkit.build(context, *options, *output(f"{name}-old", **{"oci-artifact": "false"}))
    assert findings(verify(f"{name}-old", "--platforms", PLATFORMS)) == []


def test_what_buildx_pushes_is_right(
    buildkit: Builder, registry: Registry, context: Path, verify: Any, tmp_path: Path
) -> None:
    """Docker's own client, with the attestations that it makes by itself, and without."""
    name = f"{registry.address}/buildx"
    own = {**os.environ, "BUILDX_CONFIG": str(tmp_path / "buildx"), "HOME": str(tmp_path)}

    def buildx(*words: str) -> None:
        done = subprocess.run(
            [str(buildx_program()), *words], env=own, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    buildx("create", "--name", "lab", "--driver", "remote", f"unix://{buildkit.folder}/socket")
    for tag, more, attestations in (("usual", (), 1), ("bare", ("--provenance=false",), 0)):
        buildx(
            *("build", "--builder", "lab", "--platform", PLATFORMS, "--push", "--tag", f"{name}:{tag}"),
            *(*more, str(context)),
        )
        seen = verify(f"{name}:{tag}", "--platforms", PLATFORMS)
        assert (seen.code, findings(seen)) == (0, [])
        assert [row["attestations"] for row in seen.host["images"]] == [attestations] * 3


def test_one_platform_is_pushed_without_an_index(
    buildkit: Builder, registry: Registry, context: Path, verify: Any
) -> None:
    name = f"{registry.address}/built:single"
    buildkit.build(context, "--opt", "platform=linux/arm64", *output(name))
    seen = verify(name, "--platforms", "linux/arm64")
    assert (seen.code, findings(seen)) == (0, [("index-missing", None)])
    # The fix of the finding, done.
    forced = ("--opt", "platform=linux/arm64", "--opt", "multi-platform=true")
    buildkit.build(context, *forced, *output(name))
    assert findings(verify(name, "--platforms", "linux/arm64")) == []


def test_a_dockerfile_that_copies_one_program_for_all(
    buildkit: Builder, registry: Registry, context: Path, verify: Any, tmp_path: Path
) -> None:
    (tmp_path / "app").write_bytes((context / "hello-amd64").read_bytes())
    (tmp_path / "app").chmod(0o755)
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n')
    name = f"{registry.address}/built:wrong"
    buildkit.build(tmp_path, "--opt", f"platform={PLATFORMS}", *output(name))
    seen = verify(name, "--platforms", PLATFORMS)
    assert seen.code == 5
    assert findings(seen) == [
        ("entrypoint-architecture", "linux/arm64"),
        ("entrypoint-architecture", "linux/arm/v7"),
    ]


def test_the_pipeline_with_a_password(buildkit: Builder, context: Path, tmp_path: Path, verify: Any) -> None:
    """Log in, build and push, verify; and nothing of it after the logout."""
    coded = bcrypt.hashpw(b"p w", bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text(f"ci:{coded}\n")
    with Registry(auth={"htpasswd": {"realm": "lab", "path": str(tmp_path / "htpasswd")}}) as guarded:
        name = f"{guarded.address}/app:1.0"
        build = ("--opt", f"platform={PLATFORMS}", *output(name))
        with pytest.raises(RuntimeError, match=r"401 Unauthorized|no basic auth credentials"):
            buildkit.build(context, *build, home=tmp_path)
        login = provision(
            "login", guarded.address, "-u", "ci", "--password-stdin", cwd=tmp_path, given="p w\n"
        )
        assert login.code == 0, login.err
        buildkit.build(context, *build, home=tmp_path)
        seen = verify(name, "--platforms", PLATFORMS)
        assert (seen.code, findings(seen)) == (0, [])
        assert provision("logout", guarded.address, cwd=tmp_path).code == 0
        seen = verify(name)
        assert [each["code"] for each in seen.envelope["errors"]] == ["registry-login"]


def skopeo(*arguments: str) -> None:
    subprocess.run(["skopeo", "copy", "--quiet", "--all", *arguments], check=True, capture_output=True)


def test_copies_of_skopeo(
    buildkit: Builder, registry: Registry, context: Path, verify: Any, tmp_path: Path
) -> None:
    name = f"{registry.address}/copied"
    buildkit.build(context, "--opt", f"platform={PLATFORMS}", *output(f"{name}:first"))
    plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
    for tag, options in (
        ("v2s2", ("--format", "v2s2")),
        ("oci", ("--format", "oci")),
        ("zstd", ("--dest-compress", "--dest-compress-format", "zstd")),
    ):
        skopeo(*plain, *options, f"docker://{name}:first", f"docker://{name}:{tag}")
        seen = verify(f"{name}:{tag}", "--platforms", PLATFORMS)
        assert (seen.code, findings(seen)) == (0, [])
    skopeo(*plain, f"docker://{name}:first", f"dir:{tmp_path}/copy")


def test_images_of_debians_packages(registry: Registry, verify: Any) -> None:
    """Dynamic programs, scripts and links, of this architecture and of a foreign one."""
    repository = Repository(address=registry.address, name="debian")
    bases = {name: layer(debian(name).read_bytes()) for name in ("amd64", "arm64")}
    script = File(content=b"#!/usr/bin/env perl\nprint 1\n")
    for tag, command in (
        ("bash", "bash"),
        ("env", "/run.pl"),
        ("busybox", "/bin/busybox"),
        ("cp", "/bin/cp"),
    ):
        entries = [
            (
                f"linux/{name}",
                repository.image(
                    [base, layer({"run.pl": script})], platform=f"linux/{name}", run={"Cmd": [command]}
                ),
            )
            for name, base in bases.items()
        ]
        repository.index(entries, tag)
        seen = verify(repository.reference(tag), "--platforms", "linux/amd64,linux/arm64")
        assert (seen.code, findings(seen)) == (0, []), tag
        if tag == "bash":
            assert seen.host["images"][1]["libraries"] >= 3


def test_an_installed_debian(registry: Registry, verify: Any) -> None:
    """/usr merged, and then spoiled by layers on top of it, as builds do."""
    repository = Repository(address=registry.address, name="installed")
    base = layer(installed().read_bytes())
    machine = own_platform()

    def ids(command: str, *more: dict[str, File]) -> list[str]:
        image = repository.image(
            [base, *(layer(files) for files in more)], platform=machine, run={"Cmd": [command]}
        )
        repository.index([(machine, image)], "latest")
        return [name for name, _ in findings(verify(repository.reference("latest")))]

    for command in ("bash", "perl", "/bin/sh", "apt-get", "/sbin/ldconfig", "awk"):
        assert ids(command) in ([], ["entrypoint-missing"]), command
    assert ids("bash") == []
    assert ids("bash", {"bin/.wh.bash": File(), "usr/bin/.wh.bash": File()}) == ["entrypoint-missing"]
    multiarch = {"linux/amd64": "x86_64-linux-gnu", "linux/arm64": "aarch64-linux-gnu"}[machine]
    libraries = f"usr/lib/{multiarch}"
    assert ids("bash", {f"{libraries}/.wh.libtinfo.so.6": File()}) == ["library-missing"]
    # A layer that brings a folder where the base has a link: the loader is out of reach.
    assert ids("bash", {"lib": File(folder=True), "lib64": File(folder=True)}) == ["loader-missing"]


def own_platform() -> str:
    """Of this machine."""
    asked = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return f"linux/{asked.stdout.strip()}"
