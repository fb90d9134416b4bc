"""What provision.binfmt says of the kernel's table, asked of the kernel."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from provision import binfmt, elf
from provision.architectures import ARCHITECTURES, Architecture, of_qemu
from provision.binfmt import Entry
from provision.errors import UsageError
from tests.kernel.namespace import Namespace

# One namespace for all examples of a test, emptied in each.
real_kernel = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
RULE = Entry(name="one", interpreter="/usr/bin/true", magic=b"AB")

text = st.text(st.characters(codec="utf-8", exclude_characters="/\0\r\n"), min_size=1, max_size=20)
names = text.filter(lambda name: name not in (".", "..", "register", "status"))
patterns = st.integers(1, 40).flatmap(
    lambda size: st.tuples(
        st.binary(min_size=size, max_size=size),
        st.one_of(st.just(b""), st.binary(min_size=size, max_size=size)),
        st.integers(0, binfmt.COMPARED - size),
    )
)
flag_sets = st.lists(st.sampled_from("POC"), max_size=4).map("".join)


@st.composite
def rules(draw: st.DrawFn) -> Entry:
    common = Entry(name=draw(names), interpreter=f"/{draw(text)}i", flags=draw(flag_sets))
    if draw(st.booleans()):
        return replace(common, extension=draw(text))
    magic, mask, offset = draw(patterns)
    return replace(common, magic=magic, mask=mask, offset=offset)


@given(entry=rules())
@real_kernel
def test_what_is_registered_is_what_is_read_back(entry: Entry, namespace: Namespace) -> None:
    namespace.clear()
    namespace.register(binfmt.format_rule(entry))
    (found,) = namespace.entries()
    assert found == replace(entry, flags=binfmt.normal_flags(entry.flags))
    namespace.clear()
    namespace.register(found)  # so what was read can be put back
    assert namespace.entries() == (found,)


@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
def test_a_handler_is_read_back_as_it_was_meant(arch: Architecture, namespace: Namespace) -> None:
    entry = binfmt.handler(arch, "/usr/bin/true", "FCP")
    namespace.register(entry)
    assert namespace.entries() == (entry,)
    assert entry.flags == "POCF"


PATTERNS = r"0 7 +1 -1 0x1 AB \x41 \x4 \xzz \\x41 \101 a/b \x41\x42 \xff\x0f"
WORDS = "M E /usr/bin/true name . status P OC CPP x p F"
fields = st.sampled_from(["", "P ", *PATTERNS.split(), *WORDS.split()])
spoilt_lines = st.builds(
    lambda mark, parts, end: mark + mark.join(parts) + end,
    st.sampled_from(":|,"),
    st.one_of(
        st.lists(fields, min_size=5, max_size=8),
        st.tuples(
            st.just("name"),
            st.sampled_from("MME"),
            st.sampled_from(["", "0", "7", "+1", "255", "254", "-1"]),
            fields,
            st.one_of(st.just(""), fields),
            st.just("/usr/bin/true"),
            st.sampled_from(["", "F", "CPP", "x", "P "]),
        ),
    ),
    st.sampled_from(["", "\n", "\n\n"]),
)


@given(line=spoilt_lines)
@settings(real_kernel, max_examples=600)
def test_a_line_is_understood_as_the_kernel_does(line: str, namespace: Namespace) -> None:
    """Both refuse it, or both mean the same."""
    namespace.clear()
    refusal = refused(line, namespace)
    if refusal in (errno.EINVAL, errno.EEXIST):
        with pytest.raises(ValueError, match=r"."):
            binfmt.parse_rule(line)
    elif refusal in (errno.ENOENT, errno.EACCES):  # the line is right, but F finds no such interpreter
        assert "F" in binfmt.parse_rule(line).flags
    else:
        (found,) = namespace.entries()
        assert found == binfmt.parse_rule(line)


def refused(line: str, namespace: Namespace) -> int | None:
    """The kernel's errno, or None."""
    try:
        namespace.register(line)
    except OSError as error:
        return error.errno
    return None


def test_the_newest_entry_is_listed_first(namespace: Namespace) -> None:
    for name in ("zeta", "alpha", "mid"):
        namespace.register(replace(RULE, name=name))
    assert namespace.names() == ["mid", "alpha", "zeta"]
    assert [entry.name for entry in namespace.entries()] == ["mid", "alpha", "zeta"]


@pytest.mark.parametrize("flags", ["F", "PF", "FP", "FOP", "C", "FC", "FCOP", "PP", ""])
def test_the_kernel_prints_flags_in_its_own_order(flags: str, namespace: Namespace) -> None:
    namespace.register(replace(RULE, flags=flags))
    assert namespace.entries()[0].flags == binfmt.normal_flags(flags)


def test_a_disabled_entry_is_read_as_such(namespace: Namespace) -> None:
    namespace.register(RULE)
    namespace.write("one", "0")
    assert namespace.entries() == (replace(RULE, enabled=False),)
    namespace.write("one", "1")
    assert namespace.entries() == (RULE,)


