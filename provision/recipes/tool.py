"""From where another machine gets this very tool, as `pip install` takes it, pinned."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from provision.errors import UsageError

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_PINNED: Final = re.compile(r"@[0-9a-f]{40}$|#sha256=[0-9a-f]{64}$|==[\w.!+-]+$|\.whl$|\.tar\.gz$")


def source(given: str | None) -> str:
    """What was given, else where this one was installed or checked out from. Raises UsageError if that is not known."""
    if given:
        return _checked(given)
    if found := _installed() or _checked_out():
        return found
    raise UsageError(
        "it is not known where another machine gets this tool from",
        cause="this copy was neither installed from an address, nor is it a checkout with a remote",
        hint="Name it as pip does: --tool git+https://HOST/PROJECT@COMMIT, or the address of a wheel.",
    )


def _checked(given: str) -> str:
    if not given.isprintable() or given.startswith("-") or " " in given:
        raise UsageError("--tool must be one word that pip installs", hint="git+https://HOST/PROJECT@COMMIT")
    if not _PINNED.search(given):
        raise UsageError(
            f"--tool {given} names no version",
            cause="what it installs would change from day to day",
            hint="Add @COMMIT with all 40 digits to an address of git, name a wheel, or NAME==VERSION.",
        )
    return given


def _installed() -> str:
    """PEP 610: pip keeps the address that a package was installed from."""
    try:
        text = metadata.distribution("provision").read_text("direct_url.json")
        said: Any = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, ValueError, OSError):
        return ""
    address, commit = str(said.get("url", "")), str(said.get("vcs_info", {}).get("commit_id", ""))
    digest = str(said.get("archive_info", {}).get("hashes", {}).get("sha256", ""))
    if _COMMIT.fullmatch(commit):
        return f"git+{_without_login(address)}@{commit}"
    if digest and address.startswith("https://"):
        return f"{_without_login(address)}#sha256={digest}"
    return ""


def _checked_out() -> str:
    if not (_CHECKOUT / ".git").exists():
        return ""
    address, commit = _git("remote", "get-url", "origin"), _git("rev-parse", "HEAD")
    # git@HOST:PROJECT is no address for pip.
    if found := re.fullmatch(r"(?:[\w.-]+@)?([\w.-]+):([\w./-]+)", address):
        address = f"https://{found[1]}/{found[2]}"
    if not address.startswith(("https://", "ssh://")) or not _COMMIT.fullmatch(commit):
        return ""
    return f"git+{_without_login(address)}@{commit}"


def _without_login(address: str) -> str:
    return re.sub(r"^(https?://)[^/@]*@", r"\1", address)


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_CHECKOUT), *words], check=False, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
