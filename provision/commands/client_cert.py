"""`client-cert`: a certificate of the user's own authority for a person or a pipeline; or the end of one."""

from __future__ import annotations

import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from provision import user_folders
from provision.certificates import pem
from provision.certificates.authority import Authority, AuthorityError, write_private
from provision.certificates.life import CERTIFICATE_DAYS, DAY
from provision.errors import UsageError
from provision.result import HostResult, StepResult

FILES: Final = ("ca.pem", "cert.pem", "key.pem")
"""As `buildctl --tlsdir` and buildx name them: who signs servers, the certificate, its key."""
VARIABLES: Final = ("BUILDER_TLS_CACERT", "BUILDER_TLS_CERT", "BUILDER_TLS_KEY")
"""The secrets that `builder --print` takes for a pipeline, in the same order."""
ENVIRONMENT: Final = "variables.env"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def checked_name(name: str) -> str:
    """The name of a client. Raises UsageError for what would be no plain file name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a client", hint="Letters, digits and . _ @ - are taken.")
    return name


def make(name: str, folder: Path, authority: Authority, days: int, *, variables: bool) -> HostResult:
    """Give a client a certificate, as files in `folder`. Raises AuthorityError."""
    with _writable(folder):
        made_now = authority.make()
        issued = authority.for_client(name, days)
    texts = dict(zip(FILES, (authority.servers, issued.certificate, issued.key.reveal()), strict=True))
    if variables:
        # As `gh secret set --env-file` reads them: a line's end within double quotes.
        pairs = zip(VARIABLES, texts.values(), strict=True)
        texts = {ENVIRONMENT: "".join(f'{key}="{text}"\n' for key, text in pairs)}
    with _named(folder):
        for file, text in texts.items():
            write_private(folder / file, text)
    steps = [_step("write", str(folder / file)) for file in texts]
    if made_now:
        steps.insert(0, _step("make", f"the authority in {authority.folder}"))
    life = pem.life_of(issued.certificate)
    days_left = round(life.left(time.time()) / DAY) if life else days
    return HostResult(
        host=name,
        status="changed",
        steps=tuple(steps),
        notes=(
            f"it is good for {days_left} days; whoever has the key is root on every host that trusts it",
        ),
    )


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Before a certificate is made, as who never got it would be listed. A failure leaves no empty folder."""
    there = folder.exists()
    with _named(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    try:
        yield
    except BaseException:
        if not there:
            folder.rmdir()
        raise


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AuthorityError(
            f"{folder} cannot be written", cause=error.strerror or str(error), hint="Name another --out."
        ) from error


def keep(folder: Path, authority: Authority) -> None:
    """This machine's own certificate, made or renewed if it is needed.

    Raises UsageError where the authority is on another machine, AuthorityError.
    """
    ca, certificate, key = (folder / file for file in FILES)
    if not authority.exists:
        raise UsageError(
            "your own authority is not on this machine, and so no certificate can be made here",
            hint="Get one from where it is (client-cert NAME), and name its folder: --certificates.",
        )
    if ca.is_file() and key.is_file() and certificate.is_file():
        text = certificate.read_text(encoding="ascii", errors="replace")
        life = pem.life_of(text)
        good = life is not None and not life.is_due(time.time()) and text in authority.trusted_clients
        # A run that was killed between the two files.
        good = good and pem.is_pair(text, key.read_text(encoding="ascii", errors="replace"))
        if good and ca.read_text(encoding="ascii", errors="replace") == authority.servers:
            return
    name = re.sub(r"[^A-Za-z0-9._@-]", "-", f"{user_folders.own_name()}@{socket.gethostname()}")[:64]
    make(name, folder, authority, CERTIFICATE_DAYS, variables=False)


def revoke(name: str, authority: Authority) -> HostResult:
    """Shut a client out. Raises UsageError for one that there is not, AuthorityError."""
    authority.revoke(name)
    return HostResult(
        host=name,
        status="changed",
        steps=(_step("revoke", f"the certificates of {name}"),),
        notes=(
            "run provision for all hosts now: until then they let it in. Nobody else needs a new certificate",
        ),
    )


def _step(action: str, target: str) -> StepResult:
    return StepResult(id=action, action=action, target=target, status="done")
