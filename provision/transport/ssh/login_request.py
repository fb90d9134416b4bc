"""The request for a login, in one turn of the line with the one for the service that it goes to.

Paramiko waits for the service in between. RFC 4253 §10 asks for that only where the server has not proven its key, and
servers take the two in their order.
"""

from __future__ import annotations

from typing import Any, Final

from paramiko import Message
from paramiko.auth_handler import AuthHandler

_SERVICE: Final = "ssh-userauth"


class LoginRequest(AuthHandler):  # type: ignore[misc]
    """One attempt to log in."""

    _waits = False

    def _request_auth(self) -> None:
        self._waits = self._may_sign_in_several_ways()
        super()._request_auth()
        if not self._waits:
            accepted = Message()
            accepted.add_string(_SERVICE)
            accepted.rewind()
            super()._parse_service_accept(accepted)

    def _parse_service_accept(self, m: Any) -> None:
        if self._waits:
            super()._parse_service_accept(m)

    def _may_sign_in_several_ways(self) -> bool:
        """An RSA key does: by algorithms that the server names before it accepts the service (RFC 8308)."""
        key = self.private_key
        return key is not None and "rsa" in key.get_name() and not self.transport.server_extensions
