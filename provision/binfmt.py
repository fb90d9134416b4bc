"""A binfmt_misc handler: parsed, written, and the kernel's choice between handlers simulated.

Sources: Documentation/admin-guide/binfmt-misc.rst and fs/binfmt_misc.c of Linux, binfmt.d(5) of systemd.
Everything here is pure; the tests compare it with the running kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from provision.architectures import Architecture
from provision.elf import magic_and_mask
from provision.errors import UsageError

COMPARED: Final = 256  # the kernel's BINPRM_BUF_SIZE: no magic reaches further (128 before Linux 5.1)
_FLAGS: Final = "POCF"  # in the order in which the kernel prints them
_RULE_LENGTHS: Final = range(11, 1921)  # of a line for `register`, in bytes
_NAME_MAX: Final = 255
_PATH_MAX: Final = 127  # what the documentation promises for an interpreter; newer kernels take more
_RESERVED: Final = ("", ".", "..", "register", "status")
# Not usable: letters of flags (refused since 2026), `x` and digits (escapes), `/`, `\\`, `#` and `;`
# (comments in binfmt.d), white space (stripped there).
_DELIMITERS: Final = ":|,!@%^~=+"
_COMMENTS: Final = ("#", ";")
_FIELDS: Final = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One handler: what it matches (a magic at an offset, or a file name's extension) and who runs it."""

    name: str
    enabled: bool = True
    interpreter: str
    flags: str = ""  # of P O C F; as the kernel prints them when parsed from it
    offset: int = 0
    magic: bytes = b""
    mask: bytes = b""  # empty: every bit counts
    extension: str | None = None  # without the dot; None: the magic decides

    def matches(self, header: bytes, path: str = "") -> bool:
        """Whether the kernel would take this entry for a file that begins so.

        Its first 256 bytes count; a shorter file is compared as if zeros followed. `path` is for entries
        with an extension.
        """
        if self.extension is not None:
            _, dot, extension = path.rpartition(".")
            return bool(dot) and extension == self.extension
        if not self.magic:
            return False  # a kind of entry that this tool does not know
        seen = header[:COMPARED].ljust(COMPARED, b"\0")[self.offset :]
        compared = zip(seen, self.magic, self.full_mask(), strict=False)
        return all((byte ^ wanted) & bits == 0 for byte, wanted, bits in compared)

    def full_mask(self) -> bytes:
        """The mask, all ones where none was given."""
        return self.mask or b"\xff" * len(self.magic)

    def same_rule(self, other: Entry) -> bool:
        """Whether both mean the same: the name, and whether it is enabled, aside."""
        return _rule_key(self) == _rule_key(other)


def _rule_key(entry: Entry) -> tuple[object, ...]:
    flags, mask = _ordered(entry.flags), entry.full_mask()
    return entry.interpreter, flags, entry.extension, entry.offset, entry.magic, mask


def _ordered(flags: str) -> str:
    """What newer kernels may print besides comes last."""
    letters = set(flags) | (set("O") if "C" in flags else set())
    return "".join([flag for flag in _FLAGS if flag in letters] + sorted(letters - set(_FLAGS)))


def normal_flags(flags: str) -> str:
    """Flags as the kernel prints them: in its order, once each, `O` wherever `C` is.

    Raises UsageError for a letter that is none of P, O, C, F.
    """
    if unknown := "".join(sorted(set(flags) - set(_FLAGS))):
        raise UsageError(f"unknown handler flag {unknown!r}", hint=f"Flags are {', '.join(_FLAGS)}.")
    return _ordered(flags)


def _encode(text: str) -> bytes:
    """The bytes the kernel sees: file names that are no UTF-8 pass as they are."""
    return text.encode("utf-8", "surrogateescape")


def handler(arch: Architecture, interpreter: str, flags: str) -> Entry:
    """The handler for an architecture, with magic and mask derived from its ELF identity.

    Raises UsageError if the interpreter's path is relative, too long for the kernel (127 bytes), or holds
    what a rule cannot, and for unknown flags.
    """
    if not interpreter.startswith("/"):
        raise UsageError(
            f"{interpreter!r} cannot be an interpreter",
            cause="the kernel would look it up from the folder in which a program is started",
            hint="Give an absolute path.",
        )
    if len(_encode(interpreter)) > _PATH_MAX:
        raise UsageError(
            f"{interpreter!r} cannot be an interpreter",
            cause=f"the kernel promises only {_PATH_MAX} bytes for the path",
            hint="Use a shorter path.",
        )
    magic, mask = magic_and_mask(arch)
    name = f"qemu-{arch.qemu}"
    entry = Entry(name=name, interpreter=interpreter, flags=normal_flags(flags), magic=magic, mask=mask)
    format_rule(entry)  # refuses now what could not be registered later
    return entry


