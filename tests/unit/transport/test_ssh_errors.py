"""Every failure of a connection is told in three parts, and by the right name."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace

import pytest
from paramiko.ssh_exception import IncompatiblePeer, NoValidConnectionsError, SSHException

from provision.errors import HostKeyError, UnreachableError, WrongKeyError
from provision.transport import BusyError, SshSettings, Target
from provision.transport.ssh.config import Endpoint, endpoint
from provision.transport.ssh.errors import (
    IncompatibleError,
    LoginError,
    SlowLoginError,
    explain,
    jump_failed,
)

END = endpoint(Target(name="pi", host="pi.example", port=2222, user="me"), SshSettings(), {})

CASES = [
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "has no address"),
    (TimeoutError(), "no answer from"),
    (ConnectionRefusedError(), "refused the connection"),
    (NoValidConnectionsError({("::1", 22): ConnectionRefusedError()}), "refused the connection"),
    (OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)), "there is no way to"),
    (OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)), "there is no way to"),
    (ConnectionResetError(), "closed the connection at once"),
    (EOFError(), "closed the connection at once"),
    (SSHException("Error reading SSH protocol banner"), "closed the connection at once"),
    (SSHException("No existing session"), "sends nothing"),
    (SSHException('Indecipherable protocol version "HTTP/1.1 400"'), "is no SSH server"),
    (SSHException("Key-exchange timed out waiting for key negotiation"), "sends nothing"),
    (SSHException("something new"), "SSH failed"),
    (IncompatiblePeer("no acceptable kex algorithm"), "no common algorithm"),
    (LoginError(["k"], ["publickey"], []), "was refused"),
    (SlowLoginError(), "takes too long"),
    (ValueError("unforeseen"), "cannot be reached"),
]


@pytest.mark.parametrize(("error", "message"), CASES, ids=lambda case: repr(case)[:60])
def test_a_failure_is_explained(error: Exception, message: str) -> None:
    told = explain("pi", END, error)
    assert isinstance(told, UnreachableError)
    assert told.message.startswith("pi: ")
    assert message in told.message
    assert told.cause
    assert isinstance(told, BusyError) == ("at once" in message)


JUMPED = replace(END, jumps=("gate",))
JUMP_CASES = [
    ("Permission denied (publickey).", UnreachableError, "refused the login"),
    (
        "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed",
        UnreachableError,
        "cannot be",
    ),
    (
        (
            "No ED25519 host key is known for gate and you have requested strict checking.\n"
            "Host key verification failed."
        ),
        HostKeyError,
        "not known",
    ),
    (
        "Host key ED25519 SHA256:x revoked by file /home/me/revoked\nHost key verification failed.",
        WrongKeyError,
        "revoked",
    ),
    (
        "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
        WrongKeyError,
        "changed",
    ),
    ("ssh: Could not resolve hostname gate: Name or service not known", UnreachableError, "no address"),
    ("ssh: connect to host gate port 22: Connection refused", UnreachableError, "cannot be reached"),
    ("kex_exchange_identification: Connection closed by remote host", BusyError, "at once"),
    ("Connection timed out during banner exchange", UnreachableError, "in time"),
    ("", UnreachableError, "sends nothing"),
    ("something new", UnreachableError, "ended"),
]


@pytest.mark.parametrize(("said", "kind", "message"), JUMP_CASES)
def test_what_ssh_says_of_jump_hosts_is_explained(said: str, kind: type[Exception], message: str) -> None:
    told = jump_failed("pi", JUMPED, said)
    assert isinstance(told, kind)
    assert message in told.message
    assert told.cause
    assert told.hint


def test_what_a_jump_host_makes_ssh_say_is_cut_between_words() -> None:
    told = jump_failed(
        "pi", JUMPED, f"{'word ' * 300}REMOTE HOST IDENTIFICATION HAS CHANGED! Host key verification failed."
    )
    assert told.cause.startswith("By way of gate. … word word")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (replace(END, family="inet6"), "AddressFamily inet6"),
        (replace(END, bind="203.0.113.7"), "BindAddress 203.0.113.7"),
        (replace(END, interface="nope0"), "BindInterface nope0"),
    ],
)
@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_ADDRFAMILY, "no such family"), OSError(errno.EADDRNOTAVAIL, "x")]
)
def test_what_the_configuration_allows_of_this_side_is_named(
    end: Endpoint, said: str, error: OSError
) -> None:
    assert f"(the SSH configuration has {said})" in explain("pi", end, error).cause
    assert "SSH configuration" not in explain("pi", END, error).cause


def test_a_proxy_command_that_brings_nothing_is_named() -> None:
    told = explain("pi", replace(END, proxy_command="nc %h %p"), SSHException("No existing session"))
    assert "the ProxyCommand to pi.example port 2222 brings nothing" in told.message
    assert told.hint


def test_a_server_of_another_age_is_told_from_a_strict_one() -> None:
    old = explain(
        "pi", END, IncompatibleError("KexAlgorithms", ["diffie-hellman-group1-sha1"], ["curve25519-sha256"])
    )
    strict = explain(
        "pi", END, IncompatibleError("Ciphers", ["chacha20-poly1305@openssh.com"], ["aes256-ctr"])
    )
    assert "Update" in old.hint
    assert "chacha20" in strict.cause
    assert "Ciphers +aes256-ctr" in strict.hint


def test_what_is_explained_already_stays() -> None:
    error = UnreachableError("as it is")
    assert explain("pi", END, error) is error


def test_a_login_that_needs_an_agent_or_an_account_says_so() -> None:
    locked = LoginError([], ["publickey"], ["/k is encrypted and no agent holds it (ssh-add /k)"])
    assert explain("pi", END, locked).hint.startswith("Give the key to an agent (ssh-add")
    ended = LoginError(["k"], [], ["the server hung up"], "Your account has expired; please contact me")
    assert "chage -E -1 me" in explain("pi", END, ended).hint


def test_a_login_tells_all_it_knows() -> None:
    told = explain("pi", END, LoginError(["a", "b (agent)"], ["publickey", "password"], ["c is encrypted"]))
    assert told.cause == "Tried: a, b (agent). The server accepts: publickey, password. c is encrypted."
    assert told.hint == "Put a key there: ssh-copy-id -p 2222 me@pi.example"
