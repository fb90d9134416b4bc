"""A login as others keep and give it: Docker's helper for `pass`, the registry project's own token service."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import bcrypt
import pytest

from tests.lab import authority
from tests.lab.cli import Outcome, provision
from tests.lab.images import File, Repository, layer
from tests.lab.peers import ISSUER, password_store, token_server
from tests.lab.programs import hello
from tests.lab.registry import Registry

pytestmark = pytest.mark.needs("pass", "gpg")

USER: Final = "ci"
PASSWORD: Final = "p:w é\"'$`\\"
SERVICE: Final = "lab registry"


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody whose logins `pass` keeps, and the registry."""

    home: Path
    variables: dict[str, str]
    registry: Registry
    realm: str

    @property
    def file(self) -> Path:
        return self.home / ".docker/config.json"

    def run(self, *words: str, given: str = "") -> Outcome:
        return provision(*words, cwd=self.home, env=self.variables, given=given)

    def login(self, password: str) -> Outcome:
        return self.run("login", self.registry.address, "-u", USER, "--password-stdin", given=password)

    def helper(self, verb: str, given: str = "") -> str:
        command = ["docker-credential-pass", verb]
        done = subprocess.run(
            command, env=self.variables, input=given, check=True, capture_output=True, text=True
        )
        return done.stdout


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    htpasswd = tmp_path / "htpasswd"
    coded = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    htpasswd.write_text(f"{USER}:{coded}\n", encoding="utf-8")
    _, certificate = authority.make(tmp_path / "authority")
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text('{\n\t"credsStore": "pass"\n}\n')
    with token_server(htpasswd, certificate) as realm, password_store(home) as variables:
        settings = {"realm": realm, "service": SERVICE, "issuer": ISSUER}
        bundle = {"rootcertbundle": str(certificate.certificate)}
        with Registry(auth={"token": {**settings, **bundle}}) as registry:
            yield Person(home=home, variables=variables, registry=registry, realm=realm)


def everything_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_login_push_verify_and_logout(person: Person) -> None:
    address = person.registry.address
    before = everything_below(person.home)
    wrong = person.login("wrong")
    assert (wrong.code, wrong.out) == (3, "")
    assert f"{address} refuses the login" in wrong.err
    assert everything_below(person.home) == before

    done = person.login(f"{PASSWORD}\n")
    assert done.code == 0, done.err
    assert "not encrypted" not in done.out
    assert json.loads(person.file.read_text()) == {"credsStore": "pass", "auths": {address: {}}}
    secrets = (PASSWORD.encode(), b64encode(f"{USER}:{PASSWORD}".encode()))
    assert not [
        path for path, data in everything_below(person.home).items() if any(s in data for s in secrets)
    ]
    assert json.loads(person.helper("list")) == {address: USER}

    # The service lets a user into the repositories of that name alone.
    image = f"{address}/{USER}/app:1.0"
    push(person, image)
    verified = person.run("verify", image)
    assert verified.code == 0, verified
    assert "1 platform checked" in verified.out

    assert person.run("logout", address).code == 0
    assert json.loads(person.helper("list")) == {}
    assert json.loads(person.file.read_text()) == {"credsStore": "pass", "auths": {}}
    refused = person.run("verify", image)
    assert refused.code == 3
    assert f"{address} wants a login" in refused.err
    again = person.run("logout", address)
    assert (again.code, f"there was no login for {address}" in again.out) == (0, True)


def push(person: Person, image: str) -> None:
    """By skopeo, with the login of the helper: the service knows no password grant, by which buildctl asks."""
    settings = json.loads(person.file.read_text())
    # It knows no credsStore.
    other = person.home / "skopeo.json"
    other.write_text(json.dumps({**settings, "credHelpers": {person.registry.address: "pass"}}))
    with Registry() as open_to_all:
        repository = Repository(address=open_to_all.address, name="app")
        program = File(content=hello("amd64").read_bytes(), mode=0o755)
        repository.image([layer({"hello": program})], run={"Entrypoint": ["/hello"]}, tag="1.0")
        command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
        places = [f"docker://{repository.reference('1.0')}", f"docker://{image}"]
        subprocess.run([*command, "--dest-authfile", str(other), *places], env=person.variables, check=True)
    other.unlink()


def test_an_identity_token_in_the_store(person: Person) -> None:
    """As `docker login` keeps it: the helper gives it under the user `<token>`."""
    address = person.registry.address
    name = f"{address}/{USER}/app:1.0"
    kept = {"ServerURL": address, "Username": "<token>", "Secret": identity_token(person.realm)}
    person.helper("store", json.dumps(kept))
    assert f"there is no {name}" in person.run("verify", name).err
    person.helper("store", json.dumps({**kept, "Secret": "wrong"}))
    refused = person.run("verify", name).err
    assert f"{address} refuses the login" in refused
    assert "docker-credential-pass" in refused


def identity_token(realm: str) -> str:
    login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    asked = urlencode({"service": SERVICE, "offline_token": "true", "client_id": "lab"})
    request = urllib.request.Request(  # noqa: S310 - http to loopback
        f"{realm}?{asked}", headers={"Authorization": f"Basic {login}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        said: Any = json.load(answer)
    return str(said["refresh_token"])
