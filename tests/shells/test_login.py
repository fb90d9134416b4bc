"""`login` and `logout` on a host, in every shell: Docker's file stays its owner's, to the byte."""

from __future__ import annotations

import base64
import json

import pytest

from provision.commands import remote_login
from provision.errors import ConfigError, HostError
from provision.result import HostResult
from provision.transport import Secret
from tests.shells.machine import Machine

FILE = "/root/.docker/config.json"
PASSWORD = "p:w é\"'$`\\"
CODED = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
HELPER = """#!/bin/sh
printf '%s\\n' "$*" >>/lab/verbs
cat >>/lab/given
[ ! -e /lab/broken ] || { echo "no key service"; exit 1; }
"""


def login(machine: Machine, registry: str = "reg.example:5000") -> HostResult:
    return remote_login.login(machine.space, registry, "me", Secret(PASSWORD))


@pytest.fixture(autouse=True)
def _home(machine: Machine) -> None:
    machine.open("export HOME=/root; mkdir -p /proc/sys/fs/binfmt_misc 2>/dev/null; true")


def test_the_first_login(machine: Machine) -> None:
    result = login(machine)
    assert (result.status, result.steps[0].target) == ("changed", "reg.example:5000 as me")
    assert json.loads(machine.at(FILE).read_text()) == {"auths": {"reg.example:5000": {"auth": CODED}}}
    assert machine.at(FILE).stat().st_mode & 0o777 == 0o600
    assert machine.at("/root/.docker").stat().st_mode & 0o777 == 0o700
    assert machine.listing("/root/.docker") == ["config.json"]
    assert PASSWORD not in str(result)


def test_the_rest_of_the_file_stays(machine: Machine) -> None:
    before = '{\n\t"auths": {\n\t\t"other": {"auth": "eA=="}\n\t},\n\t"x": 1e2 }\n\n'
    machine.write(FILE, before)
    login(machine)
    text = machine.at(FILE).read_text()
    assert text.startswith('{\n\t"auths": {\n\t\t"other": {"auth": "eA=="}')
    assert text.endswith('\n\t},\n\t"x": 1e2 }\n\n')
    assert remote_login.logout(machine.space, "reg.example:5000").status == "changed"
    assert machine.at(FILE).read_text() == before
    assert remote_login.logout(machine.space, "reg.example:5000").status == "ok"


def test_a_link_stays_a_link(machine: Machine) -> None:
    machine.write("/root/dotfiles/docker.json", "{}\n")
    machine.at("/root/.docker").mkdir()
    machine.at(FILE).symlink_to("../dotfiles/docker.json")
    login(machine)
    assert machine.at(FILE).is_symlink()
    assert CODED in machine.at("/root/dotfiles/docker.json").read_text()


def test_a_helper_keeps_it(machine: Machine) -> None:
    machine.base.place("docker-credential-lab", HELPER)
    machine.write(FILE, '{"credsStore": "lab"}\n')
    login(machine)
    assert machine.at("/lab/verbs").read_text() == "store\n"
    said = json.loads(machine.at("/lab/given").read_text())
    assert said == {"ServerURL": "reg.example:5000", "Username": "me", "Secret": PASSWORD}
    assert json.loads(machine.at(FILE).read_text())["auths"] == {"reg.example:5000": {}}
    remote_login.logout(machine.space, "reg.example:5000")
    assert machine.at("/lab/verbs").read_text() == "store\nerase\n"


@pytest.mark.parametrize("broken", [True, False], ids=["fails", "is missing"])
def test_a_helper_that_does_not_work_changes_nothing(machine: Machine, broken: bool) -> None:
    if broken:
        machine.base.place("docker-credential-lab", HELPER)
        machine.write("/lab/broken", "")
    machine.write(FILE, '{"credsStore": "lab"}\n')
    with pytest.raises(HostError) as caught:
        login(machine)
    assert ("no key service" if broken else "is not installed") in caught.value.cause
    assert machine.at(FILE).read_text() == '{"credsStore": "lab"}\n'


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": 1}'])
def test_a_broken_file_is_left_alone(machine: Machine, text: str) -> None:
    machine.write(FILE, text)
    with pytest.raises((ConfigError, HostError)):
        login(machine)
    assert machine.at(FILE).read_text() == text


def test_another_login_at_the_same_time_is_not_lost(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = remote_login._written, iter(range(9))

    def written(*arguments: object) -> bool:
        if next(times) == 0:  # between our reading and our writing
            machine.write(FILE, '{"auths": {"other": {"auth": "eA=="}}}\n')
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(remote_login, "_written", written)
    login(machine)
    assert set(json.loads(machine.at(FILE).read_text())["auths"]) == {"other", "reg.example:5000"}


def test_a_place_that_cannot_be_written(machine: Machine) -> None:
    machine.write("/root/.docker", "a file\n")
    with pytest.raises(HostError) as caught:
        login(machine)
    assert "docker" in str(caught.value.cause).lower()
