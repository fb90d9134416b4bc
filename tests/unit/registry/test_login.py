"""A login is tried against a real registry, and kept so that Docker's own file stays its owner's."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import bcrypt
import pytest

from provision.errors import ConfigError
from provision.registry.credentials import Credentials, find
from provision.registry.errors import RegistryError, RegistryLoginError
from provision.registry.login import attempt, forget, save
from provision.spec import Registry
from tests.lab.authority import make
from tests.lab.cli import COMMAND, environment
from tests.lab.registry import Registry as Server
from tests.lab.terminal import Terminal
from tests.lab.tokens import TokenServer

PASSWORD = "p:w é\"'$"
registry_needed = pytest.mark.needs("docker-registry")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """An environment whose Docker configuration is the test's own."""
    return {"DOCKER_CONFIG": str(tmp_path / "docker")}


def tried(host: str, user: str, password: str, registries: Mapping[str, Registry] | None = None) -> bool:
    credentials = Credentials(user=user, password=password, source="here")
    return attempt(host, registries or {}, credentials, connect_timeout=5)


def basic(folder: Path) -> dict[str, object]:
    file = folder / "htpasswd"
    file.write_bytes(b"me:" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)) + b"\n")
    return {"htpasswd": {"realm": "lab", "path": str(file)}}


@registry_needed
def test_a_password_is_tried(tmp_path: Path) -> None:
    authority, own = make(tmp_path)
    with Server(auth=basic(tmp_path), tls=(own.certificate, own.key)) as server:
        trusted = {server.address: Registry(ca=(str(authority),))}
        assert tried(server.address, "me", PASSWORD, trusted)
        with pytest.raises(RegistryLoginError, match="refuses the login"):
            tried(server.address, "me", "wrong", trusted)


@registry_needed
def test_a_password_is_tried_at_the_token_service(tmp_path: Path) -> None:
    authority, own = make(tmp_path)
    with (
        TokenServer(own, users={"me": PASSWORD}) as tokens,
        Server(auth=tokens.settings(authority)) as server,
    ):
        assert tried(server.address, "me", PASSWORD)
        with pytest.raises(RegistryLoginError, match="refuses the login"):
            tried(server.address, "me", "wrong")


@registry_needed
def test_a_registry_that_asks_for_nothing() -> None:
    with Server() as server:
        assert not tried(server.address, "me", "pw")


def test_a_login_is_kept_for_its_owner_alone(settings: dict[str, str]) -> None:
    place = Path(save("registry.example", "me", PASSWORD, settings))
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    found = find("registry.example", settings)
    assert found is not None
    assert (found.user, found.password) == ("me", PASSWORD)
    assert os.listdir(place.parent) == ["config.json"]  # noqa: PTH208
    assert forget("registry.example", settings)
    assert not forget("registry.example", settings)
    assert find("registry.example", settings) is None


def test_docker_hub_has_one_entry(settings: dict[str, str]) -> None:
    place = Path(save("docker.io", "me", "pw", settings))
    assert list(json.loads(place.read_text())["auths"]) == ["https://index.docker.io/v1/"]
    place.write_text('{"auths": {"docker.io": {"auth": "YTpi"}, "index.docker.io": {"auth": "YTpi"}}}')
    assert forget("docker.io", settings)
    assert json.loads(place.read_text()) == {"auths": {}}


def test_somebody_elses_file_stays(settings: dict[str, str]) -> None:
    file = Path(settings["DOCKER_CONFIG"]) / "config.json"
    file.parent.mkdir()
    text = '{\n    "psFormat": "table {{.ID}}",\n    "auths": {\n        "a": {"auth": "YTpi"}\n    }\n}\n'
    file.write_text(text)
    save("b:5000", "me", "pw", settings)
    assert file.read_text() == text.replace("}\n    }", '},\n        "b:5000": {"auth": "bWU6cHc="}\n    }')
    forget("b:5000", settings)
    assert file.read_text() == text


def test_a_link_to_the_file_stays_a_link(settings: dict[str, str], tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    link = Path(settings["DOCKER_CONFIG"]) / "config.json"
    link.parent.mkdir()
    link.symlink_to(real)
    save("a", "me", "pw", settings)
    assert link.is_symlink()
    assert "a" in json.loads(real.read_text())["auths"]


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": []}', '{"auths": 3}'])
def test_a_file_that_is_wrong_stays_as_it_is(settings: dict[str, str], text: str) -> None:
    file = Path(settings["DOCKER_CONFIG"]) / "config.json"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ConfigError):
        save("a", "me", "pw", settings)
    assert file.read_text() == text
    assert os.listdir(file.parent) == ["config.json"]  # noqa: PTH208


def test_logins_at_once_are_all_kept(settings: dict[str, str]) -> None:
    code = "import sys; from provision.registry.login import save; save(sys.argv[1], 'me', 'pw')"
    runs = [
        subprocess.Popen([sys.executable, "-c", code, f"host{number}"], env=os.environ | settings)
        for number in range(8)
    ]
    assert [run.wait() for run in runs] == [0] * 8
    text = (Path(settings["DOCKER_CONFIG"]) / "config.json").read_text()
    assert sorted(json.loads(text)["auths"]) == [f"host{number}" for number in range(8)]