def parse_entry(name: str, text: str) -> Entry:
    """An entry from the text of the kernel's file of that name.

    Lines that are not known are left alone (Linux 7.3 adds some). Raises ValueError for other text.
    """
    state, _, rest = text.partition("\n")
    if state not in ("enabled", "disabled"):
        raise ValueError(f"not a binfmt_misc entry: {text[:40]!r}")
    values = dict(line.partition(" ")[::2] for line in rest.split("\n"))
    extension = values.get("extension")
    return Entry(
        name=name,
        enabled=state == "enabled",
        interpreter=values.get("interpreter", ""),
        flags=values.get("flags:", "").strip(),
        offset=int(values.get("offset", "0")),
        magic=bytes.fromhex(values.get("magic", "")),
        mask=bytes.fromhex(values.get("mask", "")),
        extension=None if extension is None else extension.removeprefix("."),
    )


def format_rule(entry: Entry) -> str:
    """The line for the kernel's `register` file or for a binfmt.d file, without newline.

    A new handler is always enabled, so `enabled` plays no part. Flags of newer kernels pass, so that what is
    read there can be put back. Raises UsageError for what the kernel or a line of binfmt.d cannot say.
    """
    _check(entry)
    kind, offset = ("M", str(entry.offset) if entry.offset else "") if entry.extension is None else ("E", "")
    magic = _escape(entry.magic) if entry.extension is None else entry.extension
    flags = _ordered(entry.flags)
    fields = (entry.name, kind, offset, magic, _escape(entry.mask), entry.interpreter, flags)
    if not flags and entry.interpreter.endswith((" ", "\t")):
        raise _refusal(entry, "white space at the end of a line is lost in binfmt.d")
    plain = (entry.name, entry.extension or "", entry.interpreter)
    delimiter = next((mark for mark in _DELIMITERS if not any(mark in text for text in plain)), None)
    if delimiter is None:
        raise _refusal(entry, f"it uses all of {_DELIMITERS}, and one must be left to separate the fields")
    rule = delimiter + delimiter.join(fields)
    if len(_encode(rule)) not in _RULE_LENGTHS:
        raise _refusal(entry, f"the rule is {len(_encode(rule))} bytes, the kernel takes 11 to 1920")
    return rule


def _check(entry: Entry) -> None:
    for text in (entry.name, entry.interpreter, entry.extension or ""):
        if re.search(r"[\0\r\n]", text):
            raise _refusal(entry, "a line break or NUL ends the field")
    if entry.name in _RESERVED or "/" in entry.name or len(_encode(entry.name)) > _NAME_MAX:
        raise _refusal(entry, "its name is not that of a file the kernel can make")
    if not re.fullmatch("[A-Z]*", entry.flags):
        raise _refusal(entry, f"{entry.flags!r} are no flags")
    if not entry.interpreter:
        raise _refusal(entry, "it has no interpreter")
    _check_pattern(entry)


def _check_pattern(entry: Entry) -> None:
    if entry.extension is not None:
        if not entry.extension or "/" in entry.extension or entry.magic or entry.mask:
            raise _refusal(entry, "an extension is a name without slash, and goes without a magic")
    elif not entry.magic or len(entry.full_mask()) != len(entry.magic):
        raise _refusal(entry, "a magic is needed, and a mask of the same length or none")
    elif entry.offset < 0 or entry.offset + len(entry.magic) > COMPARED:
        raise _refusal(entry, f"only the first {COMPARED} bytes of a file are compared")


def _refusal(entry: Entry, cause: str) -> UsageError:
    message = f"handler {entry.name!r} cannot be registered"
    return UsageError(message, cause=cause, hint="Change its name or the path of its interpreter.")


def _escape(data: bytes) -> str:
    """Letters and digits stay as they are: the kernel reads exactly two digits after `\\x`."""
    return "".join(chr(byte) if bytes((byte,)).isalnum() else f"\\x{byte:02x}" for byte in data)


def _unescape(field: bytes) -> bytes:
    """Only `\\xHH` is decoded, and a backslash keeps what follows it as it is, as the kernel's scanarg does.

    Raises ValueError for `\\x` without two hexadecimal digits.
    """
    if re.search(rb"\\x(?![0-9A-Fa-f]{2})", field):
        raise ValueError("\\x needs two hexadecimal digits")
    return re.sub(rb"\\(?:x(..)|(.))", _unescape_one, field, flags=re.DOTALL)


