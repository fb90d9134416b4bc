"""Text without the secrets in it, as far as their shape shows: logs are attached to reports, and CI shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"

_NAME: Final = (
    r"[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key)"
)
_VALUE: Final = r"""(?:\\?"(?:[^"\\]|\\(?!"))*\\?"|'[^']*'|[^\s,;"'}&]+)"""
"""Quoted, with escaped quotes, or up to what ends a word."""
_SHAPES: Final = (
    # The login of an address. A user alone may be a token.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@\"'<>]+@", re.IGNORECASE), rf"\1{MASK}@"),
    (re.compile(r"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{6,}"), rf"\1{MASK}"),
    # NAME=value, name = "value" of TOML, --name value
    (re.compile(rf"({_NAME}[\w.-]*[ \t]*=[ \t]*|--{_NAME}[\w-]*\s+){_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    # "name": "value", also within a text of JSON; and YAML. A colon alone is how errors are joined: "no token: denied".
    (re.compile(rf"({_NAME}[\w.-]*\\?[\"']\s*:\s*){_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"(^\s*(?:- )?{_NAME}[\w.-]*:\s+){_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(?<![\w-])(?:gh[pousr]_|github_pat_|glpat-|dckr_pat_|xox[abpr]-|sk-)[\w-]{10,}"), MASK),
    (re.compile(r"\bA(?:KIA|SIA)[A-Z0-9]{16}\b"), MASK),
    # A JSON web token, as registries give them.
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (re.compile(r"([?&](?:X-Amz-\w+|sig|signature|se|sp)=)[^&\s\"']+", re.IGNORECASE), rf"\1{MASK}"),
)
_BEGIN: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_END: Final = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")


def masked(text: str) -> str:
    """One line, or several, without secrets. A private key becomes one mask."""
    return "\n".join(masked_lines(text.split("\n")))


def masked_lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Lines that follow each other."""
    found: list[str] = []
    within = False
    for line in lines:
        if within:
            within = not _END.search(line)
            continue
        if begin := _BEGIN.search(line):
            found.append(f"{line[: begin.start()]}{MASK}")
            within = not _END.search(line)
            continue
        found.append(_masked(line))
    return tuple(found)


def _masked(line: str) -> str:
    for shape, instead in _SHAPES:
        line = shape.sub(instead, line)
    return line
