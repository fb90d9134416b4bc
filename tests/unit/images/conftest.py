"""A real registry, and the product's judgement of what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from provision.commands.verify import verify
from provision.report.progress import Progress
from provision.result import HostResult, Severity
from provision.spec import Config, Registry, Spec
from tests.lab.images import Repository
from tests.lab.registry import Registry as Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One for all: tests keep apart by repository."""
    with Server() as server:
        yield server


@pytest.fixture
def repository(server: Server, request: pytest.FixtureRequest) -> Repository:
    """A repository of the test's own."""
    name = "".join(each if each.isalnum() else "-" for each in request.node.name.lower()).strip("-")
    while "--" in name:
        name = name.replace("--", "-")
    return Repository(address=server.address, name=name)


@pytest.fixture(autouse=True)
def nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


Check = Callable[..., HostResult]


@pytest.fixture
def check() -> Check:
    """`verify` of an image, as the command does it."""

    def run(
        image: str,
        platforms: Sequence[str] | None = None,
        *,
        quick: bool = False,
        threshold: Severity = "warning",
        registries: dict[str, Registry] | None = None,
    ) -> HostResult:
        spec = Spec(platforms=None if platforms is None else tuple(platforms))
        spec = replace(spec, buildkit=replace(spec.buildkit, registries=registries or {}))
        return verify(image, Config(spec=spec), Progress(), threshold, quick=quick)

    return run


def ids(result: HostResult) -> list[tuple[str, str | None]]:
    return [(finding.id, finding.platform) for finding in result.findings]
