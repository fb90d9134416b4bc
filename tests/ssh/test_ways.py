"""Ways to a host: host keys, names, jump hosts, sockets."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from provision.config.load import load
from provision.errors import ConnectionLostError, HostKeyError, UnreachableError, UsageError
from provision.hosts.connect import Connector
from provision.transport import Target
from provision.transport.ssh import SSH
from provision.transport.ssh.known_hosts import UnknownKeyError
from provision.transport.ssh.new_keys import NewKeys
from tests.lab.patience import until
from tests.lab.proxy import Proxy
from tests.lab.sshd import Sshd, free_port, keygen
from tests.ssh.conftest import Serve, well

# Host keys


def accepting(said: list[str]) -> NewKeys:
    return NewKeys(said.append, accept=True)


def fingerprint(key: Path) -> str:
    told = subprocess.run(["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True)
    return told.stdout.split()[1]


def test_an_unknown_host_is_refused_and_can_be_added(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    target = sshd.target(sudo="never")
    with pytest.raises(UnknownKeyError) as caught:
        SSH(target, sshd.settings).open()
    assert fingerprint(sshd.host_key) in caught.value.cause
    said: list[str] = []
    with Proxy(sshd.port) as proxy:
        assert well(dataclasses.replace(target, port=proxy.port), sshd.settings, accepting(said))
        assert well(dataclasses.replace(target, port=proxy.port), sshd.settings, accepting(said))
        assert proxy.line.connections == 2, "one for each run, also for the one that learned the key"
    assert len(said) == 1
    assert fingerprint(sshd.host_key) in said[0]
    assert f"added to {sshd.known_hosts}" in said[0]


def test_the_line_that_is_told_adds_the_key(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    with pytest.raises(UnknownKeyError) as caught:
        SSH(sshd.target(), sshd.settings).open()
    command = shlex.split(caught.value.hint.partition("by logging in once: ")[2])
    yes = ["-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes"]
    subprocess.run([command[0], *yes, *command[1:]], check=True, capture_output=True)
    assert well(sshd.target(sudo="never"), sshd.settings)


def test_a_known_hosts_that_keeps_nothing(sshd: Sshd, tmp_path: Path) -> None:
    """As `vagrant ssh-config` has it, with and without the flag."""
    sshd.configure("UserKnownHostsFile /dev/null")
    target = sshd.target(sudo="never")
    with pytest.raises(UnknownKeyError) as caught:
        SSH(target, sshd.settings).open()
    assert ">> /dev/null" not in caught.value.hint
    assert "by logging in once" not in caught.value.hint
    assert caught.value.cause.count("/dev/null") == 1
    said: list[str] = []
    run = accepting(said)
    assert well(target, sshd.settings, run)
    sshd.configure("UserKnownHostsFile /dev/null\nStrictHostKeyChecking no")
    run = NewKeys(said.append)
    assert well(target, sshd.settings, run)
    assert well(target, sshd.settings, run)
    assert len(said) == 2
    assert "for this run only: /dev/null is no file" in said[1]
    sshd.restart(keygen(tmp_path / "another"))
    with pytest.raises(HostKeyError, match="has changed"):
        well(target, sshd.settings, run)


def test_names_are_hashed_where_the_configuration_says_so(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    sshd.configure("HashKnownHosts yes\nStrictHostKeyChecking accept-new")
    assert well(sshd.target(sudo="never"), sshd.settings)
    assert sshd.known_hosts.read_text(encoding="ascii").startswith("|1|")
    sshd.configure("StrictHostKeyChecking yes")
    assert well(sshd.target(sudo="never"), sshd.settings)


@pytest.mark.parametrize("kind", ["list", "krl", "missing", "other"])
def test_revoked_host_keys(sshd: Sshd, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "revoked"
    public = (
        sshd.host_key.with_suffix(".pub") if kind != "other" else keygen(tmp_path / "k").with_suffix(".pub")
    )
    if kind == "krl":
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", file, public], check=True)
    elif kind != "missing":
        shutil.copy(public, file)
    sshd.configure(f"RevokedHostKeys {file}")
    target = sshd.target(sudo="never")
    if kind == "other":
        assert well(target, sshd.settings)
        return
    with pytest.raises(HostKeyError, match="was revoked") as caught:
        well(target, sshd.settings, accepting([]))
    assert str(file) in caught.value.cause


def signed_host(serve: Serve, authority: Path, principal: str) -> Sshd:
    server = serve()
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-h", "-I", "box", "-n", principal, server.host_key],
        check=True,
    )
    server.options = {"HostCertificate": f"{server.host_key}-cert.pub"}
    server.restart(server.host_key)
    return server


@pytest.mark.parametrize("principal", ["127.0.0.1", "another.example"])
def test_a_host_that_an_authority_vouches_for(serve: Serve, tmp_path: Path, principal: str) -> None:
    authority = keygen(tmp_path / "authority")
    server = signed_host(serve, authority, principal)
    public = " ".join(authority.with_suffix(".pub").read_text(encoding="ascii").split()[:2])
    server.known_hosts.write_text(f"@cert-authority [127.0.0.1]:* {public}\n", encoding="ascii")
    if principal == "127.0.0.1":
        assert well(server.target(sudo="never"), server.settings)
        return
    with pytest.raises(UnknownKeyError, match="not known") as caught:
        well(server.target(), server.settings)
    assert "does not vouch" in caught.value.cause


def test_a_command_that_knows_hosts(sshd: Sshd, tmp_path: Path) -> None:
    kept = sshd.known_hosts.rename(tmp_path / "kept")
    sshd.configure(f"KnownHostsCommand /bin/cat {kept}")
    assert well(sshd.target(sudo="never"), sshd.settings)
    kept.write_text("", encoding="ascii")
    with pytest.raises(UnknownKeyError):
        well(sshd.target(), sshd.settings)


def test_a_changed_key_is_refused_by_all(sshd: Sshd) -> None:
    sshd.restart(keygen(sshd.folder / "new_host_key"))
    target = sshd.target(sudo="never")
    for new_keys in (None, accepting([])):
        with pytest.raises(HostKeyError, match="has changed") as caught:
            SSH(target, sshd.settings, new_keys=new_keys).open()
        assert caught.value.cause.count("SHA256:") == 2
        assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {sshd.known_hosts}" in caught.value.hint
        assert caught.value.exit_code == 4


def test_nothing_is_sent_to_a_host_that_is_not_trusted(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    with pytest.raises(UnknownKeyError):
        SSH(sshd.target(), sshd.settings).open()
    log = (sshd.folder / "sshd.log").read_text(encoding="utf-8")
    assert "Accepted" not in log
    assert "Failed" not in log


def test_the_kind_that_is_known_is_asked_for(sshd: Sshd) -> None:
    """The server has an ed25519 key too, which Paramiko and the server would prefer."""
    rsa = keygen(sshd.folder / "rsa_host_key", "rsa")
    with (sshd.folder / "extra").open("w", encoding="ascii") as file:
        file.write(f"HostKey {rsa}\n")
    sshd.options = {"Include": str(sshd.folder / "extra")}
    sshd.restart(sshd.folder / "host_key")
    sshd.known_hosts.unlink()
    sshd.trust(key=keygen(sshd.folder / "unused", "ecdsa"))
    sshd.trust(key=rsa)
    assert well(sshd.target(sudo="never"), sshd.settings)


def test_another_known_hosts_file(sshd: Sshd, tmp_path: Path) -> None:
    moved = sshd.known_hosts.rename(tmp_path / "mine")
    assert well(sshd.target(sudo="never"), dataclasses.replace(sshd.settings, known_hosts=moved))


# Names and jump hosts


def test_a_name_of_the_configuration(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "more").write_text(
        f"Host pi\n HostName 127.0.0.1\n Port {sshd.port}\n HostKeyAlias rack-7\n IdentityFile {sshd.key}\n",
        encoding="ascii",
    )
    sshd.configure(f"Include {tmp_path}/more")
    kind, blob = sshd.host_key.with_suffix(".pub").read_text(encoding="ascii").split()[:2]
    sshd.known_hosts.write_text(f"rack-7 {kind} {blob}\n", encoding="ascii")
    assert well(Target(name="pi", host="pi", sudo="never"), sshd.settings)


def test_a_jump_host_that_the_file_describes(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "provision.toml"
    with Proxy(sshd.port) as gate, Proxy(sshd.port) as pi:
        for proxy in (gate, pi):
            sshd.trust(proxy.port)
        sshd.configure(f"Host *\n IdentityFile {sshd.key}")
        file.write_text(
            f'[ssh]\nconfig = "{sshd.folder}/ssh_config"\n'
            f'[hosts.gate]\nhost = "127.0.0.1"\nport = {gate.port}\n'
            f'[hosts.pi]\nhost = "127.0.0.1"\nport = {pi.port}\njump = "gate"\nsudo = false\n',
            encoding="utf-8",
        )
        config = load(file)
        remote = Connector(config=config, ask_password=False, say=print)
        with remote.connect(config.inventory.hosts["pi"]) as host:
            assert host.ask("echo well", timeout=10).records == ("well",)
        assert (gate.line.connections, pi.line.connections) == (1, 1)


def test_two_jump_hosts(sshd: Sshd) -> None:
    with Proxy(sshd.port) as one, Proxy(sshd.port) as two, Proxy(sshd.port) as three:
        for proxy in (one, two, three):
            sshd.trust(proxy.port)
        sshd.configure(f"Host *\n IdentityFile {sshd.key}")
        jump = f"127.0.0.1:{one.port},127.0.0.1:{two.port}"
        assert well(sshd.target(port=three.port, sudo="never", jump=jump), sshd.settings)
        assert [proxy.line.connections for proxy in (one, two, three)] == [1, 1, 1]


def other_address() -> str:
    """Of loopback: by IPv6 where the machine has it."""
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return "::1"
    return "127.0.0.2"


def test_jump_hosts_with_other_users_and_over_ipv6(serve: Serve) -> None:
    """Each is logged in to as its own user, and from there goes on to the next one's address."""
    other = other_address()
    server = serve(users=True, ListenAddress=f"127.0.0.1\nListenAddress {other}")
    kind, blob = server.host_key.with_suffix(".pub").read_text(encoding="ascii").split()[:2]
    with server.known_hosts.open("a", encoding="ascii") as file:
        file.write(f"[{other}]:{server.port} {kind} {blob}\n")
    server.configure(f"Host *\n IdentityFile {server.key}")
    first = f"[{other}]" if ":" in other else other
    target = server.target(
        "pw", host=other, sudo="never", jump=f"ci@{first}:{server.port},guest@127.0.0.1:{server.port}"
    )
    with SSH(target, server.settings) as host:
        user, *_, at, _ = host.ask('echo "$(id -un)" $SSH_CONNECTION', timeout=10).records[0].split()
    assert (user, at) == ("pw", other)
    log = (server.folder / "sshd.log").read_text(encoding="utf-8")
    assert re.findall(r"Accepted publickey for (\w+) from", log) == ["ci", "guest", "pw"]


