"""What the user's SSH configuration says of a host."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from provision.errors import UsageError
from provision.transport import SshSettings, Target
from provision.transport.ssh.config import Endpoint, endpoint, hop, resolve

needs_ssh = pytest.mark.needs("ssh")


def configured(folder: Path, text: str) -> SshSettings:
    file = folder / "config"
    file.write_text(text, encoding="utf-8")
    return SshSettings(config=file)


def ask(folder: Path, text: str, host: str = "pi", **target: object) -> Endpoint:
    return resolve(Target(name=host, host=host, **target), configured(folder, text))  # type: ignore[arg-type]


@needs_ssh
def test_include_match_and_tokens_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("Host pi\n  HostName %h.lab.example\n  Port 2222\n", encoding="ascii")
    text = (
        f"Include {tmp_path}/more\nMatch originalhost pi\n  User builder\n  IdentityFile {tmp_path}/%r@%h\n"
        f"Host *\n  UserKnownHostsFile {tmp_path}/a {tmp_path}/b\n  GlobalKnownHostsFile none\n"
        "  ConnectTimeout 3\n"
    )
    found = ask(tmp_path, text)
    assert (found.host, found.port, found.user) == ("pi.lab.example", 2222, "builder")
    assert found.key_name == "[pi.lab.example]:2222"
    assert found.identities == (tmp_path / "builder@pi.lab.example",)
    assert found.known_hosts == (tmp_path / "a", tmp_path / "b")
    assert found.connect_timeout == 3


@needs_ssh
def test_a_connect_timeout_of_0_is_none(tmp_path: Path) -> None:
    assert ask(tmp_path, "ConnectTimeout 0\n").connect_timeout == SshSettings().connect_timeout
    zero = endpoint(Target(name="pi", host="pi"), SshSettings(connect_timeout=4), {"connecttimeout": ("0",)})
    assert zero.connect_timeout == 4


@needs_ssh
def test_the_target_beats_the_configuration(tmp_path: Path) -> None:
    text = "Host pi\n User a\n Port 1\n ProxyJump x\n IdentityFile /k\n"
    found = ask(tmp_path, text, user="b", port=2, jump="none", identity_files=(Path("/mine"),))
    assert (found.user, found.port, found.jumps) == ("b", 2, ())
    assert found.identities == (Path("/mine"), Path("/k"))


@needs_ssh
def test_jumps_are_a_chain_and_beat_a_proxy_command(tmp_path: Path) -> None:
    assert ask(tmp_path, "ProxyJump a,b@c:2\n").jumps == ("a", "b@c:2")
    found = ask(tmp_path, "ProxyCommand nc %h %p\n", jump="gate")
    assert (found.jumps, found.proxy_command) == (("gate",), None)
    assert ask(tmp_path, "ProxyCommand nc %h %p %%x\n", port=7).proxy_command == "nc pi 7 %x"


@needs_ssh
def test_the_settings_user_stands_in_only_where_nothing_else_names_one(tmp_path: Path) -> None:
    config = configured(tmp_path, "Host named\n User theirs\n").config
    settings = SshSettings(config=config, user="ours")
    assert resolve(Target(name="x", host="x"), settings).user == "ours"
    assert resolve(Target(name="x", host="named"), settings).user == "theirs"
    assert resolve(Target(name="x", host="x", user="mine"), settings).user == "mine"


@needs_ssh
def test_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("MINE", "/run/mine")
    assert ask(tmp_path, "").agent == Path("/run/agent")
    assert ask(tmp_path, "IdentityAgent none\n").agent is None
    assert ask(tmp_path, "IdentityAgent SSH_AUTH_SOCK\n").agent == Path("/run/agent")
    assert ask(tmp_path, "IdentityAgent $MINE\n").agent == Path("/run/mine")
    assert ask(tmp_path, "IdentityAgent /run/x\n").agent == Path("/run/x")
    assert ask(tmp_path, "IdentitiesOnly yes\n").identities_only
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert ask(tmp_path, "").agent is None


@needs_ssh
def test_a_configuration_that_ssh_refuses_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        ask(tmp_path, "NoSuchOption yes\n")
    assert "nosuchoption" in caught.value.cause.lower()


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "two words", "", "new\nline", "nul\0"])
def test_a_name_that_could_be_an_option_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match="no host name"):
        ask(tmp_path, "", host=host)


def test_a_user_that_could_be_an_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        ask(tmp_path, "", user="-oX")


def test_without_ssh_paramiko_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = ask(tmp_path, "Host pi\n HostName 10.0.0.5\n User pi\n Port 2222\n IdentityFile ~/k\n")
    assert (found.host, found.user, found.port, found.key_name) == (
        "10.0.0.5",
        "pi",
        2222,
        "[10.0.0.5]:2222",
    )
    assert found.identities == (Path("~/k").expanduser(),)
    assert found.known_hosts == (Path("~/.ssh/known_hosts").expanduser(),)
    plain = resolve(Target(name="x", host="x"), SshSettings(config=tmp_path / "none", user="u"))
    assert (plain.host, plain.user, plain.port) == ("x", "u", 22)


def test_an_empty_configuration_is_enough() -> None:
    found = endpoint(Target(name="x", host="x"), SshSettings(), {})
    assert (found.host, found.port, found.user, found.jumps) == ("x", 22, getpass.getuser(), ())


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("gate", None, "gate", None),
        ("me@gate:22", "me", "gate", 22),
        ("me@[fe80::1]:2222", "me", "fe80::1", 2222),
        ("ssh://me@gate:22", "me", "gate", 22),
    ],
)
def test_a_jump_host_is_read(text: str, user: str | None, host: str, port: int | None) -> None:
    found = hop(text, name="jump", jump=None)
    assert (found.user, found.host, found.port) == (user, host, port)


def test_what_is_no_jump_host_is_refused() -> None:
    with pytest.raises(UsageError, match="no jump host"):
        hop("a:b:c", name="jump", jump=None)
