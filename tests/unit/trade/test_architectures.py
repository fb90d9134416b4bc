"""The table of architectures and the names people, kernels and workers use for them."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.architectures import (
    ARCHITECTURES,
    PLATFORMS,
    normalise,
    of_identity,
    of_platform,
    of_qemu,
    of_uname,
    parse_platform,
)
from provision.errors import UsageError

SPELLINGS = {
    "linux/amd64": "amd64 x86_64 x86-64 AMD64 linux/amd64 linux/x86_64 linux/amd64/v1 amd64/v1",
    "linux/amd64/v2": "linux/amd64/v2 amd64/v2 x86_64/v2 linux/amd64/2",
    "linux/arm64": "arm64 aarch64 ARM64 linux/arm64/v8 arm64/8 linux/aarch64 armv8",
    "linux/arm/v7": "arm armhf armv7 armv7l armv8l arm-v7 arm/v7 linux/arm linux/arm/v7 linux/arm/7",
    "linux/arm/v6": "armv6 armv6l armel arm/v6 linux/arm/v6 linux/arm/6",
    "linux/arm/v5": "linux/arm/v5",
    "linux/386": "386 i386 i686 x86 linux/386 linux/i386",
    "linux/riscv64": "riscv64 linux/riscv64 RISCV64",
    "linux/ppc64le": "ppc64le ppc64el powerpc64le linux/ppc64le linux/ppc64el",
    "linux/ppc64": "ppc64 linux/ppc64",
    "linux/s390x": "s390x linux/s390x S390X",
    "linux/mips64le": "mips64le mips64el linux/mips64el",
    "linux/mips64": "mips64 linux/mips64",
    "linux/loong64": "loong64 loongarch64 linux/loong64",
}
PAIRS = [(text, platform) for platform, texts in SPELLINGS.items() for text in texts.split()]


@pytest.mark.parametrize(("text", "platform"), PAIRS)
def test_what_people_type(text: str, platform: str) -> None:
    assert parse_platform(text) == platform
    assert parse_platform(f"  {text}\n") == platform
    assert platform.split("/")[1] == of_platform(text).name


def test_every_row_and_canonical_name_is_among_the_spellings() -> None:
    assert set(PLATFORMS) <= set(SPELLINGS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_canonical_names_stay(platform: str) -> None:
    assert parse_platform(platform) == platform
    assert platform in of_platform(platform).platforms


@given(st.text(max_size=12) | st.sampled_from(PAIRS).flatmap(st.sampled_from))
def test_any_text_is_a_platform_once_and_for_all_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        platform = parse_platform(text)
        assert parse_platform(platform) == platform
        assert of_platform(text) == of_platform(platform)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("linux/amd46", "linux/amd64"),
        ("amr64", "linux/arm64"),
        ("linux/arch64", "linux/arm64"),
        ("risc64", "linux/riscv64"),
        ("pcc64le", "linux/ppc64le"),
        ("windows/amd64", "linux/amd64"),
    ],
)
def test_the_nearest_name_is_given(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_platform(text)
    assert text in caught.value.message
    assert f"Did you mean {hint}?" in caught.value.hint


@pytest.mark.parametrize("text", ["", "/", "linux", "linux/", "linux/arm/v7/x", "zzzzzz", "linux//v7"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="unknown platform"):
        parse_platform(text)


@pytest.mark.parametrize(
    ("text", "known"), [("linux/arm/v9", "linux/arm/v6"), ("arm64/v7", "linux/arm64"), ("s390x/v1", "s390x")]
)
def test_an_unknown_variant_is_told_from_an_unknown_platform(text: str, known: str) -> None:
    with pytest.raises(UsageError, match="unknown platform") as caught:
        parse_platform(text)
    assert "variant" in caught.value.cause
    assert known in caught.value.hint


@pytest.mark.parametrize(
    ("said", "platform"),
    [
        (("linux", "amd64", ""), "linux/amd64"),
        (("linux", "amd64", "v1"), "linux/amd64"),
        (("linux", "amd64", "v2"), "linux/amd64/v2"),
        (("linux", "arm64", "v8"), "linux/arm64"),
        (("linux", "arm64", ""), "linux/arm64"),
        (("linux", "arm", ""), "linux/arm/v7"),
        (("linux", "arm", "7"), "linux/arm/v7"),
        (("linux", "arm", "v6"), "linux/arm/v6"),
        (("linux", "armel", ""), "linux/arm/v6"),
        (("Linux", "AARCH64", ""), "linux/arm64"),
        (("linux", "386", ""), "linux/386"),
        (("linux", "wasm", ""), "linux/wasm"),
        (("wasi", "wasm32", "v1"), "wasi/wasm32/v1"),
        (("darwin", "arm64", "v8"), "darwin/arm64"),
    ],
)
def test_what_workers_and_indexes_say(said: tuple[str, str, str], platform: str) -> None:
    assert normalise(*said) == platform


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ("x86_64", "amd64"),
        ("i686", "386"),
        ("aarch64", "arm64"),
        ("armv7l", "arm"),
        ("armv6l", "arm"),
        ("armv8l", "arm"),
        ("ppc64le", "ppc64le"),
        ("s390x", "s390x"),
        ("riscv64", "riscv64"),
        ("loongarch64", "loong64"),
    ],
)
def test_what_kernels_say(machine: str, name: str) -> None:
    row = of_uname(machine)
    assert row is not None
    assert row.name == name
    assert of_uname(machine, big_endian=row.big_endian) == row
    assert of_uname(machine, big_endian=not row.big_endian) is None


def test_mips_kernels_do_not_say_their_byte_order() -> None:
    assert of_uname("mips64") is None
    assert of_uname("mips64", big_endian=True) == of_platform("linux/mips64")
    assert of_uname("mips64", big_endian=False) == of_platform("linux/mips64le")
    assert of_uname("vax") is None


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.name)
def test_a_row_is_found_by_what_is_its_own(row: object) -> None:
    row = next(each for each in ARCHITECTURES if each is row)
    assert of_qemu(row.qemu) is row
    assert of_identity(row.bits, row.big_endian, row.machine) is row
    assert row.platforms[0] == "/".join(filter(None, ("linux", row.name, row.default_variant)))


def test_no_name_means_two_rows() -> None:
    owners = Counter[str]()
    for row in ARCHITECTURES:
        owners.update({row.name, row.qemu, *row.aliases, *filter(None, (row.debian, row.asset))})
    assert [name for name, count in owners.items() if count > 1] == []
    assert of_qemu("vax") is None
    assert of_identity(16, False, 1) is None


def test_the_rows_with_a_buildkit_asset() -> None:
    """The assets of a BuildKit release for Linux."""
    assets = {row.asset for row in ARCHITECTURES if row.asset}
    assert assets == {"amd64", "arm64", "arm-v7", "ppc64le", "riscv64", "s390x"}


def test_the_identities_are_those_of_elf_h() -> None:
    """EM_ constants, class and byte order, written down a second time from <elf.h>."""
    assert {row.name: (row.machine, row.bits, row.big_endian) for row in ARCHITECTURES} == {
        "amd64": (62, 64, False),
        "arm64": (183, 64, False),
        "arm": (40, 32, False),
        "386": (3, 32, False),
        "riscv64": (243, 64, False),
        "ppc64le": (21, 64, False),
        "s390x": (22, 64, True),
        "mips64le": (8, 64, False),
        "mips64": (8, 64, True),
        "loong64": (258, 64, False),
        "ppc64": (21, 64, True),
    }
