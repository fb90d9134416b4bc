"""Real registries that want a login: by password, by tokens of a token service, over TLS of their own authority."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from provision.registry.client import Client
from provision.registry.credentials import Credentials, find
from provision.registry.errors import AbsentError, RegistryLoginError
from provision.registry.web import Web
from provision.spec import Registry
from tests.lab.authority import make
from tests.lab.images import Repository, layer
from tests.lab.registry import Registry as Server
from tests.lab.tokens import TokenServer

pytestmark = pytest.mark.needs("docker-registry")

PASSWORD = "p:w é"


def basic(folder: Path) -> dict[str, Any]:
    file = folder / "htpasswd"
    file.write_bytes(b"me:" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)) + b"\n")
    return {"htpasswd": {"realm": "lab", "path": str(file)}}


def header(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def read(
    address: str,
    credentials: Credentials | None,
    registries: Mapping[str, Registry] | None = None,
    target: str = "1",
) -> bytes:
    """The manifest, and the first byte of each layer, by one client."""
    web = Web(address, registries or {}, connect_timeout=5)
    try:
        client = Client(web, "app", credentials)
        data = client.manifest(target).data
        for each in json.loads(data)["layers"]:
            with client.blob(each["digest"]) as blob:
                assert blob.read(1) == b"\x1f"
        return data
    finally:
        web.close()


def test_a_password(tmp_path: Path) -> None:
    with Server(auth=basic(tmp_path)) as server:
        repository = Repository(address=server.address, name="app", headers=header("me", PASSWORD))
        repository.image([layer({})], tag="1")
        assert read(server.address, Credentials(user="me", password=PASSWORD))
        with pytest.raises(RegistryLoginError, match="wants a login"):
            read(server.address, None)
        with pytest.raises(RegistryLoginError, match="refuses the login") as caught:
            read(server.address, Credentials(user="me", password="secret", source="here"))
        assert "secret" not in f"{caught.value.message}{caught.value.cause}{caught.value.hint}"


def test_a_password_over_tls_from_dockers_configuration(tmp_path: Path) -> None:
    authority, own = make(tmp_path)
    coded = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    with Server(auth=basic(tmp_path), tls=(own.certificate, own.key)) as server:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {server.address: {"auth": coded}}}))
        credentials = find(server.address, {"DOCKER_CONFIG": str(tmp_path)})
        trusted = {server.address: Registry(ca=(str(authority),))}
        with pytest.raises(AbsentError):
            read(server.address, credentials, trusted)
        with pytest.raises(RegistryLoginError):
            read(server.address, None, trusted)
        with pytest.raises(AbsentError):
            read(server.address, credentials, {server.address: Registry(insecure=True)})


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, TokenServer]:
    """A certificate's authority, and a token service not yet begun."""
    authority, own = make(tmp_path)
    users = {"me": PASSWORD}
    return authority, TokenServer(own, users=users, identity_tokens={"idt": "me"})


def push(server: Server, tokens: TokenServer) -> None:
    token = tokens.token("me", ["repository:app:pull,push"])
    repository = Repository(address=server.address, name="app", headers={"Authorization": f"Bearer {token}"})
    repository.image([layer({})], tag="1")


def test_tokens_for_a_password_and_for_an_identity_token(filled: tuple[Path, TokenServer]) -> None:
    authority, service = filled
    with service as tokens, Server(auth=tokens.settings(authority)) as server:
        push(server, tokens)
        assert read(server.address, Credentials(user="me", password=PASSWORD))
        assert read(server.address, Credentials(identity_token="idt"))
        bearer = tokens.token("me", ["repository:app:pull"])
        assert read(server.address, Credentials(bearer_token=bearer))
        # One token does for all requests of a run.
        assert tokens.asked == ["GET me", "POST me"]
        with pytest.raises(RegistryLoginError, match="refuses the login"):
            read(server.address, Credentials(user="me", password="wrong", source="here"))
        with pytest.raises(RegistryLoginError, match="refuses the login"):
            read(server.address, Credentials(identity_token="old", source="here"))
        with pytest.raises(RegistryLoginError, match="wants a login"):
            read(server.address, None)


def test_a_public_image_needs_a_token_and_no_login(filled: tuple[Path, TokenServer]) -> None:
    authority, service = filled
    service.public = True
    with service as tokens, Server(auth=tokens.settings(authority)) as server:
        push(server, tokens)
        assert read(server.address, None)
        assert tokens.asked == ["GET "]


def test_a_token_that_ends_in_the_middle(filled: tuple[Path, TokenServer]) -> None:
    authority, service = filled
    with service as tokens, Server(auth=tokens.settings(authority)) as server:
        push(server, tokens)
        web = Web(server.address, {}, connect_timeout=5)
        client = Client(web, "app", Credentials(user="me", password=PASSWORD))
        digest = json.loads(client.manifest("1").data)["layers"][0]["digest"]
        client._authorization = f"Bearer {_expired(tokens)}"
        with client.blob(digest) as blob:
            assert blob.read(1)
        web.close()
        assert tokens.asked == ["GET me", "GET me"]


def _expired(tokens: TokenServer) -> str:
    tokens.seconds, kept = -3600, tokens.seconds
    try:
        return tokens.token("me", ["repository:app:pull"])
    finally:
        tokens.seconds = kept
