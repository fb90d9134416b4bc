"""Ways to a host: keys, agents, certificates, jump hosts, host keys."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.config.load import load
from provision.errors import HostKeyError, UnreachableError, UsageError
from provision.hosts.connect import Connector
from provision.transport import SshSettings, Target
from provision.transport.ssh import SSH, scan
from provision.transport.ssh.known_hosts import UnknownKeyError, add
from tests.lab.proxy import Proxy
from tests.lab.sshd import Sshd, free_port, keygen
from tests.ssh.conftest import Serve


def well(target: Target, settings: SshSettings) -> bool:
    with SSH(target, settings) as host:
        return host.ask("echo well", timeout=10).records == ("well",)


@contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[Path]:
    """A real ssh-agent that holds these keys."""
    path = folder / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        while not path.exists():
            assert process.poll() is None
        for key in keys:
            subprocess.run(
                ["ssh-add", "-q", str(key)],
                env={"SSH_AUTH_SOCK": str(path), "PATH": os.environ["PATH"]},
                check=True,
                capture_output=True,
            )
        try:
            yield path
        finally:
            process.terminate()


# Keys


def test_an_agent_s_key(sshd: Sshd, tmp_path: Path) -> None:
    with agent(tmp_path, sshd.key) as path:
        sshd.configure(f"IdentityAgent {path}\nIdentitiesOnly no")
        assert well(sshd.target(sudo="never", identity_files=()), sshd.settings)


def test_with_identities_only_the_agent_s_others_are_not_offered(sshd: Sshd, tmp_path: Path) -> None:
    others = [keygen(sshd.folder / f"other{number}") for number in range(3)]
    # The private half is in the agent alone; the configuration names the key by its public half.
    named = tmp_path / "named"
    shutil.copy(sshd.key.with_suffix(".pub"), named.with_suffix(".pub"))
    with agent(tmp_path, *others, sshd.key) as path:
        sshd.configure(f"IdentityAgent {path}")
        assert well(sshd.target(sudo="never", identity_files=(named,)), sshd.settings)
        with pytest.raises(UnreachableError) as caught:
            SSH(sshd.target(identity_files=(others[0],)), sshd.settings).open()
    assert caught.value.cause.startswith(f"Tried: {others[0]} (agent).")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_kinds_of_keys(sshd: Sshd, kind: str) -> None:
    key = keygen(sshd.folder / f"user_{kind}", kind)
    shutil.copy(key.with_suffix(".pub"), sshd.folder / "authorized_keys")
    assert well(sshd.target(sudo="never", identity_files=(key,)), sshd.settings)


@pytest.mark.parametrize("beside", [True, False])
def test_certificates(serve: Serve, tmp_path: Path, beside: bool) -> None:
    authority = keygen(tmp_path / "authority")
    server = serve(TrustedUserCAKeys=str(authority.with_suffix(".pub")))
    (server.folder / "authorized_keys").write_text("", encoding="ascii")
    user = server.target().user
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", str(user), str(server.key)],
        check=True,
    )
    certificate = server.folder / "id_ed25519-cert.pub"
    if not beside:
        certificate = certificate.rename(tmp_path / "elsewhere-cert.pub")
        server.configure(f"CertificateFile {certificate}")
    assert well(server.target(sudo="never"), server.settings)
    certificate.unlink()
    with pytest.raises(UnreachableError):
        well(server.target(sudo="never"), server.settings)


def sign(authority: Path, key: Path, user: str | None) -> Path:
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", str(user), str(key)]
    subprocess.run(command, check=True)
    return key.with_name(f"{key.name}-cert.pub")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("only", ["yes", "no"])
@pytest.mark.parametrize("held", [True, False], ids=["signed before", "signed after"])
def test_certificates_of_keys_in_an_agent(
    serve: Serve, tmp_path: Path, kind: str, only: str, held: bool
) -> None:
    """Signed before `ssh-add`, the agent has the certificate as well; after it, the file alone."""
    authority = keygen(tmp_path / "authority")
    server = serve(TrustedUserCAKeys=str(authority.with_suffix(".pub")))
    (server.folder / "authorized_keys").write_text("", encoding="ascii")
    target = server.target(sudo="never", identity_files=(tmp_path / "key",))
    key = keygen(tmp_path / "key", kind)
    if held:
        sign(authority, key, target.user)
    with agent(tmp_path, key) as path:
        if held:
            key.with_name("key-cert.pub").unlink()  # the agent's own has to do
        else:
            sign(authority, key, target.user)
        key.unlink()
        server.configure(f"IdentityAgent {path}\nIdentitiesOnly {only}")
        assert well(target, server.settings)


def test_a_certificate_that_is_refused_does_not_hide_its_key(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    sign(keygen(tmp_path / "nobody's"), server.key, server.target().user)
    target = server.target(sudo="never")
    assert well(target, server.settings)
    with agent(tmp_path, server.key) as path:
        server.configure(f"IdentityAgent {path}")
        assert well(target, server.settings)
        (server.folder / "authorized_keys").write_text("", encoding="ascii")
        with pytest.raises(UnreachableError) as caught:
            well(target, server.settings)
    assert caught.value.cause.startswith(f"Tried: {server.key} (agent, certificate), {server.key} (agent).")


# Host keys


def test_an_unknown_host_is_refused_and_can_be_added(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    target = sshd.target(sudo="never")
    with pytest.raises(UnknownKeyError) as caught:
        SSH(target, sshd.settings).open()
    new = scan(target, sshd.settings)
    told = subprocess.run(["ssh-keygen", "-lf", sshd.host_key], check=True, capture_output=True, text=True)
    assert [key.fingerprint for key in new] == [told.stdout.split()[1]]
    assert new[0].fingerprint in caught.value.cause
    add(sshd.known_hosts, new)
    assert well(target, sshd.settings)
    assert scan(target, sshd.settings) == ()


def test_the_line_that_is_told_adds_the_key(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    with pytest.raises(UnknownKeyError) as caught:
        SSH(sshd.target(), sshd.settings).open()
    command = caught.value.hint[caught.value.hint.index("ssh-keyscan") :]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert well(sshd.target(sudo="never"), sshd.settings)


def test_a_changed_key_is_refused_by_all(sshd: Sshd) -> None:
    sshd.restart(keygen(sshd.folder / "new_host_key"))
    target = sshd.target(sudo="never")
    for reach in (lambda: SSH(target, sshd.settings).open(), lambda: scan(target, sshd.settings)):
        with pytest.raises(HostKeyError, match="has changed") as caught:
            reach()
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


def test_an_unknown_jump_host_is_named_and_scanned_with_the_rest(sshd: Sshd) -> None:
    with Proxy(sshd.port) as one:
        sshd.configure(f"Host *\n IdentityFile {sshd.key}")
        sshd.known_hosts.unlink()
        target = sshd.target(sudo="never", jump=f"127.0.0.1:{one.port}")
        with pytest.raises(UnknownKeyError, match="jump host 127"):
            SSH(target, sshd.settings).open()
        new = scan(target, sshd.settings)
        assert [key.name for key in new] == [f"[127.0.0.1]:{one.port}", f"[127.0.0.1]:{sshd.port}"]
        add(sshd.known_hosts, new)
        assert well(target, sshd.settings)


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
