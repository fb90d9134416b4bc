"""Who downloads the release."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.errors import HostError
from provision.plan.download import host_fetches
from provision.plan.requirements import require
from provision.plan.requirements.buildkit import download
from provision.plan.target import Target, release_folder
from provision.spec import Fetch
from tests.unit.recorded import RELEASE, buildkit, facts

URL = "https://mirror.example/v0.32.2/buildkit-v0.32.2.linux-amd64.tar.gz"
LOGIN = URL.replace("//", "//me:secret@")
FOLDER = "/mirror/v0.32.2/buildkit-v0.32.2.linux-amd64.tar.gz"


def target(fetch: Fetch, location: str, tools: set[str], *, local: bool = False) -> Target:
    seen = replace(facts("bare"), tools=frozenset(tools))
    return Target(
        spec=buildkit(fetch=fetch), facts=seen, release=replace(RELEASE, location=location), local=local
    )


@pytest.mark.parametrize(
    ("fetch", "location", "tools", "local", "expected"),
    [
        ("auto", URL, {"curl"}, False, True),
        ("auto", URL, {"wget"}, False, True),
        ("auto", URL, set(), False, False),
        ("auto", URL, {"curl"}, True, False),
        ("auto", FOLDER, {"curl"}, False, False),
        ("auto", LOGIN, {"curl"}, False, False),
        ("controller", URL, {"curl"}, False, False),
        ("host", URL, {"curl"}, False, True),
        ("host", URL, {"curl"}, True, True),
    ],
)
def test_who_downloads(fetch: Fetch, location: str, tools: set[str], local: bool, expected: bool) -> None:
    order = target(fetch, location, tools, local=local)
    assert host_fetches(order) is expected
    require(order, [download])


@pytest.mark.parametrize(
    ("location", "tools", "reason"),
    [
        (URL, set(), "neither curl nor wget"),
        (FOLDER, {"curl"}, "a folder"),
        (LOGIN, {"curl"}, "a login"),
    ],
)
def test_a_host_that_is_to_download_and_cannot(location: str, tools: set[str], reason: str) -> None:
    order = target("host", location, tools)
    with pytest.raises(HostError) as refused:
        require(order, [download])
    assert reason in refused.value.message
    assert "secret" not in str(vars(refused.value))
    # Where nothing is to be downloaded, that is no reason.
    unpacked = {release_folder(RELEASE): RELEASE.digest.value}
    require(replace(order, facts=replace(order.facts, releases=unpacked)), [download])
    require(replace(order, facts=replace(order.facts, cached={RELEASE.digest.value: 1})), [download])
