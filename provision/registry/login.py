"""Logging in to a registry and out again, in Docker's configuration, which buildctl reads.

A login is tried against the registry first; one that does not work changes nothing.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from provision.errors import ConfigError
from provision.registry.auth import authorization, refused
from provision.registry.credentials import (
    Credentials,
    call_helper,
    config_file,
    helper_for,
    keys_of,
    parse_settings,
    server_key,
)
from provision.registry.errors import RegistryError
from provision.registry.json_edits import with_member, without_member
from provision.registry.reference import server
from provision.registry.web import Web, body
from provision.spec import Registry

_SHORT: Final = 1 << 16


def attempt(
    host: str, registries: Mapping[str, Registry], credentials: Credentials, *, connect_timeout: float
) -> bool:
    """Tries the login. False: the registry lets everybody in and asked for none.

    Raises RegistryLoginError if it is refused, RegistryError or RegistrySilentError if that cannot be told.
    """
    web = Web(host, registries, connect_timeout=connect_timeout)
    try:
        url = f"{web.trust.scheme}://{server(host)}/v2/"
        answer = web.get(url, {})
        with suppress(RegistryError):
            body(answer, _SHORT, host)
        if answer.status == 200:
            return False
        if answer.status == 401:
            answer = web.get(url, {}, authorization=authorization(web, answer, credentials, ""))
            answer.close()
    finally:
        web.close()
    if answer.status == 401:
        raise refused(host, credentials)
    # A registry may forbid its front door to those whom it lets read; a wrong login it answers with 401.
    if answer.status not in (200, 403):
        raise RegistryError(
            f"{host} does not answer as a registry does",
            cause=f"/v2/: {answer.status}",
            hint="Look at the name.",
        )
    return True


def save(host: str, user: str, password: str, environment: Mapping[str, str] = os.environ) -> str:
    """Keeps a login; says where. Raises ConfigError, RegistryLoginError."""
    key = server_key(host)
    with _edited(environment) as (settings, edit):
        helper = helper_for(settings, host)
        if helper:
            call_helper(
                helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": password})
            )
        coded = base64.b64encode(f"{user}:{password}".encode()).decode()
        # As Docker's own client does, the name stays in the file though the helper has the login.
        edit(lambda text: with_member(text, ("auths", key), {} if helper else {"auth": coded}))
    return f"docker-credential-{helper}" if helper else str(config_file(environment))


def forget(host: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Removes a login; False: there was none. Raises ConfigError, RegistryLoginError."""
    with _edited(environment) as (settings, edit):
        entries = settings.get("auths")
        known = [key for key in keys_of(host) if isinstance(entries, dict) and key in entries]
        helper = helper_for(settings, host)
        kept = bool(helper) and call_helper(helper, "get", server_key(host)) is not None
        if kept:
            call_helper(helper, "erase", server_key(host))
        for key in known:
            edit(lambda text, key=key: without_member(text, ("auths", key)))  # type: ignore[misc]
    return kept or bool(known)


Edit = Callable[[Callable[[str], str]], None]


@contextmanager
def _edited(environment: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], Edit]]:
    """The settings of the file, and what changes its text. It is written at the end, if it differs, at once."""
    # Through a link to the file itself: people keep their settings in a repository.
    file = config_file(environment).resolve()
    with _alone(file.parent):
        before = _read(file)
        text = before or "{}\n"
        settings = parse_settings(text, str(file))

        def edit(change: Callable[[str], str]) -> None:
            nonlocal text
            try:
                text = change(text)
                json.loads(text)
            except ValueError as error:
                hint = "Correct it, or move it away."
                raise ConfigError(f"{file} cannot be changed", cause=str(error), hint=hint) from error

        yield settings, edit
        if text != before and (before or text != "{}\n"):
            _write(file, text)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Logins at once wait for each other: flock(2) on the folder leaves no file behind."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise _unwritable(file, error) from error


def _write(file: Path, text: str) -> None:
    """For its owner alone, and never half."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)
        try:
            with os.fdopen(descriptor, "wb") as made:
                made.write(text.encode())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(place: Path, error: Exception) -> ConfigError:
    reason = getattr(error, "strerror", None) or "it is not UTF-8"
    return ConfigError(f"{place} cannot be used", cause=str(reason), hint="Look at its owner and mode.")
