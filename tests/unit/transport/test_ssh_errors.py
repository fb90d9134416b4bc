"""Every failure of a connection is told in three parts, and by the right name."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace

import pytest
from paramiko.ssh_exception import ChannelException, IncompatiblePeer, NoValidConnectionsError, SSHException

from provision.errors import UnreachableError
from provision.transport import BusyError, SshSettings, Target
from provision.transport.ssh.config import endpoint
from provision.transport.ssh.errors import LoginError, SlowLoginError, explain

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


def test_a_jump_host_is_blamed_only_where_there_is_one() -> None:
    error = ChannelException(1, "Administratively prohibited")
    assert "jump host" not in explain("pi", END, error).message
    jumped = explain("pi", replace(END, jumps=("gate",)), error)
    assert "from its jump host" in jumped.message
    assert "AllowTcpForwarding" in jumped.hint


def test_what_is_explained_already_stays() -> None:
    error = UnreachableError("as it is")
    assert explain("pi", END, error) is error


def test_a_login_tells_all_it_knows() -> None:
    told = explain("pi", END, LoginError(["a", "b (agent)"], ["publickey", "password"], ["c is encrypted"]))
    assert told.cause == "Tried: a, b (agent). The server accepts: publickey, password. c is encrypted."
    assert told.hint == "Put a key there: ssh-copy-id -p 2222 me@pi.example"
