"""Endpoints, and the sections of an SSH configuration that some of them need."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from provision.builder import ssh_files
from provision.builder.way import Way, destination, way
from provision.errors import UsageError
from provision.transport import SshSettings, Target
from provision.transport.ssh.config import Endpoint

END = Endpoint(
    host="10.0.0.7",
    port=22,
    user="me",
    key_name="10.0.0.7",
    known_hosts=(Path("/home/me/.ssh/known_hosts"),),
    identities=(),
    certificates=(),
    identities_only=False,
    agent=None,
    jumps=(),
    proxy_command=None,
    connect_timeout=10.0,
)
PLAIN = SshSettings()


def to(target: Target, ssh: SshSettings = PLAIN, **changed: object) -> Way:
    return way("fleet", "pi1", target, ssh, lambda _target, _ssh: replace(END, **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [
        (Target(name="pi1", host="pi1"), "ssh://pi1"),
        (Target(name="pi1", host="10.0.0.7", user="ci", port=2222), "ssh://ci@10.0.0.7:2222"),
        (Target(name="pi1", host="fe80::1", user="ci"), "ssh://ci@[fe80::1]"),
    ],
)
def test_what_ssh_finds_by_itself_needs_no_alias(target: Target, endpoint: str) -> None:
    assert to(target) == Way(endpoint=endpoint)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("ssh://pi1", ("--", "pi1")),
        ("ssh://ci@10.0.0.7:2222", ("-l", "ci", "-p", "2222", "--", "10.0.0.7")),
        ("ssh://ci@[fe80::1]:22", ("-l", "ci", "-p", "22", "--", "fe80::1")),
    ],
)
def test_the_words_of_ssh_are_those_of_buildkit(endpoint: str, words: tuple[str, ...]) -> None:
    assert destination(endpoint) == words


def test_the_user_of_all_hosts_counts_where_ssh_has_none() -> None:
    everybody = SshSettings(user="ops")
    assert to(Target(name="pi1", host="pi1"), everybody, user="ops").endpoint == "ssh://ops@pi1"


@pytest.mark.parametrize(
    ("target", "ssh"),
    [
        (Target(name="pi1", host="pi1"), SshSettings(config=Path("/etc/other_config"))),
        (Target(name="pi1", host="pi1"), SshSettings(known_hosts=Path("/etc/known"))),
        (Target(name="pi1", host="pi1", jump="gate"), PLAIN),
        (Target(name="pi1", host="pi1", identity_files=(Path("/key"),)), PLAIN),
        (Target(name="pi1", host="pi+1"), PLAIN),
    ],
)
def test_whatever_ssh_is_not_told_by_an_endpoint_needs_an_alias(target: Target, ssh: SshSettings) -> None:
    found = to(target, ssh)
    assert found.endpoint == "ssh://provision.fleet.pi1"
    assert [each.alias for each in found.sections] == ["provision.fleet.pi1"]


def test_each_jump_host_has_an_alias_of_its_own() -> None:
    ends = {
        "pi1": replace(END, jumps=("outer", "ops@inner:2222")),
        "inner": replace(END, host="inner.example", port=2222, user="ops", jumps=("outer",)),
        "outer": replace(END, host="outer.example"),
    }
    target = Target(name="pi1", host="pi1", jump="outer,ops@inner:2222")
    found = way("fleet", "pi1", target, PLAIN, lambda each, _ssh: ends[each.host])
    assert [(each.alias, each.end.host, each.jump) for each in found.sections] == [
        ("provision.fleet.pi1.jump.jump", "outer.example", None),
        ("provision.fleet.pi1.jump", "inner.example", "provision.fleet.pi1.jump.jump"),
        ("provision.fleet.pi1", "10.0.0.7", "provision.fleet.pi1.jump"),
    ]


def test_a_circle_of_jump_hosts_ends() -> None:
    with pytest.raises(UsageError, match="circle"):
        to(Target(name="pi1", host="pi1", jump="pi1"), jumps=("pi1",))


@pytest.mark.needs("ssh")
def test_ssh_reads_back_what_was_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks, a percent sign, a port, an alias for the key, a command whose tokens were replaced already."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    end = replace(
        END,
        port=2222,
        key_name="pi1.example",
        known_hosts=(Path("/a b/known%hosts"), Path("/etc/ssh/known")),
        identities=(Path("/keys/id 1"),),
        identities_only=True,
        proxy_command="nc --name 50%n 10.0.0.7",
    )
    found = way(
        "fleet", "pi1", Target(name="pi1", host="pi1"), replace(PLAIN, config=tmp_path), lambda _t, _s: end
    )
    (tmp_path / "config").write_text(ssh_files.text("fleet", found.sections, 15))
    done = subprocess.run(
        ["ssh", "-G", "-F", str(tmp_path / "config"), *destination(found.endpoint)],
        check=True,
        capture_output=True,
        text=True,
    )
    read = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {
        "hostname": "10.0.0.7",
        "port": "2222",
        "user": "me",
        "hostkeyalias": "pi1.example",
        "identitiesonly": "yes",
        "identityagent": "none",
        "stricthostkeychecking": "true",
        "proxycommand": "nc --name 50%%n 10.0.0.7",
        "connecttimeout": "10",
        "serveraliveinterval": "15",
    }.items() <= read.items()
    assert read["identityfile"].endswith("id 1")
    assert "known%" in read["userknownhostsfile"]


def test_the_users_configuration_gets_one_line_at_its_top_and_loses_it_again(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text("Host pi1\n  User ci\n")
    (tmp_path / "dotfiles").chmod(0o640)
    config = tmp_path / "config"
    config.symlink_to("dotfiles")
    for name in ("one", "two"):
        assert str(config) in ssh_files.write(name, "Host x\n", tmp_path) or name == "two"
        assert ssh_files.write(name, "Host x\n", tmp_path) == ()
    assert [line for line in config.read_text().splitlines() if line][1:] == [
        ssh_files.INCLUDE, "Host pi1", "  User ci"
    ]  # fmt: skip
    assert config.is_symlink()
    assert (tmp_path / "dotfiles").stat().st_mode & 0o777 == 0o640
    ssh_files.remove("one", tmp_path)
    assert ssh_files.INCLUDE in config.read_text()
    ssh_files.remove("two", tmp_path)
    assert config.read_text() == "Host pi1\n  User ci\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "dotfiles"]
    assert ssh_files.remove("two", tmp_path) == ()


def test_without_a_configuration_there_is_none_afterwards(tmp_path: Path) -> None:
    ssh_files.write("one", "Host x\n", tmp_path)
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o600
    ssh_files.remove("one", tmp_path)
    assert list(tmp_path.iterdir()) == []
