"""Host keys: the keys that known_hosts files have for a host, and the errors for a key that does not match. No network.

Fabric never reads known_hosts and adds any key it sees (fabric#2071); Paramiko's own reader knows no
wildcards and no @revoked. So the files are read here, as sshd(8), SSH_KNOWN_HOSTS FILE FORMAT, has them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provision.errors import HostKeyError
from provision.transport.ssh.config import Endpoint


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
    """A certificate authority vouches for the host. Paramiko cannot check its signatures."""
    without_port: bool = False
    """The keys are those of the host's port 22: a server at another port may have the same keys, or others."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the keys, for the negotiation: a server should show a key that we know."""
        return tuple(dict.fromkeys(key.kind for key in self.keys))


def known(endpoint: Endpoint) -> Known:
    """Reads the files of an endpoint; a missing file has no keys."""
    lines = [line for file in endpoint.known_hosts for line in _read(file)]
    found = search(lines, endpoint.key_name)
    if found.keys or not endpoint.key_name.startswith("["):
        return found
    # ssh takes a key without a port for the host's others as well (sshconnect.c, check_host_key).
    plain = search(lines, endpoint.host.lower())
    return Known(
        keys=plain.keys,
        revoked=(*found.revoked, *plain.revoked),
        by_authority=found.by_authority,
        without_port=True,
    )


def search(lines: Iterable[str], name: str) -> Known:
    """What the lines of known_hosts files contain about `name`."""
    keys, revoked, authority = [], [], False
    for marker, key in _entries(lines, name):
        if marker == "@revoked":
            revoked.append(key)
        elif marker == "@cert-authority":
            authority = True
        else:
            keys.append(key)
    return Known(keys=tuple(keys), revoked=tuple(revoked), by_authority=authority)


def check(endpoint: Endpoint, name: str, shown: HostKey) -> HostKeyError | None:
    """The error for the key that a host shows; None if it is a known key."""
    facts = known(endpoint)
    if shown.blob in {key.blob for key in facts.revoked}:
        return HostKeyError(
            f"{name}: the host's key was revoked",
            cause=f"known_hosts marks {shown} as @revoked: anyone who has it can pose as this host.",
            hint="Give the host new keys (ssh-keygen -A there), and known_hosts the new ones.",
        )
    if shown.blob in {key.blob for key in facts.keys}:
        return None
    # As in ssh: another key at another port is no sign of harm, it is another sshd (a container's).
    changed = facts.keys and not facts.without_port
    return (_changed_key_error if changed else _unknown_key_error)(endpoint, name, facts, shown)


def add(file: Path, keys: Iterable[HostKey]) -> None:
    """Appends keys to a known_hosts file. Makes the file and its folder, for the user alone. Raises HostKeyError."""
    text = "".join(f"{key.line}\n" for key in keys)
    try:
        _append(file, text.encode())
    except OSError as error:
        raise HostKeyError(
            f"{file}: new host keys cannot be written there",
            cause=error.strerror or str(error),
            hint="Make it writable for you (ls -l shows its owner), or name another file: known_hosts in [ssh].",
        ) from error


def _append(file: Path, data: bytes) -> None:
    """Ends the last line first if its newline is missing."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(size - 1, 0))
        missing = b"\n" if opened.read(1) not in (b"", b"\n") else b""
        opened.write(missing + data)


def _unknown_key_error(endpoint: Endpoint, name: str, facts: Known, shown: HostKey) -> UnknownKeyError:
    scan = f"ssh-keyscan -p {endpoint.port} -t {_short(shown.kind)} {shlex.quote(endpoint.host)}"
    cause = f"It shows {shown}, and none is in {', '.join(map(str, endpoint.known_hosts))}."
    if facts.by_authority:
        cause += " They have a certificate authority for it, but its signatures cannot be checked here."
    return UnknownKeyError(
        f"{name}: the host's key is not known",
        cause=cause,
        hint=(
            "Compare it with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there), then add "
            f"it: --accept-new-host-keys, or {scan} >> {shlex.quote(str(endpoint.known_hosts[0]))}"
        ),
    )


def _changed_key_error(endpoint: Endpoint, name: str, facts: Known, shown: HostKey) -> HostKeyError:
    same = [key for key in facts.keys if key.kind == shown.kind] or facts.keys
    names = dict.fromkeys(key.name for key in facts.keys)
    removals = [
        f"ssh-keygen -R {shlex.quote(each)} -f {shlex.quote(str(file))}"
        for each in names
        for file in endpoint.known_hosts
        if search(_read(file), each).keys
    ]
    return HostKeyError(
        f"{name}: the host's key has changed",
        cause=(
            f"It shows {shown}; known is {', '.join(map(str, same))}. The host was reinstalled or has a new "
            "key, or somebody is between it and this machine."
        ),
        hint=f"Only if you know why: {' && '.join(removals)}; then log in again to learn the new one.",
    )


def _short(kind: str) -> str:
    return "rsa" if "rsa" in kind else "ecdsa" if "ecdsa" in kind else kind.removeprefix("ssh-")


def _read(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _entries(lines: Iterable[str], name: str) -> Iterator[tuple[str, HostKey]]:
    for line in lines:
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#") or not _matches(fields[0], name):
            continue
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except ValueError:
            continue
        yield marker, HostKey(name=name, kind=fields[1], blob=blob)


def _matches(field: str, name: str) -> bool:
    """A hashed name, or patterns with commas between them; a pattern with `!` that fits excludes the line."""
    if field.startswith("|1|"):
        salt, _, digest = field[3:].partition("|")
        try:
            expected = base64.b64decode(digest)
            found = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        except ValueError:
            return False
        return hmac.compare_digest(found, expected)
    patterns = field.lower().split(",")
    if any(_fits(pattern[1:], name) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_fits(pattern, name) for pattern in patterns)


def _fits(pattern: str, name: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name))
