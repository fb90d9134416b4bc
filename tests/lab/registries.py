"""How this machine reaches package registries, for test machines that must reach them too.

Read from this machine's environment and configuration when it is asked for, and kept nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where `update-ca-certificates` puts what this machine trusts, in a machine that was given its certificates."""
PROXIES: Final = frozenset({"http_proxy", "https_proxy", "no_proxy"})
GO: Final = frozenset({"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOTOOLCHAIN"})


def files() -> list[Path]:
    """The settings of apt and pip: they belong at the same paths."""
    return [*_apt_settings(), *_pip_settings()]


def _apt_settings() -> list[Path]:
    """Proxies, time-outs and what to make of a mirror's clock; not what other packages hook into apt."""
    found = sorted(Path("/etc/apt/apt.conf.d").glob("*"))
    return [
        path for path in found if re.search(r"(?m)^\s*Acquire::(http|https|Check|Retries)", path.read_text())
    ]


def _pip_settings() -> list[Path]:
    return [path for path in (Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf")) if path.is_file()]


def environment(ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The settings of pip and Go and the proxies, unless they name a place on this machine."""
    chosen = {name: value for name, value in ours.items() if _travels(name, value)}
    if "PIP_CERT" in ours:
        chosen["PIP_CERT"] = BUNDLE
    return dict(sorted(chosen.items()))


def _travels(name: str, value: str) -> bool:
    known = name.startswith("PIP_") or name in GO or name.lower() in PROXIES
    return known and not value.startswith("/")
