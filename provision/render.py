"""Fills the texts of `templates/`: shell scripts, TOML, units.

Every value enters through the filter of the language it lands in: `q` for sh, `toml` for TOML. What lands in
HTML is escaped by Jinja2 itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from provision.errors import UsageError

_PACKAGE: Final = Path(__file__).parent
# A wheel carries the templates inside the package (pyproject.toml, force-include); a checkout beside it.
_FOLDERS: Final = (_PACKAGE / "templates", _PACKAGE.parent / "templates")

# TOML 1.0, "String": a basic string escapes the quotation mark, the backslash and every control character.
_TOML_ESCAPES: Final = str.maketrans(
    {chr(code): f"\\u{code:04x}" for code in (*range(0x20), 0x7F)} | {'"': '\\"', "\\": "\\\\"}
)


def quote(value: object) -> str:
    """One word of sh that means exactly `value`; a list or tuple becomes as many words.

    Raises UsageError for NUL, which no argument of a Unix program can hold.
    """
    if isinstance(value, list | tuple):
        return " ".join(quote(item) for item in value)
    text = str(value)
    if "\0" in text:
        raise UsageError(f"{text!r} holds a NUL character", hint="Remove it: no program can be given one.")
    return shlex.quote(text)


def toml(value: object) -> str:
    """A TOML literal on one line for a string, number, truth value or a sequence of them.

    Raises UsageError for text that is not Unicode (a stray byte from the command line).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise UsageError(f"{value!r} is not valid Unicode text", hint="Write it in UTF-8.")
        return f'"{value.translate(_TOML_ESCAPES)}"'
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        return f"[{', '.join(toml(item) for item in value)}]"
    raise TypeError(f"no TOML form for {type(value).__name__}")


def _is_html(template: str | None) -> bool:
    """Which templates escape by themselves; sh, TOML and units have their filters."""
    return template is not None and template.endswith(".html")


@cache
def environment() -> Environment:
    """The one Jinja2 environment. A name the caller forgot is an error, never an empty word."""
    loader = FileSystemLoader([folder for folder in _FOLDERS if folder.is_dir()])
    made = Environment(
        loader=loader,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=_is_html,  # noqa: S701
    )
    made.filters["q"] = quote
    made.filters["toml"] = toml
    return made


def prepare(*templates: str) -> None:
    """Reads templates, which takes longer than to fill them, and can be done while a host is waited for."""
    for name in templates:
        environment().get_template(name)


def render(template: str, **values: object) -> str:
    """The text of `templates/<template>` with `values` filled in."""
    return environment().get_template(template).render(**values)
