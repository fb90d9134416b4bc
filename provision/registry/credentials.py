"""The login for a registry, from where `docker login` puts it: `config.json`, or the helper that it names.

`$DOCKER_AUTH_CONFIG` (the text of such a file), else `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`:
what buildctl reads. Which entry counts: docker/cli, cli/config/configfile and cli/config/credentials.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from provision.errors import ConfigError
from provision.registry.errors import RegistryLoginError
from provision.registry.reference import HUB, HUB_NAMES

HUB_KEY: Final = "https://index.docker.io/v1/"
"""The key of Docker Hub in that file, and its name for helpers."""
_IDENTITY: Final = "<token>"
"""The user name that means: the secret is an identity token (docker-credential-helpers, README)."""
_HELPER_SECONDS: Final = 60
_NOT_FOUND: Final = "credentials not found"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A user with a password, or one of two kinds of token. Secrets do not show in its repr."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """Exchanged for a short-lived token at the token service."""
    bearer_token: str = field(default="", repr=False)
    """`registrytoken`: shown to the registry as it is."""
    source: str = ""
    """Where they come from, for messages."""


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Docker's configuration of this user. Raises ConfigError where there is no home."""
    if folder := environment.get("DOCKER_CONFIG"):
        return Path(folder) / "config.json"
    try:
        return Path.home() / ".docker/config.json"
    except RuntimeError as error:
        raise ConfigError("there is no home folder", hint="Set DOCKER_CONFIG.") from error


def find(host: str, environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """The login for a registry, None if there is none. Raises ConfigError, RegistryLoginError."""
    if text := environment.get("DOCKER_AUTH_CONFIG"):
        return _stored(parse_settings(text, "DOCKER_AUTH_CONFIG"), host, "DOCKER_AUTH_CONFIG")
    file = config_file(environment)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(
            f"{file} cannot be read", cause=reason, hint="Correct it, or log in anew."
        ) from error
    settings = parse_settings(text, str(file))
    helper = helper_for(settings, host)
    return _ask(helper, host) if helper else _stored(settings, host, str(file))


def helper_for(settings: Mapping[str, Any], host: str) -> str:
    """The NAME of docker-credential-NAME that keeps a registry's login; empty: the file itself does."""
    helpers = settings.get("credHelpers")
    own = helpers if isinstance(helpers, dict) else {}
    for key in keys_of(host):
        if isinstance(named := own.get(key), str):
            return named
    store = settings.get("credsStore")
    return store if isinstance(store, str) else ""


def server_key(host: str) -> str:
    """A registry's key in `auths`, and its name for a helper."""
    return HUB_KEY if host == HUB else host


def keys_of(host: str) -> tuple[str, ...]:
    """All keys that an entry of `auths` or `credHelpers` for a registry may have."""
    return (HUB_KEY, *sorted(HUB_NAMES)) if host == HUB else (host,)


def parse_settings(text: str, source: str) -> dict[str, Any]:
    """Docker's configuration from its text; `source` is what messages call it. Raises ConfigError."""
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{source} is no JSON", cause=str(error), hint="Correct it, or log in anew."
        ) from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{source} is no JSON object", hint="Correct it, or log in anew.")
    return settings


def _stored(settings: Mapping[str, Any], host: str, source: str) -> Credentials | None:
    entries = settings.get("auths")
    if not isinstance(entries, dict):
        return None
    keys = keys_of(host)
    exact = next((entries[key] for key in keys if key in entries), None)
    # Old files have whole addresses for keys: https://HOST/v1/
    near = (value for key, value in entries.items() if _hostname(key) in keys)
    entry = exact if exact is not None else next(near, None)
    return _read(entry, source) if isinstance(entry, dict) else None


def _hostname(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _read(entry: Mapping[str, Any], source: str) -> Credentials | None:
    words = {name: value for name, value in entry.items() if isinstance(value, str)}
    user, password = words.get("username", ""), words.get("password", "")
    if coded := words.get("auth"):
        try:
            user, colon, password = base64.b64decode(coded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConfigError(f'{source}: an "auth" is no base64', hint="Log in anew.") from error
        if not colon:
            raise ConfigError(f'{source}: an "auth" holds no user and password', hint="Log in anew.")
    found = Credentials(
        user=user,
        password=password.rstrip("\0"),
        identity_token=words.get("identitytoken", ""),
        bearer_token=words.get("registrytoken", ""),
        source=source,
    )
    return found if found.user or found.identity_token or found.bearer_token else None


def _ask(helper: str, host: str) -> Credentials | None:
    """What the helper has. Its protocol: docker/docker-credential-helpers, `get`."""
    answer = call_helper(helper, "get", server_key(host))
    if answer is None:
        return None
    try:
        entry = json.loads(answer)
        user, secret = str(entry["Username"]), str(entry["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # Its answer may hold the secret: it is not shown.
        raise RegistryLoginError(f"docker-credential-{helper} gave no login", hint="Log in anew.") from error
    source = f"docker-credential-{helper}"
    if user == _IDENTITY:
        return Credentials(identity_token=secret, source=source)
    return Credentials(user=user, password=secret, source=source)


def call_helper(helper: str, verb: str, given: str) -> str | None:
    """The output of a helper; None: it has no such login. Raises RegistryLoginError."""
    program = f"docker-credential-{helper}"
    hint = "Correct credsStore and credHelpers in Docker's config.json, or log in anew."
    try:
        done = subprocess.run(
            [program, verb],
            input=given,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_HELPER_SECONDS,
        )
    except FileNotFoundError as error:
        raise RegistryLoginError(
            f"{program} is not installed", cause="Docker's config.json names it", hint=hint
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"no answer within {_HELPER_SECONDS} s"
        raise RegistryLoginError(f"{program} does not work", cause=reason, hint=hint) from error
    if done.returncode == 0:
        return done.stdout
    # A helper says what is wrong on standard output (client.Program); no secret is in a refusal.
    words = (done.stdout.strip() or done.stderr.strip())[-300:]
    if words.startswith(_NOT_FOUND):
        return None
    raise RegistryLoginError(f"{program} gives no login", cause=words, hint=hint)
