"""Fixtures of the builds rung: a small BuildKit on a Go proxy, and what Go keeps from test to test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builds.small import Workshop, resolve_by_hand
from tests.lab.cache import default_folder
from tests.lab.goproxy import GoProxy, small_buildkit


@pytest.fixture(autouse=True)
def _kept_between_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library is compiled once for all tests. What is downloaded is each test's own."""
    for name in [name for name in os.environ if name.startswith("GO")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOCACHE", str(default_folder() / "go-build"))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """A small BuildKit v0.99.9 whose checksums this machine knows, and the proxy that serves it."""
    with GoProxy(published=(small_buildkit(),)) as proxy:
        monkeypatch.setenv("GOPROXY", proxy.url)
        cache = tmp_path / "cache"
        resolve_by_hand(cache, small_buildkit())
        yield Workshop(cache=cache, proxy=proxy)
