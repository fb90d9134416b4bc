"""The derived magics accept and refuse the same headers as the tables written by hand, and as the kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from provision import binfmt, elf
from provision.architectures import ARCHITECTURES, Architecture, of_qemu
from provision.binfmt import Entry
from tests.kernel.namespace import Namespace

DISTRIBUTION: Final = Path("/usr/lib/binfmt.d")

# QEMU's scripts/qemu-binfmt-conf.sh, as of 10.x: the only table that is kept up.
LE_MASK: Final = "ffffffffffffff00fffffffffffffffffeffffff"
BE_MASK: Final = "ffffffffffffff00fffffffffffffffffffeffff"
X86_MASK: Final = "fffffffffffefe00fffffffffffffffffeffffff"
UPSTREAM: Final = {
    "x86_64": ("7f454c46020101000000000000000000 0200 3e00", X86_MASK),
    "i386": ("7f454c46010101000000000000000000 0200 0300", X86_MASK),
    "aarch64": ("7f454c46020101000000000000000000 0200 b700", LE_MASK),
    "arm": ("7f454c46010101000000000000000000 0200 2800", LE_MASK),
    "riscv64": ("7f454c46020101000000000000000000 0200 f300", LE_MASK),
    "ppc64le": ("7f454c46020101000000000000000000 0200 1500", "ffffffffffffff00fffffffffffffffffeffff00"),
    "ppc64": ("7f454c46020201000000000000000000 0002 0015", BE_MASK),
    "s390x": ("7f454c46020201000000000000000000 0002 0016", BE_MASK),
    "mips64el": ("7f454c46020101000000000000000000 0200 0800", "ffffffffffffff0000fffffffffffffffeffffff"),
    "mips64": ("7f454c46020201000000000000000000 0002 0008", "ffffffffffffff0000fffffffffffffffffeffff"),
    "loongarch64": (
        "7f454c46020101000000000000000000 0200 0201",
        "fffffffffffffffc00fffffffffffffffeffffff",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Known:
    """A header on which the other table is wrong, or stricter than the kernel's own loader, and why."""

    when: Callable[[bytes], bool]
    reason: str


HIGH_MACHINE_BYTE: Final = Known(
    when=lambda header: header[19] != 0,
    reason="the mask leaves out the high byte of e_machine: a slip, QEMU itself refuses such a file",
)
OS_ABI: Final = Known(
    when=lambda header: header[7] > 3,
    reason="Debian's mask takes EI_OSABI 0 to 3 only; the kernel's own loader does not look at it",
)
ABI_VERSION: Final = Known(
    when=lambda header: header[8] > 1,
    reason="Debian's mask takes EI_ABIVERSION 0 and 1; MIPS programs with 5 exist",
)
KNOWN_UPSTREAM: Final = {"ppc64le": [HIGH_MACHINE_BYTE]}
KNOWN_DISTRIBUTION: Final = {
    "ppc64le": [HIGH_MACHINE_BYTE, OS_ABI],
    "ppc64": [OS_ABI],
    "s390x": [OS_ABI],
    "mips64": [ABI_VERSION],
    "mips64el": [ABI_VERSION],
}


def corpus() -> Iterator[bytes]:
    """Programs of every architecture, as they are and spoilt, byte by byte."""
    for arch in ARCHITECTURES:
        for os_abi in (0, 3, 9):
            for type_ in (1, elf.ET_EXEC, elf.ET_DYN, 4):
                for abi_version in (0, 1, 5):
                    yield elf.header(arch, type_=type_, os_abi=os_abi, abi_version=abi_version)
        yield from spoilt(bytearray(elf.header(arch)))


def spoilt(header: bytearray) -> Iterator[bytes]:
    changes = {0: 0x7E, 3: 0x47, 4: header[4] ^ 3, 5: header[5] ^ 3, 6: 2}
    changes |= dict.fromkeys(range(9, 16), 1)
    changes |= {at: header[at] ^ 4 for at in range(16, 20)}
    changes |= dict.fromkeys(range(20, 24), 0xFF)
    for at, value in changes.items():
        yield bytes(header[:at]) + bytes((value,)) + bytes(header[at + 1 :])
    yield bytes(header[:5]) + b"\0" + bytes(header[6:])
    yield bytes(header[:6]) + b"\0" + bytes(header[7:])
    yield bytes(header[:19])