def test_an_unknown_jump_host_is_named_and_added_with_the_rest(sshd: Sshd) -> None:
    with Proxy(sshd.port) as one:
        sshd.configure(f"Host *\n IdentityFile {sshd.key}")
        sshd.known_hosts.unlink()
        target = sshd.target(sudo="never", jump=f"127.0.0.1:{one.port}")
        with pytest.raises(HostKeyError, match="key of a jump host is not known") as caught:
            SSH(target, sshd.settings).open()
        assert str(one.port) in caught.value.cause
        said: list[str] = []
        all_new = dataclasses.replace(sshd.settings, accept_new_host_keys=True)
        assert well(target, all_new, accepting(said))
        assert len(said) == 2
        assert all(any(f"[127.0.0.1]:{port}" in line for line in said) for port in (one.port, sshd.port))
        assert well(target, sshd.settings)


def test_a_jump_host_that_refuses_the_login(sshd: Sshd) -> None:
    sshd.configure("")
    target = sshd.target(jump=f"nobody@127.0.0.1:{sshd.port}")
    with pytest.raises(UnreachableError, match="jump host refused the login") as caught:
        SSH(target, sshd.settings).open()
    assert "Permission denied" in caught.value.cause


def test_a_jump_host_through_itself_is_refused_as_by_ssh(sshd: Sshd) -> None:
    sshd.configure(f"Host *\n ProxyJump 127.0.0.1:{sshd.port}\n")
    with pytest.raises(UsageError) as caught:
        SSH(sshd.target(), sshd.settings).open()
    assert "loop" in caught.value.cause


