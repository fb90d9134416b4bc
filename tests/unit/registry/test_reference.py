"""Names of images are read as Docker and BuildKit read them."""

from __future__ import annotations

import pytest

from provision.errors import UsageError
from provision.registry.reference import Reference, parse, registry_host, server

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "host", "repository", "target"),
    [
        ("debian", "docker.io", "library/debian", "latest"),
        ("debian:12", "docker.io", "library/debian", "12"),
        ("user/app", "docker.io", "user/app", "latest"),
        ("docker.io/debian", "docker.io", "library/debian", "latest"),
        ("index.docker.io/user/app:1", "docker.io", "user/app", "1"),
        ("registry-1.docker.io/library/debian", "docker.io", "library/debian", "latest"),
        ("localhost/app", "localhost", "app", "latest"),
        ("localhost:5000/app:1.0", "localhost:5000", "app", "1.0"),
        ("registry.example/team/app", "registry.example", "team/app", "latest"),
        ("registry:5000/a/b/c", "registry:5000", "a/b/c", "latest"),
        ("[::1]:5000/app", "[::1]:5000", "app", "latest"),
        ("10.0.0.5/app", "10.0.0.5", "app", "latest"),
        ("HOST/app", "HOST", "app", "latest"),
        (f"app@{DIGEST}", "docker.io", "library/app", DIGEST),
        (f"registry.example/app:1.0@{DIGEST}", "registry.example", "app", DIGEST),
        ("a.b/c__d/e-f--g:T.a_g", "a.b", "c__d/e-f--g", "T.a_g"),
    ],
)
def test_what_a_name_means(text: str, host: str, repository: str, target: str) -> None:
    found = parse(text)
    assert (found.host, found.repository, found.target) == (host, repository, target)
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "/", "app:", "app:-x", "App", "a/B:1", "host:5000/", "host:x/app", "a//b", "-a", "a b"),
        *("docker://app", "https://registry.example/app", "app@sha256:12", "app@md5:00", f"@{DIGEST}"),
        *(f"app:{'t' * 129}", "a" * 256, "app:1:2", "app@", "../app", "host/../app", "app\n", "a;b"),
        *("host:65536/app", "host:0/app", "[::1]:99999/app"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.hint


def test_capitals_have_a_hint_of_their_own() -> None:
    with pytest.raises(UsageError) as caught:
        parse("registry.example/App")
    assert "lower case" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"]
)
def test_docker_hub_has_many_names(text: str) -> None:
    assert registry_host(text) == "docker.io"
    assert server("docker.io") == "registry-1.docker.io"


def test_other_registries_have_one() -> None:
    assert registry_host("http://registry.example:5000/v2/") == "registry.example:5000"
    assert server("registry.example") == "registry.example"
    for wrong in ("a b", "registry.example:65536"):
        with pytest.raises(UsageError):
            registry_host(wrong)


def test_a_reference_says_what_it_was_made_of() -> None:
    both = Reference(host="h", repository="r", tag="t", digest=DIGEST)
    assert str(both) == f"h/r:t@{DIGEST}"
