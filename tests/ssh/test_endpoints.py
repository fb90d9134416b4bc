"""The `ssh` that buildx starts goes to a host as this tool goes: the same user, port, jump hosts and keys."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from provision.builder import ssh_files
from provision.builder.way import destination, way
from provision.errors import ProvisionError
from provision.transport import SshSettings, Target
from provision.transport.ssh import SSH
from provision.transport.ssh.config import resolve
from tests.lab.proxy import Proxy
from tests.lab.sshd import Sshd
from tests.ssh.conftest import Serve
from tests.ssh.test_ways import PASS, RELAY

CAME: Final = 'echo "$(id -un)" $SSH_CONNECTION'
"""Who came, and from where to where."""
EVERYWHERE: Final = """
Host *
  RemoteCommand tmux
  RequestTTY yes
  ProxyCommand false
  LocalForward 1 127.0.0.1:1
  ExitOnForwardFailure yes
  ControlMaster auto
  ControlPersist 20
  ControlPath SHORT/%C
"""
"""What the person has for all hosts, and what must not count for those of `builder`."""


def came(said: str) -> list[str]:
    """The port at the near end is another one each time."""
    user, origin, _, address, port = said.split()
    return [user, origin, address, port]


def ours(target: Target, settings: SshSettings) -> list[str]:
    with SSH(target, settings) as host:
        return came(host.ask(CAME, timeout=10).records[0])


def theirs(folder: Path, target: Target, settings: SshSettings) -> subprocess.CompletedProcess[str]:
    """By OpenSSH, with what `builder` writes and with the words of BuildKit's connection helper."""
    found = way("fleet", "box", target, settings, resolve)
    assert found.sections
    words = ["ssh", "-F", str(folder / "config"), *destination(found.endpoint), CAME]
    with tempfile.TemporaryDirectory() as short:  # a socket's name may have 107 bytes
        everywhere = EVERYWHERE.replace("SHORT", short)
        (folder / "config").write_text(ssh_files.text("fleet", found.sections, 15) + everywhere)
        done = subprocess.run(words, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert not list(Path(short).iterdir()), "no node's connection is that of another"
    return done


def same(folder: Path, target: Target, settings: SshSettings) -> list[str]:
    """How both came."""
    done = theirs(folder, target, settings)
    assert done.returncode == 0, done.stderr
    assert came(done.stdout) == ours(target, settings)
    return came(done.stdout)


def known(server: Sshd) -> tuple[str, str]:
    kind, key = server.host_key.with_suffix(".pub").read_text(encoding="ascii").split()[:2]
    return kind, key


def test_jump_hosts_each_with_a_user_port_and_key_of_its_own(serve: Serve, tmp_path: Path) -> None:
    """Nobody's key opens another server, and each line is gone along by both."""
    outer, inner, end = serve(users=True), serve(users=True), serve(users=True)
    with Proxy(outer.port) as first, Proxy(inner.port) as second:
        outer.trust(first.port)
        outer.trust(second.port, key=inner.host_key)
        outer.trust(end.port, key=end.host_key)
        outer.configure(
            f"Host outer\n HostName 127.0.0.1\n Port {first.port}\n User guest\n IdentityFile {outer.key}\n"
            f"Host inner\n HostName 127.0.0.1\n Port {second.port}\n IdentityFile {inner.key}\n"
            f"Host end\n HostName 127.0.0.1\n Port {end.port}\n User plain\n IdentityFile {end.key}\nHost *\n"
        )
        target = Target(name="box", host="end", jump="outer,ci@inner", sudo="never")
        assert same(tmp_path, target, outer.settings) == ["plain", "127.0.0.1", "127.0.0.1", str(end.port)]
        assert (first.line.connections, second.line.connections) == (2, 2)


@pytest.mark.parametrize(
    "configuration",
    [
        "ProxyCommand sh -c 'test %n-%%n = \"127.0.0.1-%%n\" && exec RELAY %p'",
        "ProxyCommand PASS\nProxyUseFdpass yes",
        "BindAddress 127.0.0.7",
        "BindInterface lo",
        "AddressFamily inet",
        "ConnectionAttempts 3",
        "HostKeyAlias another",
        "KexAlgorithms ecdh-sha2-nistp256",
        "KnownHostsCommand KNOWN",
        "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null",
    ],
    ids=lambda text: text.split()[0],
)
def test_every_setting_that_leads_there_is_taken_along(
    serve: Serve, tmp_path: Path, configuration: str
) -> None:
    server = serve(KexAlgorithms="ecdh-sha2-nistp256")
    kind, key = known(server)
    programs = {"RELAY": RELAY, "PASS": PASS, "KNOWN": f"print('[127.0.0.1]:{server.port} {kind} {key}')"}
    for name, text in programs.items():
        program = tmp_path / name.lower()
        program.write_text(f"#!{sys.executable}\n{text}", encoding="ascii")
        program.chmod(0o755)
        configuration = configuration.replace(name, f"{program}{f' {server.port}' * (name == 'PASS')}")
    if "known" in configuration:
        server.known_hosts.write_text("", encoding="ascii")
    if "Alias" in configuration:
        server.known_hosts.write_text(f"another {kind} {key}\n", encoding="ascii")
    server.configure(configuration)
    same(tmp_path, server.target(sudo="never"), server.settings)


@pytest.mark.parametrize(
    "setting", ["RevokedHostKeys KEY", "KexAlgorithms curve25519-sha256", "AddressFamily inet6"]
)
def test_what_keeps_this_tool_from_a_host_keeps_buildx_from_it(
    serve: Serve, tmp_path: Path, setting: str
) -> None:
    """A key that was revoked above all."""
    server = serve(KexAlgorithms="ecdh-sha2-nistp256")
    server.configure(setting.replace("KEY", str(server.host_key.with_suffix(".pub"))))
    target = server.target(sudo="never")
    with pytest.raises(ProvisionError):
        ours(target, server.settings)
    assert theirs(tmp_path, target, server.settings).returncode == 255


def test_an_ssh_that_knows_fewer_algorithms_can_read_it(serve: Serve) -> None:
    """What is as every ssh has it by itself is not written: --print is for other machines."""
    server = serve()
    found = way("fleet", "box", server.target(), server.settings, resolve)
    written = ssh_files.text("fleet", found.sections, 15).lower()
    assert not [
        word for word in ("ciphers", "kexalgorithms", "requiredrsasize", "family") if word in written
    ]
    assert replace(found.sections[-1], plain=None).own == {}