def test_jump_hosts_in_a_circle_are_refused(sshd: Sshd) -> None:
    sshd.configure("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    with pytest.raises(UsageError, match="jump hosts"):
        SSH(Target(name="a", host="a"), sshd.settings).open()


def test_a_host_that_its_jump_host_does_not_reach(sshd: Sshd) -> None:
    sshd.configure(f"Host *\n IdentityFile {sshd.key}")
    target = sshd.target(port=free_port(), jump=f"127.0.0.1:{sshd.port}")
    with pytest.raises(UnreachableError, match="cannot be reached from its jump host"):
        SSH(target, sshd.settings).open()


def test_a_proxy_command(sshd: Sshd) -> None:
    command = f"ssh -F {sshd.folder}/hop -W %h:%p 127.0.0.1 -p {sshd.port}"
    (sshd.folder / "hop").write_text(
        f"IdentityFile {sshd.key}\nUserKnownHostsFile {sshd.known_hosts}\nIdentityAgent none\n",
        encoding="ascii",
    )
    sshd.configure(f"ProxyCommand {command}")
    assert well(sshd.target(sudo="never"), sshd.settings)


def test_a_proxy_command_that_fails(sshd: Sshd) -> None:
    sshd.configure("ProxyCommand sh -c 'echo no route for %r >&2; exit 1'")
    with pytest.raises(UnreachableError, match="the ProxyCommand to") as caught:
        SSH(sshd.target("me"), sshd.settings).open()
    assert caught.value.cause == "no route for me"


@pytest.mark.parametrize("command", ["$(touch TOUCHED)", "; touch TOUCHED", "`touch TOUCHED`"])
def test_hostile_names_run_nothing(sshd: Sshd, tmp_path: Path, command: str) -> None:
    file = tmp_path / "touched"
    name = command.replace("TOUCHED", str(file)).replace(" ", "${IFS}")
    for target in (
        Target(name=name, host=name),
        Target(name="x", host="127.0.0.1", port=sshd.port, user=name),
        Target(name="x", host="127.0.0.1", port=sshd.port, jump=name),
    ):
        with pytest.raises((UnreachableError, UsageError)):
            SSH(target, sshd.settings).open()
    assert not file.exists()


# The socket


def test_an_address_family(sshd: Sshd) -> None:
    sshd.configure("AddressFamily inet6")
    with pytest.raises(UnreachableError, match="has no address"):
        well(sshd.target(sudo="never"), sshd.settings)
    sshd.configure("AddressFamily inet")
    assert well(sshd.target(sudo="never"), sshd.settings)


@pytest.mark.parametrize(
    ("setting", "address"), [("BindAddress 127.0.0.7", "127.0.0.7"), ("BindInterface lo", "127.0.0.1")]
)
def test_an_own_address(sshd: Sshd, setting: str, address: str) -> None:
    sshd.configure(setting)
    with SSH(sshd.target(sudo="never"), sshd.settings) as host:
        assert host.ask('echo "$SSH_CLIENT"', timeout=10).records[0].startswith(f"{address} ")


RELAY = """
import os, socket, sys, threading
made = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while data := os.read(0, 65536):
        made.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := made.recv(65536):
    os.write(1, data)
"""


def relay(folder: Path) -> str:
    """The words of a program that connects to the port behind them."""
    (folder / "relay.py").write_text(RELAY, encoding="ascii")
    return f"{sys.executable} {folder}/relay.py"


def test_a_proxy_command_ends_with_all_that_it_started(sshd: Sshd, tmp_path: Path) -> None:
    program = tmp_path / "way"
    program.write_text(
        f"#!/bin/sh\nsleep 60 & echo $! >{tmp_path}/child\n{relay(tmp_path)} {sshd.port}\n", encoding="ascii"
    )
    program.chmod(0o755)
    sshd.configure(f"ProxyCommand {program}")
    assert well(sshd.target(sudo="never"), sshd.settings)
    child = int((tmp_path / "child").read_text(encoding="ascii"))
    assert until(
        lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text()
    )


PASS = """
import array, socket, sys
made = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
out = socket.socket(fileno=1)
socket.send_fds(out, [b"\\0"], [made.fileno()])
"""


@pytest.mark.thorough
def test_a_proxy_command_that_hands_its_connection_over(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "pass.py").write_text(PASS, encoding="ascii")
    sshd.configure(f"ProxyCommand {sys.executable} {tmp_path}/pass.py {sshd.port}\nProxyUseFdpass yes")
    assert well(sshd.target(sudo="never"), sshd.settings)
    for command in ("true", "/bin/echo hello"):
        sshd.configure(f"ProxyCommand {command}\nProxyUseFdpass yes")
        with pytest.raises(UnreachableError, match="handed no connection over"):
            well(sshd.target(), sshd.settings)


def test_the_words_of_a_proxy_command_are_not_shown(sshd: Sshd) -> None:
    sshd.configure("ProxyCommand sh -c 'exit 1' --token=hunter2")
    with pytest.raises(UnreachableError, match="the ProxyCommand to") as caught:
        SSH(sshd.target(), sshd.settings).open()
    assert "hunter2" not in f"{caught.value.cause}{caught.value.hint}"


# Peers that die


@pytest.mark.thorough
@pytest.mark.parametrize("where", ["host", "host behind a jump host", "jump host", "host behind a command"])
def test_a_dead_peer_is_given_up_by_the_keepalives(sshd: Sshd, where: str) -> None:
    """Something on the way goes on acknowledging what is sent, so TCP notices nothing."""
    quick = dataclasses.replace(sshd.settings, keepalive=1)
    with Proxy(sshd.port) as end, Proxy(sshd.port) as gate:
        for proxy in (end, gate):
            sshd.trust(proxy.port)
        sshd.configure(f"Host *\n IdentityFile {sshd.key}")
        jump = f"127.0.0.1:{gate.port}" if "jump" in where else None
        if "command" in where:
            sshd.configure(f"ProxyCommand {relay(sshd.folder)} %p\nIdentityFile {sshd.key}")
        with SSH(sshd.target(port=end.port, sudo="never", jump=jump), quick) as host:
            assert host.ask("echo well", timeout=10).records == ("well",)
            (gate if where == "jump host" else end).stall()
            with pytest.raises(ConnectionLostError):
                host.ask("echo well", timeout=100)


@pytest.mark.thorough
def test_a_host_that_is_only_silent_is_not_given_up(sshd: Sshd) -> None:
    quick = dataclasses.replace(sshd.settings, keepalive=1)
    with SSH(sshd.target(sudo="never"), quick) as host:
        assert host.ask("sleep 6; echo well", timeout=30).records == ("well",)