def derived(arch: Architecture) -> Entry:
    return binfmt.handler(arch, "/usr/bin/true", "F")


def differences(ours: Entry, theirs: Entry) -> list[bytes]:
    return [header for header in corpus() if ours.matches(header) != theirs.matches(header)]


def of_distribution(arch: Architecture) -> Entry | None:
    """Debian's qemu-NAME.conf, Fedora's qemu-NAME-static.conf."""
    for suffix in ("", "-static"):
        path = DISTRIBUTION / f"qemu-{arch.qemu}{suffix}.conf"
        if path.exists():
            (entry,) = binfmt.parse_rules(path.read_text())
            return entry
    return None


def explained(arch: Architecture, theirs: Entry, known: dict[str, list[Known]]) -> list[Known]:
    """The known reasons that were needed; fails on a header that no reason covers."""
    reasons, used = known.get(arch.qemu, []), []
    for header in differences(derived(arch), theirs):
        because = [reason for reason in reasons if reason.when(header)]
        assert because, f"{arch.name}: another verdict on {header.hex()}"
        used += because
    return used


@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
def test_verdicts_are_those_of_qemu_s_own_table(arch: Architecture) -> None:
    magic, mask = (bytes.fromhex(text) for text in UPSTREAM[arch.qemu])
    used = explained(arch, Entry(name="upstream", interpreter="/q", magic=magic, mask=mask), KNOWN_UPSTREAM)
    assert all(known in used for known in KNOWN_UPSTREAM.get(arch.qemu, [])), "a known difference is gone"


def test_verdicts_are_those_of_the_distribution() -> None:
    pairs = [(arch, entry) for arch in ARCHITECTURES if (entry := of_distribution(arch))]
    if not pairs and os.environ.get("CI") != "true":
        pytest.skip(f"no qemu-*.conf in {DISTRIBUTION}; enable with: apt-get install -y qemu-user-static")
    assert len(pairs) >= 8
    for arch, entry in pairs:
        explained(arch, entry, KNOWN_DISTRIBUTION)
        # Agreement must not come from refusing all.
        assert entry.matches(elf.header(arch))
        assert derived(arch).matches(elf.header(arch, type_=elf.ET_DYN))


def test_every_file_of_the_distribution_can_be_read() -> None:
    for path in DISTRIBUTION.glob("*.conf"):
        text = path.read_text()
        assert binfmt.bad_rules(text) == ()
        assert len(binfmt.parse_rules(text)) >= 1


def test_the_distribution_s_other_handlers_share_nothing_with_ours() -> None:
    """One that did would shadow ours, or the other way round."""
    for path in DISTRIBUTION.glob("*.conf"):
        name = path.stem.removeprefix("qemu-").removesuffix("-static")
        for theirs in binfmt.parse_rules(path.read_text()):
            shared = [arch.qemu for arch in ARCHITECTURES if binfmt.overlap(derived(arch), theirs)]
            assert shared == ([name] if of_qemu(name) else []), path


def test_our_handlers_share_nothing_with_each_other() -> None:
    for arch in ARCHITECTURES:
        for other in ARCHITECTURES:
            assert binfmt.overlap(derived(arch), derived(other)) == (arch == other)


@pytest.mark.thorough
@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
def test_the_kernel_gives_the_verdicts_we_predict(
    arch: Architecture, namespace: Namespace, tmp_path: Path
) -> None:
    """The interpreter is an ordinary program: a file that matches makes it run."""
    entry = derived(arch)
    headers = list(dict.fromkeys(corpus()))
    paths = [tmp_path / f"header{number}" for number in range(len(headers))]
    for path, header in zip(paths, headers, strict=True):
        path.write_bytes(header)
        path.chmod(0o755)
    # ELOOP where the interpreter itself matches: the machine's own architecture.
    codes = namespace.execute(paths, binfmt.format_rule(entry))
    assert set(codes) <= {0, 100 + errno.ELOOP, 100 + errno.ENOEXEC}
    assert [code != 100 + errno.ENOEXEC for code in codes] == [entry.matches(header) for header in headers]
    assert codes.count(100 + errno.ENOEXEC) < len(headers) - 6
