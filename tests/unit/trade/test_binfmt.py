"""Handlers as texts, and the kernel's choice between them. The kernel rung asks the kernel itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision import binfmt, elf
from provision.architectures import ARCHITECTURES, Architecture, of_platform
from provision.binfmt import Entry
from provision.errors import UsageError

ALL = pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
ARM64 = of_platform("linux/arm64")
AMD64 = of_platform("linux/amd64")
RULE = Entry(name="one", interpreter="/usr/bin/true", magic=b"AB")

# As read on Debian 12, kernel 6.18.
KERNEL_TEXT = """\
enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


def test_the_kernel_s_text() -> None:
    entry = binfmt.parse_entry("qemu-aarch64", KERNEL_TEXT)
    assert entry == binfmt.handler(ARM64, "/usr/libexec/qemu-binfmt/aarch64-binfmt-P", "OPF")


def test_the_kernel_s_text_without_mask_with_spaces_and_with_news() -> None:
    text = "disabled\ninterpreter /opt/my \u2028 qemu\nflags: \nbpf something\noffset 12\nmagic 4142\n"
    entry = binfmt.parse_entry("odd name", text)
    assert entry == Entry(
        name="odd name", enabled=False, interpreter="/opt/my \u2028 qemu", offset=12, magic=b"AB"
    )


def test_the_kernel_s_text_of_an_extension() -> None:
    entry = binfmt.parse_entry("jar", "enabled\ninterpreter /usr/bin/java\nflags: \nextension .jar\n")
    assert entry == Entry(name="jar", interpreter="/usr/bin/java", extension="jar")


@pytest.mark.parametrize("text", ["", "cat: no such file", "Enabled\n"])
def test_other_text_is_no_entry(text: str) -> None:
    with pytest.raises(ValueError, match="not a binfmt_misc entry"):
        binfmt.parse_entry("x", text)


@ALL
def test_a_handler_s_rule_is_one_line_that_reads_back(arch: Architecture) -> None:
    entry = binfmt.handler(arch, f"/opt/qemu/qemu-{arch.qemu}", "PF")
    rule = binfmt.format_rule(entry)
    assert rule.startswith(f":qemu-{arch.qemu}:M::\\x7fELF")
    assert rule.isascii()
    assert "\n" not in rule
    assert rule.endswith(f":/opt/qemu/qemu-{arch.qemu}:PF")
    assert binfmt.parse_rules(f"# made by a test\n{rule}\n") == (entry,)


@pytest.mark.parametrize(
    ("flags", "normal"), [("FP", "PF"), ("C", "OC"), ("FCP", "POCF"), ("FF", "F"), ("", "")]
)
def test_flags_are_written_as_the_kernel_prints_them(flags: str, normal: str) -> None:
    assert binfmt.handler(ARM64, "/q", flags).flags == normal


@pytest.mark.parametrize("flags", ["X", "pf", "P F", "PF:"])
def test_unknown_flags_are_refused(flags: str) -> None:
    with pytest.raises(UsageError, match="unknown handler flag"):
        binfmt.handler(ARM64, "/q", flags)


@pytest.mark.parametrize("path", ["", "qemu", "./qemu", "/q\nq", "/" + 127 * "q", "/:|,!@%^~=+"])
def test_paths_that_cannot_be_interpreters_are_refused(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        binfmt.handler(ARM64, path, "PF")
    assert caught.value.cause
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "delimiter"),
    [("/a b", ":"), ("/a:b", "|"), ("/a:|b", ","), ("/a:|,b", "!"), ("/:|,!@%^~=", "+")],
)
def test_the_delimiter_is_one_that_the_path_leaves(path: str, delimiter: str) -> None:
    rule = binfmt.format_rule(binfmt.handler(ARM64, path, "PF"))
    assert rule[0] == delimiter
    assert binfmt.parse_rule(rule).interpreter == path


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": ".."},
        {"name": "register"},
        {"name": "status"},
        {"name": "a\nb"},
        {"name": "n" * 256},
        {"name": "é" * 128},  # bytes count
        {"interpreter": ""},
        {"interpreter": "/a\0b"},
        {"interpreter": "/ends in space "},
        {"interpreter": "/" + "i" * 1920},
        {"flags": "f"},
        {"magic": b""},
        {"mask": b"\xff"},
        {"offset": -1},
        {"offset": 255},
        {"extension": ""},
        {"extension": "a/b", "magic": b""},
        {"extension": "py"},  # and a magic
    ],
    ids=str,
)
def test_what_no_rule_can_say_is_refused(change: dict[str, object]) -> None:
    assert binfmt.format_rule(RULE) == ":one:M::AB::/usr/bin/true:"
    with pytest.raises(UsageError, match="cannot be registered"):
        binfmt.format_rule(replace(RULE, **change))  # type: ignore[arg-type]


