"""Fills the texts of `templates/`: shell scripts, TOML, units.

Every value enters through the filter of the language it lands in: `q` for sh; `toml` and `toml_key` for TOML; `unit`
for a setting of a unit, `exec` for its command lines; `tmpfiles` for tmpfiles.d; `ssh` and `ssh_token` for an SSH
configuration; `yaml` for YAML; `comment` for a comment of any of them. Jinja2 itself escapes what lands in HTML. A
test walks all templates and finds a value without one.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from provision.errors import UsageError
from provision.plain import clean

_PACKAGE: Final = Path(__file__).parent
# A wheel carries the templates inside the package (pyproject.toml, force-include); a checkout beside it.
_FOLDERS: Final = (_PACKAGE / "templates", _PACKAGE.parent / "templates")

# TOML 1.0, "String": a basic string escapes the quotation mark, the backslash and every control character.
_TOML_ESCAPES: Final = str.maketrans(
    {chr(code): f"\\u{code:04x}" for code in (*range(0x20), 0x7F)} | {'"': '\\"', "\\": "\\\\"}
)


# What systemd takes for nothing else, in no file of its own.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@+,=\[\]-]+")
_INCLUDED: Final = re.compile(r'{% include "([^"]+)" %}')


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


def toml_key(value: str) -> str:
    """A TOML key, bare where it may be. Raises UsageError as `toml`."""
    return value if re.fullmatch(r"[A-Za-z0-9_-]+", value) else toml(value)


def unit(value: str) -> str:
    """Text as a part of a word in a unit file, which means exactly `value` there.

    Escapes instead of quotes, which may only stand around whole words: `\\xHH` for a byte, and `%%`, since %
    begins a specifier (systemd.syntax(7), systemd.unit(5)). Raises UsageError for NUL, which systemd refuses, and
    for text that is not Unicode.
    """
    if "\0" in value:
        raise UsageError(f"{value!r} holds a NUL character", hint="Remove it: no program can be given one.")
    return "".join(char if _PLAIN.fullmatch(char) else _escaped(char) for char in value)


def _escaped(char: str) -> str:
    if char == "%":
        return "%%"
    try:
        return "".join(f"\\x{byte:02x}" for byte in char.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{char!r} is not valid Unicode text", hint="Write it in UTF-8.") from None


def exec_word(value: str) -> str:
    """A word of a unit's command line, or a part of one. systemd puts variables in there, so `$` is doubled.

    systemd.service(5), "COMMAND LINES". An empty word is written as such. Raises UsageError as `unit`.
    """
    return unit(value).replace("\\x24", "$$") or '""'


def tmpfiles(value: str) -> str:
    """A field of tmpfiles.d: bare, or in double quotes.

    Raises UsageError for what has no spelling there: systemd 252 reads no C escapes (seen), and takes a `%` for a
    specifier in a path, but not in a group's name. `-` leaves a field to its default, `:` begins a condition.
    """
    if not value.isprintable() or value in ("", "-") or value.startswith(":") or "%" in value:
        raise UsageError(f"{value!r} cannot stand in tmpfiles.d", hint="Use plain characters.")
    if _PLAIN.fullmatch(value):
        return value
    return '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))


def ssh(value: object) -> str:
    """An argument in an SSH configuration: bare, or in double quotes, in which older releases know no escape.

    Raises UsageError for what cannot be written so (ssh_config(5)).
    """
    text = str(value)
    if not text or not text.isprintable() or '"' in text or "\\" in text:
        raise UsageError(f"{text!r} cannot stand in an SSH configuration", hint="Use plain characters.")
    return text if _PLAIN.fullmatch(text) else f'"{text}"'


def ssh_token(value: object) -> str:
    """The same for an argument in which % begins a token (ssh_config(5), TOKENS)."""
    return ssh(str(value).replace("%", "%%"))


def yaml(value: object) -> str:
    """A scalar of YAML, which has JSON's strings as its own (YAML 1.2)."""
    return json.dumps(str(value))


def comment(value: str) -> str:
    """Text for people in a comment: one line, without anything that ends it or that a terminal obeys."""
    return "".join(char if char.isprintable() else "?" for char in value)


def heredoc(value: str, end: str) -> str:
    """Lines of a here-document whose end is quoted: as they are. Raises UsageError for one that would end it."""
    if "\0" in value or end in value.split("\n"):
        raise UsageError(f"a line of the configuration is {end}", hint="Write it in another way.")
    return value


def hcl(value: str) -> str:
    """Lines of a heredoc of HCL, in which `${` and `%{` begin templates (HCL Native Syntax, "Template Expressions")."""
    return value.replace("${", "$${").replace("%{", "%%{")


def block(value: str, columns: int, *, substitutes: bool = False) -> str:
    """Lines of a block scalar of YAML, all but the first indented. `substitutes`: the reader puts variables in for
    `${`, as Woodpecker does, unless the dollar is doubled. Raises UsageError for what no block scalar can hold.
    """
    text = value.rstrip("\n").replace("${", "$${") if substitutes else value.rstrip("\n")
    if any(not char.isprintable() and char not in "\n\t" for char in text):
        raise UsageError("the configuration holds characters that YAML cannot", hint="Use plain characters.")
    first, *others = text.split("\n")
    return "\n".join([first, *(f"{' ' * columns}{line}" if line else "" for line in others)])


def _is_html(template: str | None) -> bool:
    """Whether Jinja2 escapes the values of a template by itself."""
    return template is not None and template.endswith(".html")


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "q": quote,
    "toml": toml,
    "toml_key": toml_key,
    "unit": unit,
    "exec": exec_word,
    "tmpfiles": tmpfiles,
    "comment": comment,
    "ssh": ssh,
    "ssh_token": ssh_token,
    "yaml": yaml,
    "heredoc": heredoc,
    "hcl": hcl,
    "block": block,
}


@pass_context
def _shown(context: Context, value: object) -> object:
    """A value as it lands in a text. A page shows what hosts say; what a script is given must stay as it is."""
    plain = type(value) is str and _is_html(context.name)
    return clean(value) if plain else value  # type: ignore[arg-type]


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
        finalize=_shown,
    )
    made.filters |= FILTERS
    return made


def text_of(template: str) -> str:
    """The text of `templates/<template>` as it stands, with nothing filled in."""
    folder = next(each for each in _FOLDERS if (each / template).is_file())
    return (folder / template).read_text(encoding="utf-8")


def prepare(*templates: str) -> None:
    """Reads templates, with those that they include: it takes longer than to fill them, and can be done while a host
    is waited for.
    """
    for name in templates:
        environment().get_template(name)
        prepare(*_INCLUDED.findall(text_of(name)))


def render(template: str, **values: object) -> str:
    """The text of `templates/<template>` with `values` filled in."""
    return environment().get_template(template).render(**values)
