"""Logging in by key: the agent's and those in files, in the order OpenSSH has, each tried once.

As ssh does it: the agent's keys that the configuration names, the agent's others unless IdentitiesOnly, the
files. An agent that hangs delays a login by seconds, not for ever (fabric#2306). Imports Paramiko.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from paramiko import PKey
from paramiko.agent import AgentSSH
from paramiko.auth_strategy import AuthStrategy
from paramiko.ssh_exception import (
    AuthenticationException,
    BadAuthenticationType,
    PasswordRequiredException,
    SSHException,
)

from provision.transport.ssh_config import Endpoint

_AGENT_SECONDS: Final = 3.0


class LoginError(Exception):
    """No key opened the door. Carries what was tried, for the user."""

    def __init__(self, tried: list[str], accepted: list[str], notes: list[str]) -> None:
        super().__init__("no key was accepted")
        self.tried = tried
        self.accepted = accepted
        """The methods that the server would take."""
        self.notes = notes


class SlowLoginError(Exception):
    """The server did not say yes or no in time."""


@dataclass(frozen=True, kw_only=True)
class _Offer:
    label: str
    key: Any


class _Agent(AgentSSH):  # type: ignore[misc]
    """The agent at a socket, with a deadline on every answer."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_AGENT_SECONDS)
            self._socket.connect(str(path))
            self._connect(self._socket)
            self._socket.settimeout(seconds)  # signing may wait for a finger on a token
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()


class Login(AuthStrategy):  # type: ignore[misc]
    """One login at one endpoint."""

    def __init__(self, endpoint: Endpoint, seconds: float) -> None:
        super().__init__(ssh_config=None)
        self._endpoint = endpoint
        self._seconds = seconds
        self._notes: list[str] = []
        self._agent: _Agent | None = None

    def authenticate(self, transport: Any) -> None:
        """Raises LoginError, SlowLoginError; SSHException if the link breaks."""
        tried: list[str] = []
        accepted: list[str] = []
        try:
            for offer in self._offers():
                tried.append(offer.label)
                try:
                    more = transport.auth_publickey(self._endpoint.user, offer.key)
                except BadAuthenticationType as error:
                    accepted = list(error.allowed_types)
                    break
                except AuthenticationException as error:
                    if "timeout" in str(error).lower():
                        raise SlowLoginError from error
                    if transport.is_active():
                        continue
                    self._notes.append("the server hung up (too many keys? then set IdentitiesOnly)")
                    break
                if not more:
                    return
                raise LoginError(
                    tried, list(more), ["the key was right, but the server wants more than one"]
                )
        finally:
            if self._agent:
                self._agent.close()
        raise LoginError(tried, accepted or self._methods(transport), self._notes)

    def _methods(self, transport: Any) -> list[str]:
        """Asked only when all has failed, as it costs a turn of the line."""
        with suppress(SSHException, EOFError):
            if transport.is_active():
                try:
                    transport.auth_none(self._endpoint.user)
                except BadAuthenticationType as error:
                    return list(error.allowed_types)
        return []

    def _offers(self) -> Iterator[_Offer]:
        held = {bytes(key.asbytes()): key for key in self._agent_keys()}
        named = {file: _public(file) for file in self._endpoint.identities}
        for file, blob in named.items():
            if blob in held:
                yield _Offer(label=f"{file} (agent)", key=held[blob])
        if not self._endpoint.identities_only:
            for blob, key in held.items():
                if blob not in named.values():
                    yield _Offer(label=f"{key.comment or key.get_name()} (agent)", key=key)
        for file, blob in named.items():
            if blob not in held or blob is None:
                yield from self._from_file(file)

    def _agent_keys(self) -> list[Any]:
        path = self._endpoint.agent
        if path is None:
            return []
        try:
            self._agent = _Agent(path, self._seconds)
        except (OSError, SSHException) as error:
            self._notes.append(f"the agent at {path} did not answer ({error})")
            return []
        return list(self._agent.get_keys())

    def _from_file(self, file: Path) -> Iterator[_Offer]:
        if not file.is_file():
            return
        try:
            key = PKey.from_path(file)
        except (PasswordRequiredException, TypeError):
            # cryptography raises TypeError for a key that needs a passphrase
            self._notes.append(f"{file} is encrypted and no agent holds it (ssh-add {file})")
        except (OSError, ValueError, SSHException) as error:
            self._notes.append(f"{file} cannot be read ({error})")
        else:
            for certificate in self._endpoint.certificates:
                with suppress(OSError, ValueError, SSHException):
                    key.load_certificate(str(certificate))
            yield _Offer(label=str(file), key=key)


def _public(file: Path) -> bytes | None:
    """The public half of an identity file, to know it again in the agent; ssh reads the `.pub` as well."""
    for candidate in (file.with_name(f"{file.name}.pub"), file):
        with suppress(OSError, ValueError, IndexError):
            kind, text = candidate.read_text(encoding="ascii").split()[:2]
            if kind.startswith(("ssh-", "ecdsa-", "sk-")):
                return base64.b64decode(text)
    return None
