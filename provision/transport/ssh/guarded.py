"""Paramiko's transport, with bounds on what a server may send, and an end to waiting for one that is dead.

Paramiko takes packets of up to 4 GiB (OpenSSH: 256 KiB), lets a server send beyond the window of a channel, and its
keepalives ask for no answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from paramiko import AuthenticationException, Channel, Message, SSHException, Transport
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA, cMSG_GLOBAL_REQUEST
from paramiko.ssh_exception import IncompatiblePeer

from provision.errors import UnreachableError
from provision.transport.ssh.dial import VERSION
from provision.transport.ssh.errors import IncompatibleError
from provision.transport.ssh.login_request import KeyQuery, LoginRequest, LoginService

_MOST_PACKET: Final = 256 * 1024 + 1024
"""OpenSSH's PACKET_MAX_SIZE, and what goes around a packet."""
_MOST_UNREAD: Final = 8 * 1024 * 1024
"""Bytes that a channel holds: more than its window of 2 MiB only if the server does not heed it."""
_NEW_NAMES: Final = {"curve25519-sha256@libssh.org": "curve25519-sha256"}
_MISSED: Final = 3
"""Keepalives without an answer, as ServerAliveCountMax of OpenSSH."""


def _within_window(feed: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def checked(channel: Any, message: Any) -> None:
        feed(channel, message)
        if len(channel.in_buffer) + len(channel.in_stderr_buffer) > _MOST_UNREAD:
            raise SSHException("The server sends more than the channel's window allows")

    return checked


class Guarded(Transport):  # type: ignore[misc]
    """One connection. `allowed`: algorithms by their keyword in ssh_config, the best first."""

    _channel_handler_table: Final = {
        **Transport._channel_handler_table,  # noqa: SLF001 - the only place where data can be counted
        MSG_CHANNEL_DATA: _within_window(Channel._feed),  # noqa: SLF001
        MSG_CHANNEL_EXTENDED_DATA: _within_window(Channel._feed_extended),  # noqa: SLF001
    }

    # Paramiko 5 knows this exchange only by the name that it had before RFC 8731.
    _kex_info: Final = {
        **{_NEW_NAMES.get(name, name): made for name, made in Transport._kex_info.items()},  # noqa: SLF001
        **Transport._kex_info,  # noqa: SLF001
    }
    _preferred_kex: tuple[str, ...] = tuple(
        name
        for each in Transport._preferred_kex  # noqa: SLF001
        for name in dict.fromkeys((_NEW_NAMES.get(each, each), each))
    )

    def __init__(self, sock: Any, **options: Any) -> None:
        super().__init__(sock, **options)
        self.local_version = VERSION
        self.offered: Mapping[str, Any] = {}
        """What the server offers, by Paramiko's names of the lists."""
        self._service = LoginService()
        self._heard = time.monotonic()
        self._read_all = self.packetizer.read_all
        self.packetizer.read_all = self._read_bounded

    def _read_bounded(self, size: int, check_rekey: bool = False) -> bytes:
        if size > _MOST_PACKET:
            raise SSHException(f"The server announces a packet of {size} bytes")
        data = bytes(self._read_all(size, check_rekey))
        self._heard = time.monotonic()
        return data

    def _really_parse_kex_init(self, m: Any, ignore_first_byte: bool = False) -> Any:
        self.offered = super()._really_parse_kex_init(m, ignore_first_byte)
        return self.offered

    def _parse_kex_init(self, m: Any) -> None:
        try:
            super()._parse_kex_init(m)
        except IncompatiblePeer as error:
            for sign, keyword, offered in _REASONS:
                if sign in str(error):
                    raise IncompatibleError(
                        keyword, self.offered[offered], getattr(self, _LISTS[keyword])
                    ) from error
            raise

    def allow(self, name: str, allowed: Mapping[str, tuple[str, ...]], first: tuple[str, ...]) -> None:
        """Restricts the algorithms to those that are allowed. Of the host's keys, the kinds in `first` come first.

        Raises UnreachableError where Paramiko has none of them.
        """
        for keyword, attribute in _LISTS.items():
            have = getattr(self, attribute)
            if keyword.lower() in allowed:
                chosen = tuple(each for each in allowed[keyword.lower()] if each in have)
                if not chosen:
                    raise UnreachableError(
                        f"{name}: {keyword} of the SSH configuration allows none that this tool's SSH library has",
                        cause=f"It has {', '.join(have)}.",
                        hint=f"Allow one of these for the host as well: {keyword} +{have[0]}",
                    )
                setattr(self, attribute, chosen)
        wanted = [algorithm for kind in first for algorithm in _ALGORITHMS.get(kind, (kind,))]
        self._preferred_keys: tuple[str, ...] = tuple(
            sorted(self._preferred_keys, key=lambda each: each not in wanted)
        )

    def auth_none(self, username: str) -> Any:
        """See Paramiko."""
        request = LoginRequest(self, self._service)
        return self._answer_to(request, lambda answered: request.auth_none(username, answered))

    def auth_publickey(self, username: str, key: Any) -> Any:
        """See Paramiko. Nobody has to touch a token whose key the server does not want."""
        request = LoginRequest(self, self._service)
        if key.get_name().startswith("sk-"):
            query = KeyQuery(self, self._service)
            try:
                return self._answer_to(query, lambda answered: query.auth_publickey(username, key, answered))
            except AuthenticationException:
                if not query.would_do:
                    raise
            request.banner = query.banner  # the server says it once
        return self._answer_to(request, lambda answered: request.auth_publickey(username, key, answered))

    def _answer_to(self, request: AuthHandler, ask: Callable[[threading.Event], None]) -> Any:
        """What Paramiko makes of it: no methods after a login, those that are wanted as well, or an exception."""
        if not (self.active and self.initial_kex_done):
            raise SSHException("No existing session")
        answered = threading.Event()
        self.auth_handler = request
        ask(answered)
        return request.wait_for_response(answered)

    def keep_alive(self, seconds: int) -> None:
        """Closes the connection when the server has answered nothing for three times as long. 0: never."""
        if seconds:
            self.packetizer.set_keepalive(seconds, self._ask_for_a_sign)
            threading.Thread(target=self._watch, args=(seconds,), daemon=True).start()

    def _ask_for_a_sign(self) -> None:
        message = Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        self._send_message(message)

    def _watch(self, seconds: int) -> None:
        while self.is_active():
            time.sleep(min(seconds, 1))
            if time.monotonic() - self._heard > _MISSED * seconds + 1:
                self.close()
                return


_LISTS: Final = {
    "Ciphers": "_preferred_ciphers",
    "MACs": "_preferred_macs",
    "KexAlgorithms": "_preferred_kex",
    "HostKeyAlgorithms": "_preferred_keys",
    "PubkeyAcceptedAlgorithms": "_preferred_pubkeys",
}
"""The keyword in ssh_config, and where Paramiko has such algorithms."""
_REASONS: Final = (
    ("kex algorithm", "KexAlgorithms", "kex_algo_list"),
    ("host key", "HostKeyAlgorithms", "server_key_algo_list"),
    ("ciphers", "Ciphers", "server_encrypt_algo_list"),
    ("macs", "MACs", "server_mac_algo_list"),
)
"""Words of Paramiko's exception, the keyword, and the server's list."""
_ALGORITHMS: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""RFC 8332: an RSA key signs by these, and SHA-1 is gone from Paramiko."""
