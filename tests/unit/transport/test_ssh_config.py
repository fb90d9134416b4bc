"""What the user's SSH configuration says of a host."""

from __future__ import annotations

import getpass
import os
import pwd
import shlex
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import UsageError
from provision.transport import SshSettings, Target
from provision.transport.ssh import asked
from provision.transport.ssh.config import Endpoint, endpoint, resolve
from provision.transport.ssh.jumps import parsed
from provision.transport.ssh.tokens import home, own_user

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
    assert ask(tmp_path, "ConnectTimeout 0\n").connect_timeout == 10
    zero = endpoint(Target(name="pi", host="pi"), SshSettings(connect_timeout=4), {"connecttimeout": ("0",)})
    assert zero.connect_timeout == 4


@needs_ssh
def test_the_target_beats_the_configuration(tmp_path: Path) -> None:
    text = "Host pi\n User a\n Port 1\n ProxyJump x\n IdentityFile /k\n"
    found = ask(tmp_path, text, user="b", port=2, jump="none", identity_files=(Path("/mine"),))
    assert (found.user, found.port, found.jumps) == ("b", 2, ())
    assert found.identities == (Path("/mine"), Path("/k"))


@needs_ssh
def test_a_connect_timeout_that_was_given_beats_the_configuration(tmp_path: Path) -> None:
    settings = replace(configured(tmp_path, "ConnectTimeout 25\n"), connect_timeout=2)
    assert resolve(Target(name="pi", host="pi"), settings).connect_timeout == 2


@needs_ssh
def test_jumps_are_a_chain_and_beat_a_proxy_command(tmp_path: Path) -> None:
    found = ask(tmp_path, "Host pi\n ProxyJump a,b@c:2\n")
    assert found.jumps == ("a", "b@c:2")
    assert found.proxy[-7:] == ("-l", "b", "-p", "2", "-W", "[pi]:22", "--", "c")[-7:]
    (nested,) = [word.partition("=")[2] for word in found.proxy if word.startswith("ProxyCommand=")]
    assert shlex.split(nested)[-4:] == ["-W", "[c]:2", "--", "a"]
    found = ask(tmp_path, "Host pi\n ProxyCommand nc %h %p\n", jump="gate")
    assert found.jumps == ("gate",)
    assert found.proxy[0] == "ssh"
    shell = os.environ.get("SHELL") or "/bin/sh"
    assert ask(tmp_path, "ProxyCommand nc %h %p %%x\n", port=7).proxy == (shell, "-c", "exec nc pi 7 %x")


@needs_ssh
def test_what_ssh_prints_raw_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYDIR", str(tmp_path))
    text = (
        "Host pi\n HostName pi.example\n Port 2222\n User me\n HostKeyAlias rack\n"
        " IdentityFile ${KEYDIR}/%k-%h-%n-%p-%r-%%-%i\n CertificateFile ${KEYDIR}/%L\n"
        f' UserKnownHostsFile "{tmp_path}/a b/kh" {tmp_path}/c\n GlobalKnownHostsFile none\n'
    )
    found = ask(tmp_path, text)
    assert found.identities == (tmp_path / f"rack-pi.example-pi-2222-me-%-{os.getuid()}",)
    assert found.certificates == (tmp_path / socket.gethostname().partition(".")[0],)
    assert found.known_hosts == (tmp_path / "a b" / "kh", tmp_path / "c")


@needs_ssh
def test_home_is_where_ssh_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME may say something else: sudo -E, a container of a CI system."""
    own = pwd.getpwuid(os.getuid())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "somebody")
    found = ask(
        tmp_path, "IdentityFile ~/.ssh/a\nIdentityFile %d/b-%u\nIdentityFile ~root/c\nRevokedHostKeys ~/r\n"
    )
    home = Path(own.pw_dir)
    assert found.identities == (
        home / ".ssh/a",
        home / f"b-{own.pw_name}",
        Path(pwd.getpwnam("root").pw_dir) / "c",
    )
    assert found.revoked == (home / "r",)
    assert {file.parent for file in ask(tmp_path, "").identities} == {home / ".ssh"}
    assert ask(tmp_path, "").known_hosts[0] == home / ".ssh/known_hosts"


def test_a_user_whom_nobody_knows_has_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container with any user id. `ssh` itself ends there, and its words are shown: it was a crash."""
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (home(), own_user()) == (tmp_path, "54321")


@needs_ssh
@pytest.mark.parametrize("path", ["${PROVISION_NOWHERE}/id", "~no-such-user/id", "/k/%Q"])
def test_what_cannot_be_expanded_is_refused_in_words(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(tmp_path, f"IdentityFile {path}\n")
    assert "the SSH configuration" in caught.value.message


@needs_ssh
def test_an_address_family_and_an_own_address(tmp_path: Path) -> None:
    found = ask(tmp_path, "AddressFamily inet\nBindAddress 127.0.0.2\n")
    assert (found.family, found.bind) == ("inet", "127.0.0.2")
    assert ask(tmp_path, "BindInterface lo\n").interface == "lo"
    assert (ask(tmp_path, "").family, ask(tmp_path, "").bind) == ("any", None)


@needs_ssh
def test_a_match_exec_that_hangs_is_named_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "_ASK_SECONDS", 1)
    left = tmp_path / "left"
    with pytest.raises(UsageError, match="not read within 1 s") as caught:
        ask(tmp_path, f'Match exec "sleep 3; touch {left}"\n User x\n')
    assert "sleep 3" in caught.value.cause
    time.sleep(3)
    assert not left.exists()


@needs_ssh
def test_a_match_exec_runs_once_for_a_host(tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = configured(tmp_path, f'Match exec "echo once >>{log}"\n User x\n')
    for _ in range(3):
        resolve(Target(name="pi", host="pi"), settings)
    assert log.read_text(encoding="ascii") == "once\n"


@needs_ssh
@pytest.mark.parametrize("setting", ["PubkeyAuthentication no"])
def test_what_is_not_supported_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(UsageError, match="is not supported"):
        ask(tmp_path, f"{setting}\n")


@needs_ssh
def test_the_settings_user_stands_in_only_where_nothing_else_names_one(tmp_path: Path) -> None:
    settings = replace(configured(tmp_path, "Host named\n User theirs\n"), user="ours")
    assert resolve(Target(name="x", host="x"), settings).user == "ours"
    assert resolve(Target(name="x", host="named"), settings).user == "theirs"
    assert resolve(Target(name="x", host="x", user="mine"), settings).user == "mine"


@needs_ssh
def test_our_own_name_in_the_configuration_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = pwd.getpwuid(os.getuid()).pw_name
    settings = replace(configured(tmp_path, f"Host named\n User {own}\n"), user="ours")
    assert resolve(Target(name="x", host="named"), settings).user == own
    assert resolve(Target(name="x", host="x"), settings).user == "ours"
    # As after su, or with sudo -E: ssh goes by the user id.
    monkeypatch.setenv("LOGNAME", "somebody")
    assert resolve(Target(name="x", host="other"), settings).user == "ours"


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


def test_without_ssh_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no ssh on this machine") as caught:
        ask(tmp_path, "Host pi\n HostName 10.0.0.5\n")
    assert "openssh-client" in caught.value.hint


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
    found = parsed(text, name="jump", jump=None)
    assert (found.user, found.host, found.port) == (user, host, port)


def test_what_is_no_jump_host_is_refused() -> None:
    with pytest.raises(UsageError, match="no jump host"):
        parsed("a:b:c", name="jump", jump=None)
