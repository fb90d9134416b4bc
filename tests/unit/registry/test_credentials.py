"""Logins are found where Docker's own client puts them, and where its helpers keep them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from provision.errors import ConfigError
from provision.registry.credentials import Credentials, find
from provision.registry.errors import RegistryLoginError

HOST = "registry.example:5000"


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Home:
    """A DOCKER_CONFIG folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, settings: Mapping[str, Any] | str) -> None:
        text = settings if isinstance(settings, str) else json.dumps(settings)
        (self.folder / "config.json").write_text(text)

    def find(self, host: str = HOST, **more: str) -> Credentials | None:
        return find(host, {"DOCKER_CONFIG": str(self.folder), **more})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_nobody_has_logged_in(home: Home) -> None:
    assert home.find() is None
    home.write({})
    assert home.find() is None
    home.write({"auths": {"other.example": {"auth": coded("a:b")}}})
    assert home.find() is None
    home.write({"auths": {HOST: {}}})
    assert home.find() is None


def test_a_password_may_hold_anything(home: Home) -> None:
    home.write({"auths": {HOST: {"auth": coded("me:a:b c\u00e9")}}})
    found = home.find()
    assert found is not None
    assert (found.user, found.password) == ("me", "a:b c\u00e9")
    assert found.source.endswith("config.json")
    assert "a:b" not in repr(found)


@pytest.mark.parametrize("key", [f"https://{HOST}/v1/", f"http://{HOST}", f"{HOST}/v2/"])
def test_old_keys_are_whole_addresses(home: Home, key: str) -> None:
    home.write({"auths": {key: {"auth": coded("me:pw")}}})
    assert home.find() is not None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
def test_docker_hub_by_any_of_its_names(home: Home, key: str) -> None:
    home.write({"auths": {key: {"auth": coded("me:pw")}}})
    assert home.find("docker.io") is not None
    assert home.find() is None


def test_tokens(home: Home) -> None:
    home.write({"auths": {HOST: {"identitytoken": "idt"}, "b": {"registrytoken": "rt"}}})
    assert home.find() == Credentials(identity_token="idt", source=str(home.folder / "config.json"))
    found = home.find("b")
    assert found is not None
    assert found.bearer_token == "rt"
    assert "rt" not in repr(found)


def test_user_and_password_apart(home: Home) -> None:
    home.write({"auths": {HOST: {"username": "me", "password": "pw"}}})
    found = home.find()
    assert found is not None
    assert (found.user, found.password) == ("me", "pw")


def test_the_environment_beats_the_file(home: Home) -> None:
    home.write({"auths": {HOST: {"auth": coded("file:pw")}}})
    found = home.find(DOCKER_AUTH_CONFIG=json.dumps({"auths": {HOST: {"auth": coded("env:pw")}}}))
    assert found is not None
    assert found.user == "env"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": {"registry.example:5000": {"auth": "!"}}}', "\xff", "[" * 100_000]
)
def test_a_file_that_cannot_be_read(home: Home, text: str) -> None:
    (home.folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        home.find()
    assert caught.value.hint


def test_an_auth_without_a_password(home: Home) -> None:
    home.write({"auths": {HOST: {"auth": coded("secret-without-colon")}}})
    with pytest.raises(ConfigError) as caught:
        home.find()
    assert "secret" not in f"{caught.value.message}{caught.value.cause}{caught.value.hint}"


HELPER = """#!/bin/sh
read -r server
echo "$1 $server" >> {log}
case $server in
registry.example:5000) echo '{{"ServerURL": "x", "Username": "me", "Secret": "from helper"}}' ;;
https://index.docker.io/v1/) echo '{{"Username": "<token>", "Secret": "idt"}}' ;;
empty) echo 'credentials not found in native keychain'; exit 1 ;;
bad) echo '{{"Secret": "leak me"}}' ;;
*) echo 'the keychain is locked'; exit 1 ;;
esac
"""


@pytest.fixture
def helper(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker-credential-lab: the log of what it was asked."""
    log = tmp_path / "log"
    program = tmp_path / "bin/docker-credential-lab"
    program.parent.mkdir()
    program.write_text(HELPER.format(log=log))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    home.write({"credsStore": "lab", "auths": {HOST: {"auth": coded("file:pw")}}})
    return log


def test_a_helper_keeps_the_login(home: Home, helper: Path) -> None:
    assert home.find() == Credentials(user="me", password="from helper", source="docker-credential-lab")
    assert helper.read_text() == f"get {HOST}\n"


@pytest.mark.usefixtures("helper")
def test_a_helper_keeps_an_identity_token(home: Home) -> None:
    assert home.find("docker.io") == Credentials(identity_token="idt", source="docker-credential-lab")


@pytest.mark.usefixtures("helper")
def test_a_helper_without_the_login_and_a_locked_one(home: Home) -> None:
    assert home.find("empty") is None
    with pytest.raises(RegistryLoginError) as caught:
        home.find("other")
    assert caught.value.cause == "the keychain is locked"
    with pytest.raises(RegistryLoginError) as caught:
        home.find("bad")
    assert "leak" not in f"{caught.value.message}{caught.value.cause}{caught.value.hint}"


@pytest.mark.usefixtures("helper")
def test_a_helper_for_one_registry(home: Home) -> None:
    home.write({"credHelpers": {HOST: "lab"}, "auths": {"b": {"auth": coded("file:pw")}}})
    found, other = home.find(), home.find("b")
    assert found is not None
    assert other is not None
    assert (found.user, other.user) == ("me", "file")


def test_a_helper_that_is_not_there(home: Home) -> None:
    home.write({"credsStore": "none-such"})
    with pytest.raises(RegistryLoginError, match="docker-credential-none-such is not installed"):
        home.find()
