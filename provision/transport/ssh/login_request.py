"""Requests for a login, the first in one turn of the line with the one for the service that it goes to.

Paramiko waits for the service in between. RFC 4253 §10 asks for that only where the server has not proven its key, and
servers take the two in their order. Paramiko also asks for the service again with each key, which servers written in Go
and AsyncSSH end the connection for.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from paramiko import AuthenticationException, Message
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_SERVICE_ACCEPT, MSG_USERAUTH_PK_OK, cMSG_USERAUTH_REQUEST

_SERVICE: Final = "ssh-userauth"
_LOOK: Final = 0.1
"""Seconds after which a wait looks whether the connection is still there."""


class CannotSignError(Exception):
    """A key gave no signature: its agent refused, or did not answer."""


@dataclass(kw_only=True)
class LoginService:
    """The server's service for logins, of one connection."""

    asked_for: bool = False
    accepted: threading.Event = field(default_factory=threading.Event)


class _Signing:
    """A key whose failure to sign is told from a connection that fails."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def sign_ssh_data(self, *words: Any) -> Any:
        try:
            return self._key.sign_ssh_data(*words)
        except Exception as error:
            raise CannotSignError(str(error)) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)


class LoginRequest(AuthHandler):  # type: ignore[misc]
    """One attempt to log in. Raises CannotSignError in the thread that asks, and ends no connection by it."""

    username: Any

    def __init__(self, transport: Any, service: LoginService) -> None:
        super().__init__(transport)
        self._service = service

    @property
    def _client_handler_table(self) -> dict[int, Any]:
        table: dict[int, Any] = super()._client_handler_table
        return {**table, MSG_SERVICE_ACCEPT: lambda _: self._service.accepted.set()}

    def auth_publickey(self, username: str, key: Any, event: threading.Event) -> None:
        """See Paramiko."""
        super().auth_publickey(username, _Signing(key), event)

    def _request_auth(self) -> None:
        self._ask_for_service()
        username: str = self.username
        if self._may_sign_in_several_ways():
            self._await_service()
        self.username = username  # an answer that came unasked has removed it
        accepted = Message()
        accepted.add_string(_SERVICE)
        accepted.rewind()
        self._parse_service_accept(accepted)

    def _ask_for_service(self) -> None:
        if not self._service.asked_for:
            self._service.asked_for = True
            super()._request_auth()

    def _may_sign_in_several_ways(self) -> bool:
        """An RSA key does: by algorithms that the server names before it accepts the service (RFC 8308)."""
        key = self.private_key
        return key is not None and "rsa" in key.get_name() and not self.transport.server_extensions

    def _await_service(self) -> None:
        until = time.monotonic() + self.transport.auth_timeout
        while not self._service.accepted.wait(_LOOK) and self.transport.is_active():
            if time.monotonic() > until:
                raise AuthenticationException("Authentication timeout.")


class KeyQuery(LoginRequest):
    """Asks whether a login by a key would do, without a signature (RFC 4252 §7). Ends as a login that was refused."""

    would_do = False

    @property
    def _client_handler_table(self) -> dict[int, Any]:
        return {**super()._client_handler_table, MSG_USERAUTH_PK_OK: self._parse_key_ok}

    def _request_auth(self) -> None:
        self._ask_for_service()
        kind, public = self._get_key_type_and_bits(self.private_key)
        question = Message()
        question.add_byte(cMSG_USERAUTH_REQUEST)
        question.add_string(self.username)
        question.add_string("ssh-connection")
        question.add_string(self.auth_method)
        question.add_boolean(False)
        question.add_string(kind)
        question.add_string(public)
        self.transport._send_message(question)  # noqa: SLF001 - as AuthHandler does

    def _parse_key_ok(self, _: Any) -> None:
        self.would_do = True
        self.auth_event.set()
