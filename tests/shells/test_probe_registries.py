"""What the facts script finds out of the registries of a configuration, from a host, in every shell."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.commands.ask import ask_facts
from provision.facts import RegistryAnswer
from provision.spec import Buildkit, Registry, Spec
from tests.lab.authority import make
from tests.lab.guarded import PASSWORD, USER, Guarded, guarded
from tests.lab.nspawn import free_port
from tests.lab.registry import Registry as Server
from tests.lab.tokens import TokenServer
from tests.shells.machine import Machine

pytestmark = pytest.mark.needs("curl", "docker-registry")
AUTHORITY = "/etc/authority.pem"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "registry") as made:
        yield made


def asked(machine: Machine, host: str, settings: Registry, password: str | None = None) -> RegistryAnswer:
    machine.write("/usr/bin/curl", '#!/bin/sh\nexec /host/usr/bin/curl "$@"\n', 0o755)
    if password is not None:
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        text = json.dumps({"auths": {"other.example": {"auth": "eA=="}, host: {"auth": auth}}}, indent=1)
        machine.write("/root/.docker/config.json", text)
    spec = Spec(platforms=("linux/arm64",), buildkit=Buildkit(registries={host: settings}))
    seen = ask_facts(machine.space, spec, registries=True).registries[host]
    assert PASSWORD not in str(seen)
    return replace(seen, date=seen.date[:4] and "a date", problem=seen.problem and "words")


def test_a_login_that_is_valid_and_one_that_is_not(machine: Machine, registry: Guarded) -> None:
    machine.write(AUTHORITY, registry.authority.read_text())
    trusted = Registry(ca=(AUTHORITY,))
    answered = RegistryAnswer(curl=0, status=401, date="a date")
    assert asked(machine, registry.address, trusted) == answered
    assert asked(machine, registry.address, trusted, PASSWORD) == replace(answered, login="valid")
    assert asked(machine, registry.address, trusted, "wrong") == replace(answered, login="refused")


def test_a_certificate_that_is_not_trusted(machine: Machine, registry: Guarded, tmp_path: Path) -> None:
    other, _ = make(tmp_path / "other")
    machine.write(AUTHORITY, other.read_text())
    seen = asked(machine, registry.address, Registry(ca=(AUTHORITY,)), PASSWORD)
    assert (seen.curl, seen.status, seen.login, seen.problem) == (60, 0, "", "words")


def test_a_port_where_nothing_listens(machine: Machine) -> None:
    seen = asked(machine, f"127.0.0.1:{free_port()}", Registry())
    assert (seen.curl, seen.status) == (7, 0)


def test_a_token_service_is_asked(machine: Machine, tmp_path: Path) -> None:
    root, certificate = make(tmp_path)
    with (
        TokenServer(certificate, users={USER: PASSWORD}) as tokens,
        Server(auth=tokens.settings(root)) as server,
    ):
        assert asked(machine, server.address, Registry(), PASSWORD).login == "valid"
        assert asked(machine, server.address, Registry(), "wrong").login == "refused"
        assert tokens.asked == [f"GET {USER}", "GET None"]


def test_a_host_without_curl_says_nothing(machine: Machine) -> None:
    spec = Spec(platforms=("linux/arm64",), buildkit=Buildkit(registries={"127.0.0.1:1": Registry()}))
    assert ask_facts(machine.space, spec, registries=True).registries == {}