HELPER = """#!/usr/bin/env python3
import json, pathlib, sys
store = pathlib.Path(__file__).with_name("store.json")
kept = json.loads(store.read_text()) if store.exists() else {}
given = sys.stdin.read()
if sys.argv[1] == "store":
    kept[json.loads(given)["ServerURL"]] = json.loads(given)
elif sys.argv[1] == "erase":
    del kept[given]
elif given in kept:
    print(json.dumps(kept[given]))
else:
    sys.exit(print("credentials not found in native keychain") or 1)
store.write_text(json.dumps(kept))
"""


def test_a_helper_keeps_it(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/docker-credential-lab"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    file = Path(settings["DOCKER_CONFIG"]) / "config.json"
    file.parent.mkdir()
    file.write_text('{"credsStore": "lab"}')
    assert save("a", "me", PASSWORD, settings) == "docker-credential-lab"
    assert json.loads(file.read_text()) == {"credsStore": "lab", "auths": {"a": {}}}
    found = find("a", settings)
    assert found is not None
    assert (found.user, found.password) == ("me", PASSWORD)
    assert forget("a", settings)
    assert not forget("a", settings)
    assert json.loads(file.read_text()) == {"credsStore": "lab", "auths": {}}
    assert find("a", settings) is None


def run(
    *arguments: str, home: Path, given: str = "", program: str = str(COMMAND)
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        input=given,
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


@registry_needed
def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / ".docker/config.json"
    with Server(auth=basic(tmp_path)) as server:
        wrong = run("login", server.address, "-u", "me", "--password-stdin", home=tmp_path, given="secret\n")
        assert (wrong.returncode, wrong.stdout) == (3, "")
        assert f"{server.address} refuses the login" in wrong.stderr
        assert "secret" not in wrong.stderr
        assert not file.exists()
        done = run(
            "login", server.address, "-u", "me", "--password-stdin", home=tmp_path, given=f"{PASSWORD}\n"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"✓ log in to {server.address} as me\n")
        assert PASSWORD not in done.stdout + done.stderr
        found = find(server.address, {"DOCKER_CONFIG": str(file.parent)})
        assert found is not None
        assert found.password == PASSWORD
        seen = run("verify", f"{server.address}/none", home=tmp_path)
        assert f"there is no {server.address}/none:latest" in seen.stderr
        out = run("logout", server.address, "--format=json", home=tmp_path)
        assert json.loads(out.stdout)["hosts"][0]["status"] == "changed"
        seen = run("verify", f"{server.address}/none", home=tmp_path)
        assert seen.stderr.endswith(f"provision login {server.address}\n")


@registry_needed
def test_the_command_on_a_terminal(tmp_path: Path) -> None:
    with Server(auth=basic(tmp_path)) as server:
        command = ["env", f"HOME={tmp_path}", str(COMMAND), "login", server.address]
        with Terminal(command) as screen:
            screen.expect(f"user of {server.address}: ")
            screen.press("me\n")
            screen.expect(f"password of me at {server.address}: ")
            screen.press(f"{PASSWORD}\n")
            text = screen.expect("(credsStore)")
        assert PASSWORD not in text
        assert find(server.address, {"DOCKER_CONFIG": str(tmp_path / ".docker")})


@registry_needed
@pytest.mark.needs("skopeo")
def test_other_programs_read_it(tmp_path: Path) -> None:
    with Server(auth=basic(tmp_path)) as server:
        (tmp_path / "none").mkdir()
        save(server.address, "me", PASSWORD, {"DOCKER_CONFIG": str(tmp_path / ".docker")})
        asked = run(
            "list-tags",
            "--tls-verify=false",
            f"docker://{server.address}/x",
            home=tmp_path,
            program="skopeo",
        )
        assert "unauthorized" not in asked.stderr.lower()
        assert "404" in asked.stderr
        nobody = run(*asked.args[1:], home=tmp_path / "none", program="skopeo")
        assert "404" not in nobody.stderr


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (("--password", "secret"), "", "a password in an argument is refused"),
        (("-u", "me", "-p", "secret"), "", "a password in an argument is refused"),
        (("--password-stdin",), "secret", "--password-stdin needs a user"),
        (("-u", "me"), "", "there is no terminal to ask for the password"),
        (("-u", "me", "--password-stdin"), "\n", "the password is empty"),
        (("-u", "a:b", "--password-stdin"), "secret", "a user has a name, without a colon"),
    ],
)
def test_what_cannot_be_a_login(tmp_path: Path, words: tuple[str, ...], given: str, message: str) -> None:
    seen = run("login", "127.0.0.1:1", *words, home=tmp_path, given=given)
    assert (seen.returncode, seen.stdout) == (1, "")
    assert f"error: {message}" in seen.stderr
    assert "secret" not in seen.stderr
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@registry_needed
def test_what_is_no_registry() -> None:
    with Server() as server, pytest.raises(RegistryError, match="does not answer as a registry does"):
        tried(f"{server.address}/x", "me", "pw")


def test_the_password_of_the_file_is_what_docker_writes(settings: dict[str, str]) -> None:
    place = Path(save("a", "me", "pw", settings))
    coded = json.loads(place.read_text())["auths"]["a"]["auth"]
    assert base64.b64decode(coded) == b"me:pw"
