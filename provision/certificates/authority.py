"""The folder with the user's own authority: two of them, one for servers and one for clients.

    servers.pem, servers.key   signs hosts; clients trust it (NAME.key.new: a key whose certificate comes next)
    clients.pem, clients.key   signs people and pipelines; hosts trust what `trusted` makes of it
    clients/NAME.pem           each client's certificate, without its key
    former/NAME.pem            clients of an earlier authority for clients, that are still let in

The keys never leave this machine. They have mode 0600, or are encrypted with a passphrase besides.

BuildKit reads no list of revoked certificates. To shut one client out, the authority for clients is made anew
(`revoke`). Hosts then trust the new one and, one by one, the certificates that the old one gave to the others: Go takes
a certificate that is in the pool itself for trusted, whoever signed it (crypto/x509, Certificate.Verify). So nobody
else needs a new one. The new authority has the old one's name, because a client sends its certificate only if the
server names its signer.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.certificates.life import AUTHORITY_DAYS, CERTIFICATE_DAYS
from provision.errors import ProvisionError, UsageError
from provision.lazy import LazyModule
from provision.transport import Secret

if TYPE_CHECKING:
    from provision.certificates import pem
    from provision.certificates.pem import Issued, Signer
else:
    pem = LazyModule("provision.certificates.pem")

SERVERS: Final = "servers"
CLIENTS: Final = "clients"
_FORMER: Final = "former"
_NAMES: Final = {SERVERS: "provision: build machines", CLIENTS: "provision: clients of build machines"}


class AuthorityError(ProvisionError):
    """The authority's folder is not as this tool left it, or its passphrase is wrong."""

    code = "authority"


