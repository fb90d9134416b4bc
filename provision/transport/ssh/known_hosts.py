"""Host keys: what OpenSSH has of a host, and the errors for a key that does not match. No network.

Fabric never reads known_hosts and adds any key it sees (fabric#2071); Paramiko's own reader knows no wildcards and no
@revoked. So `ssh-keygen` reads the files: hashes, patterns and markers mean what they mean to ssh.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provision.errors import HostKeyError, WrongKeyError
from provision.transport.ssh import openssh
from provision.transport.ssh.config import Endpoint

_SECONDS: Final = 20
_REVOCATIONS: Final = b"SSHKRL\n\0"
"""How a key revocation list begins (OpenSSH, PROTOCOL.krl). Else it is a list of public keys."""


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A key, with its name in known_hosts."""

    name: str
    kind: str
    """`ssh-ed25519`, `ssh-rsa`, …"""
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it: SHA256 in base64 without padding."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def line(self) -> str:
        """As a line of known_hosts, without its newline."""
        return f"{self.name} {self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def hashed_line(self) -> str:
        """Likewise, with a name that nobody can read (ssh_config(5), HashKnownHosts)."""
        salt = os.urandom(20)
        digest = hmac.new(salt, self.name.encode(), hashlib.sha1).digest()
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
        return f"{name} {self.line.split(' ', 1)[1]}"

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


class UnknownKeyError(HostKeyError):
    """known_hosts has no key of the host. Only such a key may be added, if the user agrees."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What known_hosts files contain about one host."""

    keys: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    by_authority: bool = False
    """A certificate authority vouches for the host: only `ssh` can check that (`vouch`)."""
    without_port: bool = False
    """The keys are those of the host's port 22: a server at another port may have the same keys, or others."""
    vouched: tuple[str, str] | None = None
    """Kind and fingerprint of a key for which `ssh` was asked."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the keys, for the negotiation: a server should show a key that we know."""
        return tuple(dict.fromkeys((*(self.vouched or ())[:1], *(key.kind for key in self.keys))))


def known(endpoint: Endpoint) -> Known:
    """Reads the files of an endpoint; a missing file has no keys."""
    found = search(endpoint.known_hosts, endpoint.key_name)
    if found.keys or not endpoint.key_name.startswith("["):
        return found
    # ssh takes a key without a port for the host's others as well (sshconnect.c, check_host_key).
    plain = search(endpoint.known_hosts, endpoint.host.lower())
    return Known(
        keys=plain.keys,
        revoked=(*found.revoked, *plain.revoked),
        by_authority=found.by_authority or plain.by_authority,
        without_port=True,
    )


def search(files: Sequence[Path], name: str) -> Known:
    """What files have for one name."""
    entries = [entry for file in files if file.is_file() for entry in _entries(file, name)]
    return Known(
        keys=tuple(key for marker, key in entries if not marker),
        revoked=tuple(key for marker, key in entries if marker == "@revoked"),
        by_authority=any(marker == "@cert-authority" for marker, _ in entries),
    )


def _entries(file: Path, name: str) -> Iterator[tuple[str, HostKey]]:
    for line in openssh.ask(("ssh-keygen", "-F", name, "-f", str(file)), _SECONDS).out.splitlines():
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) >= 3 and not fields[0].startswith("#"):
            with suppress(ValueError):
                yield (
                    marker,
                    HostKey(name=name, kind=fields[1], blob=base64.b64decode(fields[2], validate=True)),
                )


def check(endpoint: Endpoint, name: str, facts: Known, shown: HostKey) -> HostKeyError | None:
    """The error for the key that a host shows; None if it is a known key."""
    if shown.blob in {key.blob for key in facts.revoked}:
        return revoked_key_error(name, f"known_hosts marks {shown} as @revoked")
    for file in endpoint.revoked:
        try:
            data = file.read_bytes()
        except OSError as error:
            return _unread_revocations_error(name, file, error)
        if _revokes(file, data, shown):
            return revoked_key_error(name, f"RevokedHostKeys {file} has {shown}")
    if shown.blob in {key.blob for key in facts.keys} or facts.vouched == (shown.kind, shown.fingerprint):
        return None
    # As in ssh: another key at another port is no sign of harm, it is another sshd (a container's).
    changed = facts.keys and not facts.without_port
    return (_changed_key_error if changed else _unknown_key_error)(endpoint, name, facts, shown)


