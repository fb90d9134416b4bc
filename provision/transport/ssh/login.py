"""Logging in by key: the agent's keys and those in files, in OpenSSH's order, each tried once.

First the agent's keys that the configuration names, then the agent's others unless IdentitiesOnly, then the files;
the certificates of each key before it. An agent that hangs delays a login by seconds, not for ever (fabric#2306).
Imports Paramiko.
"""

from __future__ import annotations

import base64
import copy
import socket
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from paramiko import PKey
from paramiko.agent import AgentKey, AgentSSH
from paramiko.auth_strategy import AuthStrategy
from paramiko.pkey import PublicBlob
from paramiko.ssh_exception import (
    AuthenticationException,
    BadAuthenticationType,
    PasswordRequiredException,
    SSHException,
)

from provision.transport.ssh.config import Endpoint
from provision.transport.ssh.errors import LoginError, SlowLoginError
from provision.transport.ssh.keywords import unsupported_methods
from provision.transport.ssh.login_request import CannotSignError

_AGENT_SECONDS: Final = 3.0
_CERTIFICATE: Final = "-cert-v01@openssh.com"
_FIELDS: Final = {
    "ssh-rsa": ("ssh-rsa", 2),
    "ssh-ed25519": ("ssh-ed25519", 1),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256", 2),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384", 2),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521", 2),
    "sk-ssh-ed25519": ("sk-ssh-ed25519@openssh.com", 2),
    "sk-ecdsa-sha2-nistp256": ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
}
"""The kind of key in a certificate's name: the key's own name, and the number of its fields."""
_DEFAULT_NAMES: Final = frozenset(
    f"id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa")
)
"""`ssh -G` prints these where the configuration names no key, whether they exist or not."""


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
        self._banner = ""
        self._agent: _Agent | None = None
        self._agent_hangs = False
        self._hung_up = False

    def authenticate(self, transport: Any) -> None:
        """Raises LoginError, SlowLoginError; SSHException if the link breaks."""
        tried: list[str] = []
        try:
            accepted = self._with_keys(transport, tried)
        finally:
            if self._agent:
                self._agent.close()
        if accepted is None:
            return
        if accepted:
            raise self._error(tried, accepted, "a key was right, but the server wants more than one")
        accepted = self._without_key(transport)
        if accepted is not None:
            raise self._error(tried, accepted)

    def _with_keys(self, transport: Any, tried: list[str]) -> list[str] | None:
        """Logs in; else what the server wants besides a key that was right, if one was."""
        wanted: list[str] = []
        for offer in self._offers():
            if self._agent_hangs and isinstance(offer.key, AgentKey):
                continue
            tried.append(offer.label)
            try:
                more = self._with_key(transport, offer)
            except BadAuthenticationType:
                break
            if more == []:
                return None
            wanted = more or wanted
            # Where a key was right, the server may want another key.
            if self._hung_up or (more and "publickey" not in more):
                break
        return wanted

    def _with_key(self, transport: Any, offer: _Offer) -> list[str] | None:
        """What the server wants besides this key; None if it is not taken. Raises SlowLoginError."""
        try:
            return list(transport.auth_publickey(self._endpoint.user, offer.key))
        except BadAuthenticationType:
            raise
        except AuthenticationException as error:
            if "timeout" in str(error).lower():
                raise SlowLoginError from error
            self._hung_up = not transport.is_active()
        except CannotSignError as error:
            self._notes.append(f"{offer.label} could not sign ({error})")
            # What comes later from an agent that was too slow would be taken for its next answer.
            self._agent_hangs = self._agent_hangs or isinstance(error.__cause__, OSError)
            self._hung_up = not transport.is_active()  # meanwhile: sshd gives a login two minutes
        except (OSError, EOFError):
            self._hung_up = True
        finally:
            self._listen(transport)
        return None

    def _without_key(self, transport: Any) -> list[str] | None:
        """Logs in with nothing, as some servers let in by other means (Tailscale SSH); else the methods they accept.

        Asked only when all keys failed, as it costs a turn of the line.
        """
        with suppress(SSHException, EOFError):
            if transport.is_active():
                try:
                    if not (more := transport.auth_none(self._endpoint.user)):
                        return None
                    return list(more)
                except BadAuthenticationType as error:
                    return list(error.allowed_types)
                finally:
                    self._listen(transport)
        return []

    def _listen(self, transport: Any) -> None:
        """Keep what the server says, if only once, beside its verdicts (RFC 4252 §5.4)."""
        banner = transport.auth_handler.banner if transport.auth_handler else None
        if banner:
            self._banner = banner.decode(errors="replace") if isinstance(banner, bytes) else str(banner)

    def _error(self, tried: list[str], accepted: list[str], *notes: str) -> LoginError:
        told = unsupported_methods(accepted, self._endpoint.unsupported)
        if self._hung_up:
            # With words of its own it has said why.
            many = "" if self._banner or len(tried) < 2 else " (too many keys? then set IdentitiesOnly)"
            self._notes.append(f"the server hung up{many}")
        return LoginError(tried, accepted, [*(notes or self._notes), *told], self._banner)

    def _offers(self) -> Iterator[_Offer]:
        for offer in self._all_offers():
            if self._is_allowed(offer.key):
                yield offer
            else:
                self._notes.append(f"{offer.label} is of a kind that PubkeyAcceptedAlgorithms leaves out")

    def _is_allowed(self, key: Any) -> bool:
        allowed = self._endpoint.algorithms.get("pubkeyacceptedalgorithms", ())
        kind = key.public_blob.key_type if getattr(key, "public_blob", None) else key.get_name()
        # An RSA key signs by rsa-sha2-512 or -256, with and without a certificate (RFC 8332).
        return not allowed or kind in allowed or kind.replace("ssh-rsa", "rsa-sha2-512") in allowed

    def _all_offers(self) -> Iterator[_Offer]:
        held = _by_public(self._agent_keys())
        named = {file: _public(file) for file in self._endpoint.identities}
        for file, public in named.items():
            if public is not None and public in held:
                yield from self._from_agent(str(file), held[public], self._certificates(public, file))
        if not self._endpoint.identities_only:
            for public, keys in held.items():
                if public not in named.values():
                    label = keys[0].comment or keys[0].get_name()
                    yield from self._from_agent(label, keys, self._certificates(public))
        for file, public in named.items():
            if public is None or public not in held:
                yield from self._from_file(file)

    def _certificates(self, public: bytes, file: Path | None = None) -> list[bytes]:
        """Certificates of this key in files: the one beside it, and those that the configuration names."""
        beside = [file.with_name(f"{file.name}-cert.pub")] if file else []
        blobs = [_blob(each) for each in (*beside, *self._endpoint.certificates)]
        return [blob for blob in blobs if blob and certified(blob) == public]

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
            if file.name not in _DEFAULT_NAMES:
                self._notes.append(f"there is no {file}")
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of cryptography, for DSA: the note below says it
                key = PKey.from_path(file)
        except (PasswordRequiredException, TypeError):
            # cryptography raises TypeError for a key that needs a passphrase
            self._notes.append(f"{file} is encrypted and no agent holds it (ssh-add {file})")
        except (OSError, ValueError, SSHException) as error:
            self._notes.append(f"{file} cannot be read ({error})")
        except Exception:  # noqa: BLE001 - UnsupportedAlgorithm, UnknownKeyType: the next key may do
            self._notes.append(f"{file} is of a kind that is used through an agent only (ssh-add {file})")
        else:
            for blob in self._certificates(bytes(key.asbytes()), file):
                yield _Offer(label=f"{file} (certificate)", key=_certify(copy.copy(key), blob))
            key.public_blob = None  # from_path() has put the certificate that lies beside the file there
            yield _Offer(label=str(file), key=key)

    @staticmethod
    def _from_agent(label: str, keys: Sequence[Any], certificates: Sequence[bytes]) -> Iterator[_Offer]:
        """The agent's entries for one key. The agent signs for any certificate of it, even one it does not hold."""
        plain = [key for key in keys if not key.get_name().endswith(_CERTIFICATE)]
        own = [key.blob for key in keys if key.get_name().endswith(_CERTIFICATE)]
        for blob in dict.fromkeys((*certificates, *own)):
            signer = AgentKey(keys[0].agent, (plain or keys)[0].blob)
            # Otherwise it asks the agent for the plain key, and the agent may hold the certificate only.
            signer.inner_key = None
            yield _Offer(label=f"{label} (agent, certificate)", key=_certify(signer, blob))
        for key in plain:
            yield _Offer(label=f"{label} (agent)", key=key)