@dataclass(frozen=True, kw_only=True)
class Authority:
    """The folder, which may not exist yet."""

    folder: Path
    passphrase: Callable[[], Secret | None] = lambda: None
    """Called only where a key has to be read or written."""

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        return all(self._certificate(each).is_file() for each in (SERVERS, CLIENTS))

    def make(self) -> bool:
        """Make it, unless it is there; whether it was made now. Raises AuthorityError."""
        if self.exists:
            return False
        with self._alone():  # another host's thread, or another run, may have been first
            lacking = [each for each in (SERVERS, CLIENTS) if not self._certificate(each).is_file()]
            secret = self.passphrase() if lacking else None
            for each in lacking:
                self._keep(each, pem.make_authority(_NAMES[each], time.time(), AUTHORITY_DAYS), secret)
        return bool(lacking)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the folder meanwhile: a key of one run with a certificate of another is of no use."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @property
    def servers(self) -> str:
        """The certificate that clients trust, in PEM."""
        return self._read(self._certificate(SERVERS))

    @property
    def trusted(self) -> str:
        """What hosts trust, in PEM: the authority for clients, and the former clients that are still let in."""
        now = time.time()
        former = (
            text
            for _, text in sorted(self._all(_FORMER))
            if (life := pem.life_of(text)) and not life.is_over(now)
        )
        return "".join((self._read(self._certificate(CLIENTS)), *former))

    @property
    def clients(self) -> Mapping[str, str]:
        """The certificate of each client, by name: those that hosts let in, whoever signed them."""
        return {**dict(self._all(_FORMER)), **dict(self._all(CLIENTS))}

    @property
    def trusted_clients(self) -> frozenset[str]:
        """The newest certificate of each client that hosts let in, in PEM."""
        return frozenset(self.clients.values())

    def for_server(self, name: str, names: tuple[str, ...], days: float = CERTIFICATE_DAYS) -> Issued:
        """A new certificate for a host, with a new key. Raises AuthorityError."""
        return pem.issue(self._signer(SERVERS), name, time.time(), days, names=names)

    def renewed(self, old: str, name: str, names: tuple[str, ...], days: float = CERTIFICATE_DAYS) -> str:
        """A new certificate for the key of a host's old one, which is readable. Raises AuthorityError."""
        return pem.renew(self._signer(SERVERS), old, name, time.time(), days, names=names)

    def for_client(self, name: str, days: float = CERTIFICATE_DAYS) -> Issued:
        """A new certificate for a person or a pipeline; the name's earlier ones stay good. Raises AuthorityError."""
        made = pem.issue(self._signer(CLIENTS), name, time.time(), days)
        self._write(self.folder / CLIENTS / f"{name}.pem", made.certificate)
        return made

    def revoke(self, name: str) -> None:
        """Shut a client out, with all certificates that it ever had: hosts have to be provisioned then.

        Raises UsageError for a client that there is not, AuthorityError.
        """
        with self._alone():
            self._revoke(name)

    def _revoke(self, name: str) -> None:
        if name not in self.clients:
            known = ", ".join(self.clients) or "nobody"
            raise UsageError(f"there is no client {name!r}", hint=f"Known are: {known}.")
        own = dict(self._all(CLIENTS))
        if name not in own:
            (self.folder / _FORMER / f"{name}.pem").unlink(missing_ok=True)
            return
        # What can fail comes first, and the client's name goes last: a run that was cut can be run again, and until the
        # new authority is there, nobody takes the client for one that is shut out.
        secret = self.passphrase()
        (self.folder / _FORMER / f"{name}.pem").unlink(missing_ok=True)
        for each, text in own.items():
            if each != name:
                self._write(self.folder / _FORMER / f"{each}.pem", text)
        self._keep(CLIENTS, pem.make_authority(_NAMES[CLIENTS], time.time(), AUTHORITY_DAYS), secret)
        for each in (*(each for each in own if each != name), name):
            (self.folder / CLIENTS / f"{each}.pem").unlink()

    def _signer(self, which: str) -> Signer:
        key, waiting = self._key(which), self._waiting(which)
        if waiting.is_file():
            # A run was killed before it had its name. One of another certificate waits for nothing.
            with suppress(TypeError, ValueError, OSError, AuthorityError):
                self._loaded(which, waiting)
                waiting.replace(key)
        if key.is_file() and (mode := key.stat().st_mode & 0o077):
            raise AuthorityError(
                f"{key} can be read by others",
                cause=f"its mode is {mode | 0o600:04o}",
                hint=f"chmod 600 {key}",
            )
        try:
            return self._loaded(which, key)
        except TypeError:
            cause, hint = (
                "it is encrypted",
                "Set [buildkit.tls] passphrase_command, or run it on a terminal.",
            )
        except ValueError as error:
            cause, hint = (
                str(error),
                "Its passphrase may be wrong. Otherwise restore the folder from a copy.",
            )
        raise AuthorityError(f"{key} cannot be used", cause=cause, hint=hint)

    def _loaded(self, which: str, key: Path) -> Signer:
        text, secret = Secret(self._read(key)), None
        if "ENCRYPTED" in text.reveal().partition("\n")[0]:
            secret = self.passphrase()
        return pem.load_signer(self._read(self._certificate(which)), text, secret)

    def _keep(self, which: str, signer: Signer, passphrase: Secret | None) -> None:
        # The key waits beside the old one until its certificate is there: the two cannot be replaced at once.
        self._write(self._waiting(which), pem.key_text(signer.key, passphrase).reveal())
        self._write(self._certificate(which), signer.pem)
        self._waiting(which).replace(self._key(which))

    def _certificate(self, which: str) -> Path:
        return self.folder / f"{which}.pem"

    def _key(self, which: str) -> Path:
        return self.folder / f"{which}.key"

    def _waiting(self, which: str) -> Path:
        return self.folder / f"{which}.key.new"

    def _all(self, which: str) -> Iterator[tuple[str, str]]:
        for path in sorted((self.folder / which).glob("*.pem")):
            yield path.stem, self._read(path)

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise AuthorityError(
                f"{path} cannot be read",
                cause=getattr(error, "strerror", None) or str(error),
                hint="Restore the authority's folder from a copy.",
            ) from error

    def _write(self, path: Path, text: str) -> None:
        try:
            write_private(path, text)
        except OSError as error:
            raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> AuthorityError:
    return AuthorityError(
        f"{path} cannot be written",
        cause=error.strerror or str(error),
        hint="Make room, or make it writable for you.",
    )


def write_private(path: Path, text: str) -> None:
    """A file for its owner alone (0600), whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