def _revokes(file: Path, data: bytes, shown: HostKey) -> bool:
    """Whether a file of RevokedHostKeys, with these bytes, has a key."""
    public = shown.line.split(" ", 1)[1]
    if not data.startswith(_REVOCATIONS):
        lines = (line.split() for line in data.decode(errors="replace").splitlines())
        return any(public.split()[1] in fields for fields in lines)
    with tempfile.NamedTemporaryFile("w", suffix=".pub", encoding="ascii") as key:
        key.write(f"{public}\n")
        key.flush()
        return openssh.ask(("ssh-keygen", "-Q", "-f", str(file), key.name), _SECONDS).status != 0


def add(file: Path, keys: Iterable[HostKey], *, hashed: bool = False) -> None:
    """Appends keys to a known_hosts file. Makes the file and its folder, for the user alone. Raises OSError."""
    text = "".join(f"{key.hashed_line if hashed else key.line}\n" for key in keys)
    _append(file, text.encode())


def _append(file: Path, data: bytes) -> None:
    """Ends the last line first if its newline is missing."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(size - 1, 0))
        missing = b"\n" if opened.read(1) not in (b"", b"\n") else b""
        opened.write(missing + data)


def revoked_key_error(name: str, cause: str) -> WrongKeyError:
    """The host's key, or an authority that signed it, is in the hands of others."""
    return WrongKeyError(
        f"{name}: the host's key was revoked",
        cause=f"{cause}: anyone who has it can pose as this host.",
        hint="Give the host new keys (ssh-keygen -A there), and known_hosts the new ones.",
    )


def _unread_revocations_error(name: str, file: Path, error: OSError) -> HostKeyError:
    return HostKeyError(
        f"{name}: nobody knows whether the host's key was revoked",
        cause=f"RevokedHostKeys {file} cannot be read ({error.strerror}), and then ssh accepts no key.",
        hint="Make the file readable, or take RevokedHostKeys out of the SSH configuration.",
    )


def _unknown_key_error(endpoint: Endpoint, name: str, facts: Known, shown: HostKey) -> UnknownKeyError:
    files = dict.fromkeys(map(str, endpoint.known_hosts))
    cause = f"It shows {shown}, and none is in {', '.join(files)}."
    # A file that keeps nothing knows no more after a login.
    login = f", or by logging in once: {shlex.join((*endpoint.by_hand, 'exit'))}"
    by_login = login if {*files} != {os.devnull} else " (for each run, as that file keeps none)"
    if facts.vouched or facts.by_authority or endpoint.vouching:
        cause += " ssh does not vouch for it either, by a certificate authority or what else is configured."
    return UnknownKeyError(
        f"{name}: the host's key is not known",
        cause=cause,
        hint=(
            "Compare it with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there), then add "
            f"it: --accept-new-host-keys{by_login}"
        ),
    )


def _changed_key_error(endpoint: Endpoint, name: str, facts: Known, shown: HostKey) -> WrongKeyError:
    same = [key for key in facts.keys if key.kind == shown.kind] or facts.keys
    names = dict.fromkeys(key.name for key in facts.keys)
    removals = [
        f"ssh-keygen -R {shlex.quote(each)} -f {shlex.quote(str(file))}"
        for each in names
        for file in endpoint.known_hosts
        if search([file], each).keys
    ]
    first = f"Only if you know why: {' && '.join(removals)}; then log in again" if removals else "Run again"
    return WrongKeyError(
        f"{name}: the host's key has changed",
        cause=(
            f"It shows {shown}; known is {', '.join(map(str, same))}. The host was reinstalled or has a new "
            "key, or somebody is between it and this machine."
        ),
        hint=f"{first} to learn the new one.",
    )