LIMITS = {
    "longest name": replace(RULE, name="n" * 255),
    "last byte that is compared": replace(RULE, offset=254),
    "longest rule": replace(RULE, interpreter="/" + "i" * 1906),
}
BEYOND = {
    "longest name": replace(RULE, name="n" * 256),
    "last byte that is compared": replace(RULE, offset=255),
    "longest rule": replace(RULE, interpreter="/" + "i" * 1907),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_our_limits_are_the_kernel_s(limit: str, namespace: Namespace) -> None:
    within, beyond = LIMITS[limit], BEYOND[limit]
    namespace.register(binfmt.format_rule(within))
    with pytest.raises(UsageError):
        binfmt.format_rule(beyond)
    # Written by hand, to see that the kernel would refuse it too.
    line = f":{beyond.name}:M:{beyond.offset or ''}:AB::{beyond.interpreter}:"
    with pytest.raises(OSError, match=r"Invalid argument|File name too long"):
        namespace.register(line)


letters = st.sampled_from(b"AB")
masks = st.sampled_from(b"\xff\x0f\x03\x01\x00")


@st.composite
def small_entries(draw: st.DrawFn) -> Entry:
    """On two letters, so that they meet; run by one of two programs, so that it shows who was taken."""
    size = draw(st.integers(1, 3))
    return replace(
        RULE,
        interpreter=draw(st.sampled_from(["/usr/bin/true", "/usr/bin/false"])),
        enabled=draw(st.integers(0, 3)) > 0,
        offset=draw(st.integers(0, 2)),
        magic=bytes(draw(st.lists(letters, min_size=size, max_size=size))),
        mask=draw(st.one_of(st.just(b""), st.lists(masks, min_size=size, max_size=size).map(bytes))),
        flags="F",
    )


@pytest.mark.thorough
@given(
    entries=st.lists(small_entries(), min_size=1, max_size=5),
    files=st.lists(
        st.lists(letters, min_size=1, max_size=6).map(bytes), min_size=1, max_size=8, unique=True
    ),
)
@real_kernel
def test_the_winner_is_who_the_kernel_takes(
    entries: list[Entry], files: list[bytes], namespace: Namespace, tmp_path: Path
) -> None:
    native = Path("/usr/bin/true").read_bytes()[:1024]
    assume(not any(binfmt.would_hijack(entry, [native]) for entry in entries))
    namespace.clear()
    for number, entry in enumerate(entries):
        named = replace(entry, name=f"entry{number}")
        namespace.register(named)
        if not entry.enabled:
            namespace.write(named.name, "0")
    paths = []
    for number, data in enumerate(files):
        paths.append(tmp_path / f"file{number}")
        paths[-1].write_bytes(data)
        paths[-1].chmod(0o755)
    takers = [binfmt.winner(namespace.entries(), data) for data in files]
    codes = {None: 100 + errno.ENOEXEC, "/usr/bin/true": 0, "/usr/bin/false": 1}
    expected = [codes[taker.interpreter if taker else None] for taker in takers]
    assert namespace.execute(paths) == expected


def test_an_extension_is_compared_as_the_kernel_does(namespace: Namespace, tmp_path: Path) -> None:
    namespace.register(Entry(name="py", interpreter="/usr/bin/true", flags="F", extension="py"))
    expected = []
    paths = [tmp_path / name for name in ("a.py", "a.b.py", "py", "a.pyc", "a.py.x", ".py")]
    for path in paths:
        path.write_bytes(b"AB")
        path.chmod(0o755)
        expected.append(0 if binfmt.winner(namespace.entries(), b"AB", str(path)) else 100 + errno.ENOEXEC)
    assert namespace.execute(paths) == expected
    assert sorted(set(expected)) == [0, 100 + errno.ENOEXEC]


def test_a_handler_that_would_hijack_stops_every_program(namespace: Namespace) -> None:
    """Why such a handler is refused: it can be seen here, where only this namespace suffers."""
    native = Path("/usr/bin/true").read_bytes()[:1024]
    header = elf.parse(native)
    assert header is not None
    own = header.architecture
    assert own is not None
    entry = binfmt.handler(own, "/usr/bin/true", "F")
    assert binfmt.would_hijack(entry, [native])
    assert binfmt.would_hijack(entry, elf.native_headers([own]))
    namespace.register(entry)
    with pytest.raises(AssertionError, match="Too many levels"):
        namespace.execute([Path("/usr/bin/true")])
    other = of_qemu("s390x" if own.qemu != "s390x" else "aarch64")
    assert other is not None
    namespace.clear()
    harmless = binfmt.handler(other, "/usr/bin/true", "F")
    assert not binfmt.would_hijack(harmless, [native, *elf.native_headers([own])])
    namespace.register(harmless)
    assert namespace.execute([Path("/usr/bin/true")]) == [0]
