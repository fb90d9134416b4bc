"""Requests for a login, each in one turn of the line with the one for the service that it goes to.

Paramiko waits for the service in between. RFC 4253 §10 asks for that only where the server has not proven its key, and
servers take the two in their order.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from paramiko import AuthenticationException, Message
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_SERVICE_ACCEPT, MSG_USERAUTH_PK_OK, cMSG_USERAUTH_REQUEST

_SERVICE: Final = "ssh-userauth"
_LOOK: Final = 0.1
"""Seconds after which a wait looks whether the connection is still there."""


class LoginRequest(AuthHandler):  # type: ignore[misc]
    """One attempt to log in. What an agent does not sign is an error of the caller's, and ends no connection."""

    def __init__(self, transport: Any) -> None:
        super().__init__(transport)
        self._service_accepted = threading.Event()

    def _request_auth(self) -> None:
        super()._request_auth()
        if self._may_sign_in_several_ways():
            self._await_service()
        accepted = Message()
        accepted.add_string(_SERVICE)
        accepted.rewind()
        super()._parse_service_accept(accepted)

    def _parse_service_accept(self, _: Any) -> None:
        self._service_accepted.set()

    def _may_sign_in_several_ways(self) -> bool:
        """An RSA key does: by algorithms that the server names before it accepts the service (RFC 8308)."""
        key = self.private_key
        return key is not None and "rsa" in key.get_name() and not self.transport.server_extensions

    def _await_service(self) -> None:
        until = time.monotonic() + self.transport.auth_timeout
        while not self._service_accepted.wait(_LOOK) and self.transport.is_active():
            if time.monotonic() > until:
                raise AuthenticationException("Authentication timeout.")


class KeyQuery(AuthHandler):  # type: ignore[misc]
    """Asks whether a login by a key would do, without a signature (RFC 4252 §7). Ends as a login that was refused."""

    would_do = False

    @property
    def _client_handler_table(self) -> dict[int, Any]:
        table: dict[int, Any] = super()._client_handler_table
        return {**table, MSG_SERVICE_ACCEPT: lambda _: None, MSG_USERAUTH_PK_OK: self._parse_key_ok}

    def _request_auth(self) -> None:
        super()._request_auth()
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