def test_flags_of_a_newer_kernel_are_put_back_but_not_asked_for() -> None:
    entry = replace(RULE, flags="OTF")
    assert binfmt.format_rule(entry).endswith(":OFT")
    assert entry.same_rule(replace(entry, flags="TFO"))


@given(magic=st.binary(min_size=1, max_size=100), offset=st.integers(0, 150), data=st.data())
def test_any_magic_is_written_and_read_back(magic: bytes, offset: int, data: st.DataObject) -> None:
    mask = data.draw(st.one_of(st.just(b""), st.binary(min_size=len(magic), max_size=len(magic))))
    entry = replace(RULE, magic=magic, mask=mask, offset=offset)
    assert binfmt.parse_rules(binfmt.format_rule(entry)) == (entry,)


RULES_FILE = r"""
# a comment
; another
   :one:M::\x41B::/usr/bin/one:F
:spaced:M::AB::/usr/bin/one:F
:lost:M::AB
:bad:M::\x4::/usr/bin/bad:
,jar,E,,jar,,/usr/bin/java,
:type:X::AB::/x:
:flag:M::AB::/x:Z
:offset:M:-1:AB::/x:
:status:M::AB::/x:
:last:M:4:\x7f\x45:\xff\x0f:/x:PF
"""


def test_a_rules_file_is_read_as_systemd_does() -> None:
    jar = Entry(name="jar", interpreter="/usr/bin/java", extension="jar")
    one = Entry(name="one", interpreter="/usr/bin/one", flags="F", magic=b"AB")
    last = Entry(name="last", interpreter="/x", flags="PF", offset=4, magic=b"\x7fE", mask=b"\xff\x0f")
    entries = (one, replace(one, name="spaced"), jar, last)
    assert binfmt.parse_rules(RULES_FILE) == entries
    assert binfmt.parse_rules(RULES_FILE.replace("\n", " \t\r\n")) == entries


def test_bad_lines_are_told_with_number_and_reason() -> None:
    bad = dict(binfmt.bad_rules(RULES_FILE))
    assert list(bad) == [6, 7, 9, 10, 11, 12]
    assert "7 fields" in bad[6]
    assert "hexadecimal" in bad[7]
    assert "type" in bad[9]
    assert "'Z'" in bad[10]
    assert "'-1'" in bad[11]
    assert "name" in bad[12]


def test_a_magic_is_compared_under_its_mask_at_its_offset() -> None:
    entry = replace(RULE, offset=2, magic=b"\x41\x0f", mask=b"\xff\x0f")
    assert entry.matches(b"..A\x0f")
    assert entry.matches(b"..A\xff")
    assert not entry.matches(b"..A\xfe")
    assert not entry.matches(b"..B\x0f")
    assert not entry.matches(b"A\x0f")
    assert not entry.matches(b"..A")


def test_a_short_file_is_compared_as_if_zeros_followed() -> None:
    entry = replace(RULE, magic=b"A\0\0")
    assert entry.matches(b"A")
    assert not entry.matches(b"A\0\1")


def test_the_newest_enabled_entry_wins() -> None:
    old, new = replace(RULE, name="old"), replace(RULE, name="new")
    assert binfmt.winner([new, old], b"ABC") == new
    assert binfmt.winner([replace(new, enabled=False), old], b"ABC") == old
    assert binfmt.winner([new, old], b"ACB") is None
    assert binfmt.winner([], b"ABC") is None