def certified(blob: bytes) -> bytes | None:
    """The public key that a certificate is for; None if the bytes are no certificate. OpenSSH, PROTOCOL.certkeys."""
    with suppress(ValueError, KeyError):
        name, rest = _string(blob)
        kind, suffix, _ = name[4:].decode("ascii").partition(_CERTIFICATE)
        if not suffix:
            return None
        own, count = _FIELDS[kind]
        fields = rest = _string(rest)[1]  # behind a nonce
        for _number in range(count):
            rest = _string(rest)[1]
        return len(own).to_bytes(4, "big") + own.encode() + fields[: len(fields) - len(rest)]
    return None


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first field with its length before it, and the bytes behind it (RFC 4251 §5)."""
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < max(end, 4):
        raise ValueError("cut short")
    return data[:end], data[end:]


def _by_public(keys: Iterable[Any]) -> Mapping[bytes, Sequence[Any]]:
    """The agent's entries by the public key that each is, or certifies."""
    found: dict[bytes, list[Any]] = {}
    for key in keys:
        found.setdefault(certified(key.blob) or bytes(key.blob), []).append(key)
    return found


def _certify(key: Any, certificate: bytes) -> Any:
    """Make Paramiko offer the certificate, and sign with the key."""
    key.public_blob = PublicBlob(_string(certificate)[0][4:].decode("ascii"), certificate)
    return key


def _public(file: Path) -> bytes | None:
    """The public half of an identity file, to find it among the agent's keys; ssh reads the `.pub` as well."""
    blob = _blob(file.with_name(f"{file.name}.pub")) or _blob(file)
    return (certified(blob) or blob) if blob else None


def _blob(file: Path) -> bytes | None:
    """The bytes in a file of one public key or certificate."""
    with suppress(OSError, ValueError, IndexError):
        kind, text = file.read_text(encoding="ascii").split()[:2]
        if kind.startswith(("ssh-", "ecdsa-", "sk-")):
            return base64.b64decode(text)
    return None
