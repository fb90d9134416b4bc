"""What the configuration says of a host reaches the transport; passwords and keys are had before any contact."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.config.load import load
from provision.errors import BecomeError
from provision.hosts.connect import Connector
from provision.hosts.selection import parse_selection
from provision.spec import Config, Host
from provision.transport.ssh.config import resolve
from provision.transport.ssh.known_hosts import HostKey
from tests.unit.typed import flags

FILE = """
platforms = ["linux/amd64", "linux/arm64"]
[emulation]
interpreters = "/opt/qemu/qemu-{qemu}"
[ssh]
config = "ssh_config"
known_hosts = "known"
user = "deploy"
connect_timeout = 3
keepalive = 7
sudo_password_command = "echo everywhere"
[hosts.pi1]
host = "10.0.0.5"
user = "ci"
port = 2222
jump = "me@gate:2200"
platforms = ["linux/arm/v7"]
interpreters = "packages"
sudo = true
sudo_password_command = "echo 'pass of pi1'"
[hosts.ci2]
sudo = false
[groups]
runners = ["pi1", "ci2"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "provision.toml"
    file.write_text(FILE)
    (tmp_path / "ssh_config").write_text("")
    return load(file)


def made(config: Config, *, ask: bool = False, said: Callable[[str], None] = print) -> Connector:
    return Connector(config=config, ask_password=ask, say=said)


def selected(config: Config, text: str) -> tuple[Host, ...]:
    return parse_selection(text, config.inventory, lambda _name: True)


def test_every_setting_of_a_host_reaches_its_target(config: Config) -> None:
    pi1, ci2 = selected(config, "@runners")
    target = made(config).target(pi1)
    assert (target.name, target.host, target.user, target.port) == ("pi1", "10.0.0.5", "ci", 2222)
    assert (target.jump, target.sudo) == ("me@gate:2200", "always")
    other = made(config).target(ci2)
    assert (other.host, other.user, other.port, other.jump, other.sudo) == ("ci2", None, None, None, "never")
    assert made(config).target(Host(name="typed")).sudo == "auto"


def test_settings_of_all_hosts(config: Config, tmp_path: Path) -> None:
    settings = made(config).settings()
    assert (settings.config, settings.known_hosts) == (tmp_path / "ssh_config", tmp_path / "known")
    assert (settings.user, settings.connect_timeout, settings.keepalive) == ("deploy", 3.0, 7)


def test_platforms_and_interpreters_are_each_hosts_own(config: Config) -> None:
    pi1, ci2 = selected(config, "@runners")
    assert config.spec_for(pi1).platforms == ("linux/arm/v7",)
    assert config.spec_for(pi1).emulation.interpreters == "packages"
    assert config.spec_for(ci2).platforms == ("linux/amd64", "linux/arm64")
    assert config.spec_for(ci2).emulation.interpreters == "/opt/qemu/qemu-{qemu}"


def passwords(machine: Connector) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in machine._passwords.items()}


def test_each_password_command_runs_once_and_a_hosts_own_beats_the_files(
    config: Config, tmp_path: Path
) -> None:
    counter = tmp_path / "runs"
    script = tmp_path / "password"
    script.write_text(f"#!/bin/sh\necho run >>{counter}\nprintf 'secret\\nnot this line\\n'\n")
    script.chmod(0o755)
    common = load(config.path, flags(sudo_password_command=None))
    file = tmp_path / "provision.toml"
    file.write_text(FILE.replace("echo everywhere", str(script)))
    common = load(file)
    machine = made(common)
    machine.prepare([*selected(common, "pi1,ci2"), Host(name="typed")])
    assert passwords(machine) == {"pi1": "pass of pi1", "ci2": "secret", "typed": "secret"}
    assert counter.read_text() == "run\n"


def test_a_password_is_asked_for_once_for_all(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return "typed"

    monkeypatch.setattr(getpass, "getpass", answer)
    machine = made(config, ask=True)
    machine.prepare(selected(config, "@runners"))
    assert passwords(machine) == {"pi1": "typed", "ci2": "typed"}
    assert len(prompts) == 1


@pytest.mark.parametrize("command", ["false", "true", "echo", "/nowhere/pass", "sh -c 'echo x; exit 3'"])
def test_a_password_command_that_fails_stops_all_before_any_contact(tmp_path: Path, command: str) -> None:
    file = tmp_path / "provision.toml"
    file.write_text(f'[ssh]\nsudo_password_command = "{command}"\n')
    with pytest.raises(BecomeError) as caught:
        made(load(file)).prepare([Host(name="192.0.2.1")])
    assert "sudo_password_command" in caught.value.message
    assert caught.value.hint


def test_a_password_is_nowhere_to_be_seen(config: Config) -> None:
    machine = made(config)
    host = Host(name="pi1", sudo_password_command="printf %s%s to gether")
    machine.prepare([host])
    transport = machine.connect(host)
    assert passwords(machine) == {"pi1": "together"}
    for text in (repr(machine), repr(transport), repr(vars(transport)), repr(dict(os.environ))):
        assert "together" not in text


# Host keys


@pytest.mark.needs("ssh")
def test_a_new_key_is_shown_and_a_known_hosts_that_cannot_be_written_is_named(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "known").mkdir()  # not even root writes to a folder
    key = HostKey(name="10.0.0.5", kind="ssh-ed25519", blob=b"key")
    said: list[str] = []
    machine = made(load(config.path, flags(accept_new_host_keys=True)), said=said.append)
    (host,) = selected(config, "pi1")
    end = resolve(machine.target(host), machine.settings())
    assert machine._new_keys.accept("pi1", end, key)
    assert machine._new_keys.accept("pi1 again", end, key)
    other = HostKey(name="10.0.0.5", kind="ssh-ed25519", blob=b"other")
    assert not machine._new_keys.accept("pi1", end, other)
    assert len(said) == 1
    assert str(key) in said[0]
    assert f"for this run only: {tmp_path / 'known'} is no file" in said[0]


@pytest.mark.needs("ssh")
def test_without_the_flag_no_key_is_accepted(config: Config) -> None:
    machine = made(config)
    (host,) = selected(config, "pi1")
    end = resolve(machine.target(host), machine.settings())
    assert not machine._new_keys.accept("pi1", end, HostKey(name="x", kind="ssh-ed25519", blob=b"key"))
