"""What a value of the configuration may look like: one reader for each kind, and no second one anywhere.

A reader takes what TOML or a flag gave and returns the typed value, or raises ValueError with the rest of
the sentence "KEY ...". Names are held to strict grammars: text that looks like an option, a quote or a
piece of shell is refused long before anything could execute it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, Final, TypeVar

from provision.buildkit import gc
from provision.buildkit.asset import EMPTY_FILE
from provision.spec import PACKAGES, SEND

T = TypeVar("T")
Reader = Callable[[object], T]

QEMU: Final = "{qemu}"

_PATH: Final = re.compile(r"/[A-Za-z0-9._+@%=:,~/ -]*")
_PATTERN: Final = re.compile(r"/[A-Za-z0-9._+@/-]*")
_SHELL: Final = frozenset("$`")
MEANINGLESS: Final = frozenset("\"'`$\\")
"""Characters that no label and no URL needs, and that mean something to a shell or to TOML."""


def kind(value: object) -> str:
    """What a TOML value is, in words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return shown(value)
    names = {
        int: f"the number {value}",
        float: f"the number {value}",
        list: "a list",
        tuple: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def shown(value: object) -> str:
    """A value as an error may print it: short, without anything a terminal would obey, or a URL's login.

    What is refused is often no proper URL, so all up to the last @ is taken to be the login.
    """
    text = repr(re.sub(r"://.*@", "://***@", value, flags=re.DOTALL) if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def refuse(value: object, wanted: str) -> ValueError:
    """The error for a value that is not what is wanted."""
    return ValueError(f"must be {wanted}, not {kind(value)}")


def text(value: object) -> str:
    """Printable text on one line, not empty."""
    if not isinstance(value, str) or not value.isprintable() or not value.strip():
        raise refuse(value, "text on one line")
    return value


def boolean(value: object) -> bool:
    """TOML's true or false."""
    if not isinstance(value, bool):
        raise refuse(value, "true or false")
    return value


def integer(low: int, high: int) -> Reader[int]:
    """A whole number in a range."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise refuse(value, f"a whole number from {low} to {high}")
        return value

    return read


def seconds(low: float, high: float) -> Reader[float]:
    """A duration in seconds."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise refuse(value, f"seconds from {low:g} to {high:g}")
        return float(value)

    return read


_DURATION: Final = re.compile(r"[0-9]{1,6}[smh]?")


def duration(value: object) -> str:
    """A whole number of seconds, or text with its unit: "90s", "10m", "1h". Not above 86400 s."""
    text_ = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text_, str) or not _DURATION.fullmatch(text_):
        raise ValueError('must be a duration such as "10m", "90s" or "1h", or 0')
    number = int(text_.rstrip("smh"))
    if number * {"m": 60, "h": 3600}.get(text_[-1], 1) > 86400:
        raise ValueError("must not be above 24h")
    return text_


def one_of(choices: tuple[Any, ...]) -> Reader[Any]:
    """One of a few words."""

    def read(value: object) -> Any:
        if value not in choices or not isinstance(value, str):
            raise refuse(value, "one of " + ", ".join(f'"{choice}"' for choice in choices))
        return value

    return read


def list_of(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list of one kind; what stands twice counts once."""

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise refuse(value, "a list")
        return tuple(dict.fromkeys(reader(item) for item in value))

    return read


def matching(pattern: re.Pattern[str], wanted: str) -> Reader[str]:
    """Text that a pattern matches as a whole."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise refuse(value, wanted)
        return value

    return read


host_path = matching(_PATH, "an absolute path of plain characters")


def interpreters(value: object) -> str:
    """`packages`, or an absolute pattern with one `{qemu}`, of the host or (after `send:`) of this machine.

    The kernel documents 127 bytes for a handler's interpreter (binfmt-misc.rst); the longest name of a
    QEMU takes 5 more than its placeholder.
    """
    if value == PACKAGES:
        return PACKAGES
    if not isinstance(value, str) or value.count(QEMU) != 1:
        raise refuse(value, f'"{PACKAGES}", or an absolute path holding {QEMU} once')
    plain = value.removeprefix(SEND).replace(QEMU, "qemu")
    if not _PATTERN.fullmatch(plain) or {"..", "."} & set(plain.split("/")):
        raise refuse(value, f"an absolute path of letters, digits and . _ + @ - with {QEMU}")
    if len(value) > 120:
        raise ValueError("is too long: the kernel takes 127 bytes for the path of an interpreter")
    return value


def digest(value: object) -> str:
    """A SHA-256 in hex, lower-cased; `sha256:` may stand before it.

    The digest of an empty file is refused: published tables hold it where a download had failed.
    """
    plain = value.strip().lower().removeprefix("sha256:") if isinstance(value, str) else ""
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise refuse(value, "a SHA-256: 64 hexadecimal digits")
    if plain == EMPTY_FILE:
        raise ValueError("is the digest of an empty file, which is never accepted")
    return plain


def size(value: object) -> int | str:
    """Bytes as a number, or the daemon's `"10GB"` (2^30 bytes each) and `"30%"`.

    Zero is refused in every spelling: the daemon takes it for "not set" (GCConfig.IsUnset).
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or not gc.is_limit(value):
        raise refuse(value, 'bytes as a number above 0, or text like "10GB" or "30%"')
    return value


def label(value: object) -> str:
    """A label's text."""
    if not isinstance(value, str) or not value.isprintable() or MEANINGLESS & set(value) or len(value) > 256:
        raise refuse(value, "one line without quotes, backslashes, $ and `")
    return value


def number(value: object) -> object:
    """The digits of a flag as a number; anything else stays as it is, for a reader to refuse."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}\.[0-9]{1,18}", value):
        return float(value)
    return value


def words(value: object) -> object:
    """The text `a,b` of a flag as a list."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


resolver_option = matching(re.compile(r"[a-z][a-z0-9-]*(?::[0-9]+)?"), "an option of resolv.conf(5)")


def command(value: object) -> str:
    """A command line that is split here and run without a shell."""
    line = text(value)
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {str(error).lower()}") from None
    if not words or words[0].startswith("-"):
        raise refuse(value, "a command")
    return line


def local_path(value: object) -> str:
    """A path on this machine. Shell is not expanded in it, so what looks like shell is a mistake."""
    path = text(value)
    if path.startswith("-") or _SHELL & set(path):
        raise refuse(value, "a path, without $ and `")
    return path
