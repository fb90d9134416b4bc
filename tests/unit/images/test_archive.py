"""Tar archives from a stream: the members that Python's tarfile sees, and no more patience than is good."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.images.archive import clean, members
from provision.images.faults import FaultError
from tests.lab.images import File, archive

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def read(data: bytes) -> list[tuple[str, str, str, int, bytes]]:
    return [
        (member.path, member.kind, member.target, member.mode, content.read(content.left))
        for member, content in members(io.BytesIO(data))
    ]


def packed(infos: list[tuple[tarfile.TarInfo, bytes]], kind: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=kind) as made:
        for info, content in infos:
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return target.getvalue()


@given(
    kind=st.sampled_from(FORMATS[1:]),
    names=st.lists(
        st.lists(st.text("abcé.", min_size=1, max_size=90), min_size=1, max_size=5).map("/".join),
        max_size=5,
    ),
    content=st.binary(max_size=1500),
)
def test_the_members_that_tarfile_sees(kind: int, names: list[str], content: bytes) -> None:
    names = [name for name in names if ".." not in name.split("/") and name.strip("./")]
    data = packed([(tarfile.TarInfo(name), content) for name in names], kind)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [clean(member.name) for member in archive]
    assert [(path, kind, data) for path, kind, _, _, data in read(data)] == [
        (name, "file", content) for name in expected
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_kind_of_member(kind: int) -> None:
    infos = []
    for name, type_, target in (
        ("./usr/", tarfile.DIRTYPE, ""),
        ("/usr//bin/./sh", tarfile.REGTYPE, ""),
        ("bin", tarfile.SYMTYPE, "../usr/bin"),
        ("usr/bin/hard", tarfile.LNKTYPE, "./usr/bin/sh"),
        ("dev/null", tarfile.CHRTYPE, ""),
        ("fifo", tarfile.FIFOTYPE, ""),
    ):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode = type_, target, 0o750
        infos.append((info, b"x" if type_ == tarfile.REGTYPE else b""))
    assert read(packed(infos, kind)) == [
        ("usr", "directory", "", 0o750, b""),
        ("usr/bin/sh", "file", "", 0o750, b"x"),
        ("bin", "symlink", "../usr/bin", 0o750, b""),
        ("usr/bin/hard", "hardlink", "usr/bin/sh", 0o750, b""),
        ("dev/null", "other", "", 0o750, b""),
        ("fifo", "other", "", 0o750, b""),
    ]


def test_content_that_nobody_reads_is_skipped() -> None:
    data = archive({"a": File(content=b"a" * 3000), "b": File(content=b"b")})
    seen = [(member.path, content.read(10)) for member, content in members(io.BytesIO(data))]
    assert seen == [("a", b"a" * 10), ("b", b"b")]


def test_an_archive_may_end_without_its_mark() -> None:
    data = archive({"a": File(content=b"a" * 512)})
    assert [path for path, *_ in read(data[:1024])] == ["a"]
    assert read(b"") == []


@pytest.mark.parametrize("end", [100, 512, 700, 1023, 1100, 1537])
def test_an_archive_that_is_cut_short(end: int) -> None:
    data = archive({"a": File(content=b"a" * 1000), "b": File(content=b"b")})
    with pytest.raises(FaultError, match="cut short") as caught:
        read(data[:end])
    assert caught.value.name == "layer-damaged"


@pytest.mark.parametrize("name", ["../etc/passwd", "a/../../b", "a/.."])
@pytest.mark.parametrize("hard", [False, True])
def test_names_that_lead_out_of_the_root(name: str, hard: bool) -> None:
    file = {"x": File(hard=name)} if hard else {name: File()}
    with pytest.raises(FaultError, match="out of the root") as caught:
        read(archive(file))
    assert caught.value.name == "layer-hostile"


def test_a_name_that_no_system_has() -> None:
    with pytest.raises(FaultError, match="4999 characters"):
        read(archive({"a/" * 2499 + "b": File()}))


@pytest.mark.parametrize("type_", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_an_extended_header_of_any_size_is_not_read(type_: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = type_, 3 << 30
    with pytest.raises(FaultError, match="claims 3221225472 bytes"):
        read(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))


def pax(record: bytes) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    file = tarfile.TarInfo("file")
    file.size = 3
    return info.tobuf() + record + bytes(-len(record) % 512) + file.tobuf() + b"abc".ljust(512, b"\0")


@pytest.mark.parametrize(
    "record",
    [
        *(b"no record", b"99 path=x\n", b"0 path=x\n", b"3 a\n", b"12 size=minus\n", b"-1 x=y\n"),
        # Python makes no number of so many digits.
        b"9" * 6000 + b" path=x\n",
        b"5011 size=" + b"9" * 5000 + b"\n",
    ],
    ids=lambda record: record[:12].decode(),
)
def test_extended_headers_that_cannot_be_read(record: bytes) -> None:
    with pytest.raises(FaultError) as caught:
        read(pax(record))
    assert caught.value.name == "layer-damaged"


def test_an_extended_header_beats_the_plain_one() -> None:
    assert read(pax(b"15 path=longer\n"))[0][0] == "longer"


@pytest.mark.parametrize("data", [b"x" * 2048, b"\x7fELF".ljust(1024, b"\1")])
def test_what_is_no_archive(data: bytes) -> None:
    with pytest.raises(FaultError, match="no tar archive"):
        read(data)


def test_a_member_with_a_negative_size() -> None:
    info = tarfile.TarInfo("a")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    with pytest.raises(FaultError):
        read(bytes(block))