def _unescape_one(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else match[0]


def parse_rule(line: str) -> Entry:
    """An entry from a line for `register`, as the kernel reads it. Raises ValueError if that refuses it."""
    fields = line[1:].removesuffix("\n").split(line[:1], _FIELDS - 1) if line else []
    if len(fields) != _FIELDS:
        raise ValueError(f"a rule has {_FIELDS} fields")
    name, kind, offset, magic, mask, interpreter, flags = fields
    if kind not in ("M", "E"):
        raise ValueError(f"the type must be M or E, not {kind!r}")
    try:
        entry = Entry(
            name=name,
            interpreter=interpreter,
            flags=normal_flags(flags),
            offset=_offset(offset) if kind == "M" else 0,
            magic=_unescape(_encode(magic)) if kind == "M" else b"",
            mask=_unescape(_encode(mask)) if kind == "M" else b"",
            extension=magic if kind == "E" else None,
        )
        _check(entry)
    except UsageError as error:
        raise ValueError(error.cause or error.message) from error
    return entry


def _offset(text: str) -> int:
    if not re.fullmatch(r"(\+?[0-9]+)?", text):
        raise ValueError(f"the offset must be a number, not {text!r}")
    return int(text or 0)


def parse_rules(text: str) -> tuple[Entry, ...]:
    """The entries of a binfmt.d file, in its order, without those the kernel would refuse (`bad_rules`)."""
    return tuple(rule for _, rule in _rules(text) if isinstance(rule, Entry))


def bad_rules(text: str) -> tuple[tuple[int, str], ...]:
    """The lines of a binfmt.d file that register nothing: their numbers, from 1, and why."""
    return tuple((number, rule) for number, rule in _rules(text) if isinstance(rule, str))


def _rules(text: str) -> Iterable[tuple[int, Entry | str]]:
    """Lines stripped, `#` and `;` begin comments: binfmt.d(5) and systemd's src/binfmt."""
    for number, line in enumerate(text.split("\n"), start=1):
        rule = line.strip(" \t\r")
        if not rule or rule.startswith(_COMMENTS):
            continue
        try:
            yield number, parse_rule(rule)
        except ValueError as error:
            yield number, str(error)


def winner(newest_first: Iterable[Entry], header: bytes, path: str = "") -> Entry | None:
    """The entry the kernel takes for such a file: the newest enabled one that matches, no other after it."""
    return next((entry for entry in newest_first if entry.enabled and entry.matches(header, path)), None)


def overlap(one: Entry, other: Entry) -> bool:
    """Whether some file matches both magics. By its extension an entry takes no file from a magic."""
    if one.extension is not None or other.extension is not None:
        return False
    ours, theirs = _compared(one), _compared(other)
    both = ((*ours[at], *theirs[at]) for at in ours.keys() & theirs.keys())
    return all((byte ^ other_byte) & bits & others == 0 for byte, bits, other_byte, others in both)


def _compared(entry: Entry) -> dict[int, tuple[int, int]]:
    pairs = zip(entry.magic, entry.full_mask(), strict=True)
    return dict(enumerate(pairs, start=entry.offset))


def shadowed_by(newest_first: Sequence[Entry], entry: Entry) -> tuple[Entry, ...]:
    """The enabled entries, newest first, that take files from this one because they were registered later.

    An entry that is not in the list would be registered now, so nothing shadows it.
    """
    at = next((index for index, other in enumerate(newest_first) if other.name == entry.name), 0)
    return tuple(other for other in newest_first[:at] if other.enabled and overlap(other, entry))


def shadows(newest_first: Sequence[Entry], entry: Entry) -> tuple[Entry, ...]:
    """The enabled entries, newest first, that lose files to this one. One not in the list is the newest."""
    at = next((index for index, other in enumerate(newest_first) if other.name == entry.name), -1)
    return tuple(other for other in newest_first[at + 1 :] if other.enabled and overlap(other, entry))


def would_hijack(entry: Entry, native_headers: Iterable[bytes]) -> bool:
    """Whether this handler would take the machine's own programs: then every exec fails (ELOOP), sshd's too.

    The kernel asks binfmt_misc before its own ELF loader. `native_headers`: `elf.native_headers` of what the
    CPU runs, or the first bytes of real programs.
    """
    return any(entry.matches(header) for header in native_headers)
