"""`login` and `logout` on another host: in the Docker configuration of the user who logs in there.

The file is changed here and written there, if it is still what was read. Secrets go down the channel as the payload
of a script, from memory: they are in no argument, no variable, no file of this machine, and no output.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provision.errors import HostError
from provision.facts.records import Record, records
from provision.registry.credentials import helper_for, keys_of, parse_settings, server_key
from provision.registry.json_edits import with_member, without_member
from provision.render import render
from provision.result import HostResult, StepResult
from provision.transport import Payload, Secret, Transport

TIMEOUT: Final = 60.0
"""Seconds for each request; a helper may ask a key service."""
_TRIES: Final = 3
"""Somebody else may log in between the reading and the writing."""
_HELPER: Final = re.compile(r"[A-Za-z0-9._-]+")
_EMPTY: Final = "{}\n"


@dataclass(frozen=True, kw_only=True)
class _File:
    """Docker's configuration, as it is there."""

    path: str
    data: bytes | None
    """None: there is none."""

    @property
    def text(self) -> str:
        try:
            return (self.data or b"").decode() or _EMPTY
        except UnicodeDecodeError as error:
            raise HostError(f"{self.path} is not UTF-8", hint="Correct it, or move it away.") from error

    @property
    def settings(self) -> dict[str, Any]:
        return parse_settings(self.text, self.path)

    @property
    def digest(self) -> str:
        return "" if self.data is None else hashlib.sha256(self.data).hexdigest()


def login(transport: Transport, registry: str, user: str, password: Secret) -> HostResult:
    """Keeps a login that was tried already. Raises HostError, ConfigError."""
    host, key = transport.name, server_key(registry)

    def change(file: _File, helper: str) -> str:
        coded = base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()
        return with_member(file.text, ("auths", key), {} if helper else {"auth": coded})

    said = {"ServerURL": key, "Username": user, "Secret": password.reveal()}
    place = _changed(transport, registry, change, ("store", json.dumps(said)))
    notes = () if place.startswith("docker-credential-") else (f"the password is in {place}, not encrypted",)
    step = StepResult(id="login", action="log in to", target=f"{registry} as {user}", status="done")
    return HostResult(host=host, status="changed", steps=(step,), notes=notes)


def logout(transport: Transport, registry: str) -> HostResult:
    """Removes a login. Raises HostError, ConfigError."""
    before = _read(transport)
    entries = before.settings.get("auths")
    known = [key for key in keys_of(registry) if isinstance(entries, dict) and key in entries]
    if not known and not helper_for(before.settings, registry):
        return HostResult(host=transport.name, status="ok", notes=(f"there was no login for {registry}",))

    def change(file: _File, _helper: str) -> str:
        text = file.text
        for key in keys_of(registry):
            text = without_member(text, ("auths", key))
        return text

    _changed(transport, registry, change, ("erase", server_key(registry)))
    step = StepResult(id="logout", action="log out of", target=registry, status="done")
    return HostResult(host=transport.name, status="changed", steps=(step,))


def _changed(
    transport: Transport, registry: str, change: Callable[[_File, str], str], told: tuple[str, str]
) -> str:
    """Changes the file, and tells the helper that it names first; says where the login is."""
    for _ in range(_TRIES):
        if place := _changed_once(transport, registry, change, told):
            return place
    raise HostError("Docker's configuration changes all the time", hint="Try again.")


def _changed_once(
    transport: Transport, registry: str, change: Callable[[_File, str], str], told: tuple[str, str]
) -> str:
    """Empty if somebody else changed the file meanwhile."""
    file = _read(transport)
    helper = helper_for(file.settings, registry)
    if helper:
        _tell(transport, helper, *told)
    try:
        text = change(file, helper)
        json.loads(text)
    except ValueError as error:
        raise HostError(
            f"{file.path} cannot be changed", cause=str(error), hint="Correct it there."
        ) from error
    if text != file.text and not _written(transport, file, text):
        return ""
    return f"docker-credential-{helper}" if helper else file.path


def _read(transport: Transport) -> _File:
    record = _asked(transport, render("login.sh", verb="read"))
    if record.kind == "none":
        return _File(path=record[0], data=None)
    try:
        return _File(path=record[0], data=base64.b64decode(record[1], validate=True))
    except binascii.Error as error:
        raise HostError(
            f"{record[0]} could not be read", cause="half an answer came", hint="Try again."
        ) from error


def _written(transport: Transport, file: _File, text: str) -> bool:
    """False if it is not what it was."""
    with _in_memory(text) as payload:
        record = _asked(transport, render("login.sh", verb="write", digest=file.digest), payload)
    return record.kind == "written"


def _tell(transport: Transport, helper: str, verb: str, text: str) -> None:
    if not _HELPER.fullmatch(helper):
        raise HostError(
            f"Docker's configuration names a credential helper {helper!r}", hint="Correct it there."
        )
    with _in_memory(text) as payload:
        script = render("login.sh", verb=verb, program=f"docker-credential-{helper}")
        _asked(transport, script, payload, missing=verb == "erase")


def _asked(
    transport: Transport, script: str, payload: Payload | None = None, *, missing: bool = False
) -> Record:
    """The record of one script. Raises HostError if it refused; `missing`: that there is no login is none."""
    answer = transport.ask(script, timeout=TIMEOUT, payload=payload)
    found = records(answer.records)
    if not found:
        raise HostError(
            "the login script ended without an answer", cause=answer.stderr.strip()[-300:], hint="Try again."
        )
    record = found[-1]
    if record.kind == "refused" and not (missing and record[0].startswith("credentials not found")):
        raise HostError(
            "Docker's configuration could not be changed", cause=record[0], hint="Correct it there."
        )
    return record


@contextmanager
def _in_memory(text: str) -> Iterator[Payload]:
    """A payload that is in no file: memfd_create(2)."""
    data = text.encode()
    descriptor = os.memfd_create("login")
    try:
        os.write(descriptor, data)
        yield Payload(path=Path(f"/proc/self/fd/{descriptor}"), length=len(data))
    finally:
        os.close(descriptor)