def test_the_newest_wins_even_without_a_usable_interpreter() -> None:
    broken = replace(RULE, name="broken", interpreter="/nowhere")
    assert binfmt.winner([broken, RULE], b"AB") == broken


def test_shadows_in_both_directions() -> None:
    ours = binfmt.handler(ARM64, "/usr/bin/qemu-aarch64-static", "PF")
    rosetta = replace(ours, name="rosetta")
    off = replace(ours, name="off", enabled=False)
    jar = Entry(name="jar", interpreter="/usr/bin/java", extension="jar")
    other = binfmt.handler(of_platform("s390x"), "/q", "F")
    table = (rosetta, off, jar, other, ours)
    assert binfmt.shadowed_by(table, ours) == (rosetta,)
    assert binfmt.shadows(table, rosetta) == (ours,)
    assert binfmt.shadows(table, ours) == ()
    assert binfmt.shadowed_by(table, rosetta) == ()
    # What would be registered now is the newest.
    new = replace(ours, name="new")
    assert binfmt.shadows(table, new) == (rosetta, ours)
    assert binfmt.shadowed_by(table, new) == ()


single = st.builds(
    lambda magic, mask, offset: replace(RULE, magic=magic, mask=mask, offset=offset),
    st.binary(min_size=2, max_size=2),
    st.lists(st.sampled_from(b"\0\x01\x0f\xff"), min_size=2, max_size=2).map(bytes),
    st.integers(0, 2),
)


@given(one=single, other=single, data=st.binary(min_size=4, max_size=4))
def test_whatever_matches_both_makes_them_overlap(one: Entry, other: Entry, data: bytes) -> None:
    """And where they overlap, there is such a file: this one, laid out bit by bit."""
    if one.matches(data) and other.matches(data):
        assert binfmt.overlap(one, other)
    if binfmt.overlap(one, other):
        both = bytearray(4)
        for entry in (one, other):
            for at, (byte, bits) in enumerate(zip(entry.magic, entry.mask, strict=True), start=entry.offset):
                both[at] |= byte & bits
        assert one.matches(bytes(both))
        assert other.matches(bytes(both))
    assert binfmt.overlap(one, other) == binfmt.overlap(other, one)


@ALL
def test_only_the_own_architecture_is_hijacked(arch: Architecture) -> None:
    entry = binfmt.handler(arch, "/q", "F")
    taken = [
        other.name for other in ARCHITECTURES if binfmt.would_hijack(entry, elf.native_headers([other]))
    ]
    assert taken == [arch.name]


def test_a_loose_mask_is_seen_to_hijack() -> None:
    loose = replace(binfmt.handler(ARM64, "/q", "F"), mask=b"\xff" * 4 + bytes(16))
    assert binfmt.would_hijack(loose, elf.native_headers([AMD64]))


def test_one_rule_under_two_names_is_the_same() -> None:
    one = binfmt.handler(ARM64, "/q", "PCF")
    assert one.same_rule(replace(one, name="other", enabled=False, flags="FCP"))
    assert not one.same_rule(replace(one, interpreter="/r"))
    assert not one.same_rule(replace(one, flags="PF"))
    assert not one.same_rule(replace(one, mask=b"\xff" * 20))
    assert RULE.same_rule(replace(RULE, mask=b"\xff\xff"))


def test_bytes_that_are_no_utf_8_pass_as_they_are() -> None:
    """As Python reads them from files: the kernel knows bytes only, and counts them."""
    python = b":python:M::\xa7\r\r::/opt/\xe9/python:".decode("utf-8", "surrogateescape")
    entry = binfmt.parse_rule(python)
    assert entry.magic == b"\xa7\r\r"
    assert binfmt.format_rule(entry) == python.replace("\udca7\r\r", "\\xa7\\x0d\\x0d")


def test_an_entry_of_an_unknown_kind_takes_no_file() -> None:
    """A kernel to come may have kinds without magic and extension: whatever they take, it is not everything."""
    entry = binfmt.parse_entry("new", "enabled\ninterpreter /usr/bin/x\nflags: \nprogram 7\n")
    assert not entry.matches(elf.probe(of_platform("linux/arm64")))
