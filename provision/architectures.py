"""The one table of architectures: a row each, and nothing else in the code names one.

A row is the identity of the architecture's ELF files (from which the handler's magic and mask are
derived, `provision.elf`), its names in the worlds this tool speaks to, and the machine code of the probe.
A new architecture is a new row.

The probe's code is `read(0, sp, 1)`, then `exit(argc)` with argc loaded from the stack after the read.
At end of file the read stores nothing, so the exit code is argc; on an empty pipe it blocks, so the
emulator can be looked at meanwhile. System call numbers: the kernel's table of each architecture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from provision.errors import UsageError, nearest

_OS: Final = "linux"


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """One row: what the architecture's programs look like and what it is called."""

    name: str  # Go's GOARCH, as in an image's platform
    platforms: tuple[str, ...]  # canonical platforms this row stands for, the usual one first
    qemu: str  # the NAME of qemu-NAME
    debian: str | None  # dpkg's name; None: not a Debian architecture
    asset: str | None  # BuildKit's release asset is …linux-ASSET.tar.gz; None: there is none
    uname: tuple[str, ...]  # what `uname -m` prints
    personalities: tuple[
        tuple[str, str], ...
    ] = ()  # which of those a 64-bit kernel prints, and its own name
    aliases: tuple[str, ...] = ()  # more names people type
    variant_of: tuple[tuple[str, str], ...] = ()  # which of those names mean another variant than the usual
    default_variant: str = ""  # the variant meant when none is given
    baseline: tuple[str, ...] = ()  # variants that say nothing, left out of the canonical name
    variants: tuple[str, ...] = ()  # variants that may be asked for
    go_levels: tuple[
        tuple[str, str], ...
    ] = ()  # what makes Go compile for the oldest processor of a platform

    bits: int  # EI_CLASS
    big_endian: bool  # EI_DATA
    machine: int  # e_machine
    elf_flags: int = 0  # e_flags of the probe; never part of a magic
    any_abi_version: bool = False  # programs with EI_ABIVERSION above 0 are in use
    os_abi_up_to_3: bool = False  # EI_OSABI 0 to 3 only; False: any
    lenient_ident: bool = False  # the last bit of EI_DATA and EI_VERSION may differ, as in QEMU's script

    probe_code: bytes
    loop_code: bytes  # 2^26 rounds of add, xor, count down and branch; leaves the stack pointer as it is


def _words(order: Literal["little", "big"], *words: int) -> bytes:
    """Instructions of 32 bits each, as they lie in a file."""
    return b"".join(word.to_bytes(4, order) for word in words)


_PPC64_PROBE: Final = (
    0x38000003,  # li    r0, 3            read
    0x38600000,  # li    r3, 0
    0x7C240B78,  # mr    r4, r1
    0x38A00001,  # li    r5, 1
    0x44000002,  # sc
    0xE8610000,  # ld    r3, 0(r1)
    0x38000001,  # li    r0, 1            exit
    0x44000002,  # sc
)
_PPC64_LOOP: Final = (
    0x3C800400,  # lis   r4, 0x400
    0x7C8903A6,  # mtctr r4
    0x7CA52214,  # add   r5, r5, r4
    0x7CA52278,  # xor   r5, r5, r4
    0x3884FFFF,  # addi  r4, r4, -1
    0x4200FFF4,  # bdnz  add
)
_MIPS64_PROBE: Final = (
    0x24040000,  # li    a0, 0
    0x03A0282D,  # move  a1, sp
    0x24060001,  # li    a2, 1
    0x24021388,  # li    v0, 5000         read (n64)
    0x0000000C,  # syscall
    0xDFA40000,  # ld    a0, 0(sp)
    0x240213C2,  # li    v0, 5058         exit
    0x0000000C,  # syscall
)

_MIPS64_LOOP: Final = (
    0x3C050400,  # lui   a1, 0x400
    0x00C53021,  # addu  a2, a2, a1
    0x00C53026,  # xor   a2, a2, a1
    0x24A5FFFF,  # addiu a1, a1, -1
    0x14A0FFFC,  # bnez  a1, addu
    0x00000000,  # nop                   in the branch's delay slot
)

ARCHITECTURES: Final[tuple[Architecture, ...]] = (
    Architecture(
        name="amd64",
        platforms=("linux/amd64",),
        qemu="x86_64",
        debian="amd64",
        asset="amd64",
        uname=("x86_64",),
        aliases=("x86-64", "x64"),
        baseline=("v1",),
        variants=("v2", "v3", "v4"),
        go_levels=(("linux/amd64", "GOAMD64=v1"),),
        bits=64,
        big_endian=False,
        machine=62,
        lenient_ident=True,
        probe_code=bytes.fromhex(
            "31c0"  # xor  eax, eax        read
            "31ff"  # xor  edi, edi
            "4889e6"  # mov  rsi, rsp
            "ba01000000"  # mov  edx, 1
            "0f05"  # syscall
            "8b3c24"  # mov  edi, [rsp]
            "b83c000000"  # mov  eax, 60         exit
            "0f05"  # syscall
        ),
        loop_code=bytes.fromhex(
            "b900000004"  # mov  ecx, 1 << 26
            "01c8"  # add  eax, ecx
            "31c8"  # xor  eax, ecx
            "ffc9"  # dec  ecx
            "75f8"  # jnz  add
        ),
    ),
    Architecture(
        name="arm64",
        platforms=("linux/arm64",),
        qemu="aarch64",
        debian="arm64",
        asset="arm64",
        uname=("aarch64",),
        aliases=("armv8", "arm64v8"),
        baseline=("v8", "v8.0"),
        go_levels=(("linux/arm64", "GOARM64=v8.0"),),
        bits=64,
        big_endian=False,
        machine=183,
        probe_code=_words(
            "little",
            0xD2800000,  # mov  x0, #0
            0x910003E1,  # mov  x1, sp
            0xD2800022,  # mov  x2, #1
            0xD28007E8,  # mov  x8, #63         read
            0xD4000001,  # svc  #0
            0xB94003E0,  # ldr  w0, [sp]
            0xD2800BA8,  # mov  x8, #93         exit
            0xD4000001,  # svc  #0
        ),
        loop_code=_words(
            "little",
            0x52A08001,  # movz w1, #0x400, lsl #16
            0x0B010042,  # add  w2, w2, w1
            0x4A010042,  # eor  w2, w2, w1
            0x71000421,  # subs w1, w1, #1
            0x54FFFFA1,  # b.ne add
        ),
    ),
    Architecture(
        name="arm",
        platforms=("linux/arm/v7", "linux/arm/v6"),
        qemu="arm",
        debian="armhf",
        asset="arm-v7",
        uname=("armv7l", "armv8l", "armv6l"),
        # COMPAT_UTS_MACHINE (arch/arm64/include/asm/compat.h); a 32-bit kernel never prints it.
        personalities=(("armv8l", "aarch64"),),
        aliases=("armv7", "armhf", "armv6", "armel", "arm32v7", "arm32v6"),
        # As containerd's platforms package reads them: armhf is v7, armel is v6.
        variant_of=(("armv6l", "v6"), ("armv6", "v6"), ("armel", "v6"), ("arm32v6", "v6")),
        default_variant="v7",
        variants=("v5", "v6", "v7", "v8"),
        go_levels=(("linux/arm/v7", "GOARM=7"), ("linux/arm/v6", "GOARM=6")),
        bits=32,
        big_endian=False,
        machine=40,
        elf_flags=0x05000200,  # EABI 5, soft float: the probe uses neither
        probe_code=_words(
            "little",
            0xE3A00000,  # mov  r0, #0
            0xE1A0100D,  # mov  r1, sp
            0xE3A02001,  # mov  r2, #1
            0xE3A07003,  # mov  r7, #3          read
            0xEF000000,  # svc  #0
            0xE59D0000,  # ldr  r0, [sp]
            0xE3A07001,  # mov  r7, #1          exit
            0xEF000000,  # svc  #0
        ),
        loop_code=_words(
            "little",
            0xE3A01301,  # mov  r1, #1 << 26
            0xE0822001,  # add  r2, r2, r1
            0xE0222001,  # eor  r2, r2, r1
            0xE2511001,  # subs r1, r1, #1
            0x1AFFFFFB,  # bne  add
        ),
    ),
    Architecture(
        name="386",
        platforms=("linux/386",),
        qemu="i386",
        debian="i386",
        asset=None,
        uname=("i686", "i586", "i486", "i386"),
        aliases=("x86",),
        go_levels=(("linux/386", "GO386=sse2"),),
        bits=32,
        big_endian=False,
        machine=3,
        lenient_ident=True,
        probe_code=bytes.fromhex(
            "b803000000"  # mov  eax, 3          read
            "31db"  # xor  ebx, ebx
            "89e1"  # mov  ecx, esp
            "ba01000000"  # mov  edx, 1
            "cd80"  # int  0x80
            "8b1c24"  # mov  ebx, [esp]
            "b801000000"  # mov  eax, 1          exit
            "cd80"  # int  0x80
        ),
        loop_code=bytes.fromhex(
            "b900000004"  # mov  ecx, 1 << 26
            "01c8"  # add  eax, ecx
            "31c8"  # xor  eax, ecx
            "49"  # dec  ecx
            "75f9"  # jnz  add
        ),
    ),
    Architecture(
        name="riscv64",
        platforms=("linux/riscv64",),
        qemu="riscv64",
        debian="riscv64",
        asset="riscv64",
        uname=("riscv64",),
        go_levels=(("linux/riscv64", "GORISCV64=rva20u64"),),
        bits=64,
        big_endian=False,
        machine=243,
        probe_code=_words(
            "little",
            0x00000513,  # li    a0, 0
            0x00010593,  # mv    a1, sp
            0x00100613,  # li    a2, 1
            0x03F00893,  # li    a7, 63         read
            0x00000073,  # ecall
            0x00013503,  # ld    a0, 0(sp)
            0x05D00893,  # li    a7, 93         exit
            0x00000073,  # ecall
        ),
        loop_code=_words(
            "little",
            0x040005B7,  # lui   a1, 0x4000
            0x00B60633,  # add   a2, a2, a1
            0x00B64633,  # xor   a2, a2, a1
            0xFFF58593,  # addi  a1, a1, -1
            0xFE059AE3,  # bnez  a1, add
        ),
    ),
    Architecture(
        name="ppc64le",
        platforms=("linux/ppc64le",),
        qemu="ppc64le",
        debian="ppc64el",
        asset="ppc64le",
        uname=("ppc64le",),
        aliases=("powerpc64le", "powerpc64el"),
        go_levels=(("linux/ppc64le", "GOPPC64=power8"),),
        bits=64,
        big_endian=False,
        machine=21,
        elf_flags=2,  # ELFv2: the entry point is code, not a function descriptor
        probe_code=_words("little", *_PPC64_PROBE),
        loop_code=_words("little", *_PPC64_LOOP),
    ),
    Architecture(
        name="s390x",
        platforms=("linux/s390x",),
        qemu="s390x",
        debian="s390x",
        asset="s390x",
        uname=("s390x",),
        bits=64,
        big_endian=True,
        machine=22,
        probe_code=bytes.fromhex(
            "a7290000"  # lghi  r2, 0
            "b904003f"  # lgr   r3, r15
            "a7490001"  # lghi  r4, 1
            "0a03"  # svc   3             read
            "e320f0000004"  # lg    r2, 0(r15)
            "0a01"  # svc   1             exit
        ),
        loop_code=bytes.fromhex(
            "c02f04000000"  # llilf r2, 1 << 26
            "b9080032"  # agr   r3, r2
            "b9820032"  # xgr   r3, r2
            "a727fffc"  # brctg r2, agr
        ),
    ),
    Architecture(
        name="mips64le",
        platforms=("linux/mips64le",),
        qemu="mips64el",
        debian="mips64el",
        asset=None,
        uname=("mips64",),  # the kernel prints the same for both byte orders
        go_levels=(("linux/mips64le", "GOMIPS64=hardfloat"),),
        bits=64,
        big_endian=False,
        machine=8,
        elf_flags=0x60000000,
        any_abi_version=True,
        probe_code=_words("little", *_MIPS64_PROBE),
        loop_code=_words("little", *_MIPS64_LOOP),
    ),
    Architecture(
        name="mips64",
        platforms=("linux/mips64",),
        qemu="mips64",
        debian=None,
        asset=None,
        uname=("mips64",),
        aliases=("mips64be",),
        go_levels=(("linux/mips64", "GOMIPS64=hardfloat"),),
        bits=64,
        big_endian=True,
        machine=8,
        elf_flags=0x60000000,
        any_abi_version=True,
        probe_code=_words("big", *_MIPS64_PROBE),
        loop_code=_words("big", *_MIPS64_LOOP),
    ),
    Architecture(
        name="loong64",
        platforms=("linux/loong64",),
        qemu="loongarch64",
        debian="loong64",
        asset=None,
        uname=("loongarch64",),
        aliases=("loongarch",),
        bits=64,
        big_endian=False,
        machine=258,
        elf_flags=0x43,  # object ABI 1, double float
        any_abi_version=True,
        os_abi_up_to_3=True,
        probe_code=_words(
            "little",
            0x00150004,  # move    a0, zero
            0x00150065,  # move    a1, sp
            0x03800406,  # ori     a2, zero, 1
            0x0380FC0B,  # ori     a7, zero, 63  read
            0x002B0000,  # syscall 0
            0x28C00064,  # ld.d    a0, sp, 0
            0x0381740B,  # ori     a7, zero, 93  exit
            0x002B0000,  # syscall 0
        ),
        loop_code=_words(
            "little",
            0x14080005,  # lu12i.w a1, 0x4000
            0x001094C6,  # add.d   a2, a2, a1
            0x001594C6,  # xor     a2, a2, a1
            0x02FFFCA5,  # addi.d  a1, a1, -1
            0x47FFF4BF,  # bnez    a1, add
        ),
    ),
    Architecture(
        name="ppc64",
        platforms=("linux/ppc64",),
        qemu="ppc64",
        debian="ppc64",
        asset=None,
        uname=("ppc64",),
        aliases=("powerpc64",),
        go_levels=(("linux/ppc64", "GOPPC64=power8"),),
        bits=64,
        big_endian=True,
        machine=21,
        elf_flags=2,  # ELFv2 as musl's: needs no descriptor, and the kernel takes it in either byte order
        probe_code=_words("big", *_PPC64_PROBE),
        loop_code=_words("big", *_PPC64_LOOP),
    ),
)

PLATFORMS: Final[tuple[str, ...]] = tuple(platform for row in ARCHITECTURES for platform in row.platforms)


def _spellings(row: Architecture) -> tuple[str, ...]:
    names = (row.name, row.qemu, row.debian, row.asset, *row.aliases, *row.uname)
    return tuple(dict.fromkeys(name for name in names if name))


def _row_of_spelling(text: str) -> Architecture | None:
    """Go's name first: `mips64` is the big-endian one, though both kernels print it."""
    exact = next((row for row in ARCHITECTURES if row.name == text), None)
    return exact or next((row for row in ARCHITECTURES if text in _spellings(row)), None)


def _canonical_variant(row: Architecture, variant: str) -> str:
    """The variant as image indexes name it (containerd's platforms package: 7 is v7, arm64's v8 is none)."""
    if variant[:1].isdigit():
        variant = f"v{variant}"
    return row.default_variant if variant in ("", *row.baseline) else variant


def normalise(os: str, architecture: str, variant: str) -> str:
    """The canonical platform of what a worker or an image index says; never fails.

    `arm` without a variant is v7, `arm64` v8 is plain; what the table does not know passes unchanged.
    Source: containerd's `platforms.Normalize`, which BuildKit uses.
    """
    os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
    row = _row_of_spelling(architecture)
    if row is not None:
        variant = variant or dict(row.variant_of).get(architecture, "")
        architecture, variant = row.name, _canonical_variant(row, variant)
    return "/".join(part for part in (os, architecture, variant) if part)


def parse_platform(text: str) -> str:
    """The canonical platform a person means: `aarch64`, `ARM64` and `linux/arm64/v8` are `linux/arm64`.

    Raises UsageError, with the nearest known name, for what is not in the table.
    """
    parts = text.strip().lower().split("/")
    if len(parts) > 1 and parts[0] == _OS:
        parts = parts[1:]
    row = _row_of_spelling(parts[0])
    if row is None or len(parts) > 2:
        raise _unknown(text)
    platform = normalise(_OS, parts[0], parts[1] if len(parts) == 2 else "")
    _check_variant(text, row, platform)
    return platform


def _check_variant(text: str, row: Architecture, platform: str) -> None:
    good = (*row.platforms, *(f"{_OS}/{row.name}/{variant}" for variant in row.variants))
    if platform not in good:
        raise UsageError(
            f"unknown platform {text!r}",
            cause=f"{row.name} has no such variant",
            hint=f"Use one of: {', '.join(dict.fromkeys(good))}.",
        )


def _unknown(text: str) -> UsageError:
    names = {name: row.platforms[0] for row in ARCHITECTURES for name in _spellings(row)}
    names |= {platform: platform for platform in PLATFORMS}
    near = nearest(text.strip(), names)
    meant = f"Did you mean {parse_platform(near)}? " if near else ""
    return UsageError(
        f"unknown platform {text!r}",
        cause="only Linux platforms of the table are supported",
        hint=f"{meant}Known: {', '.join(PLATFORMS)}.",
    )


def of_platform(platform: str) -> Architecture:
    """The row of a platform, in any spelling `parse_platform` takes. Raises UsageError as it does."""
    name = parse_platform(platform).split("/")[1]
    return next(row for row in ARCHITECTURES if row.name == name)


def go_environment(platform: str) -> dict[str, str]:
    """The variables that make Go compile for a platform's oldest processor. Raises UsageError as `parse_platform`.

    The levels are Go's own defaults, written out: a distribution's Go or the user's environment may have others.
    Source: https://go.dev/wiki/MinimumRequirements#microarchitecture-support.
    """
    row = of_platform(platform)
    level = dict(row.go_levels).get(parse_platform(platform), "")
    name, _, value = level.partition("=")
    return {"GOOS": _OS, "GOARCH": row.name, **({name: value} if level else {})}


def of_uname(machine: str, big_endian: bool | None = None) -> Architecture | None:
    """The row of `uname -m`, or None if the table has none or the byte order is needed and not given.

    MIPS kernels print the same name for both byte orders. A 32-bit userland on a 64-bit kernel shows
    the kernel's name here: what userland is must be found out elsewhere.
    """
    rows = [row for row in ARCHITECTURES if machine in row.uname]
    if big_endian is not None:
        rows = [row for row in rows if row.big_endian == big_endian]
    return rows[0] if len(rows) == 1 else None


def kernel_machine(machine: str) -> str:
    """The name that a kernel has for itself where `uname -m` shows a 32-bit personality of it; else the same.

    Such a kernel (setarch, an armhf container) runs 64-bit programs all the same.
    """
    shown = dict(pair for row in ARCHITECTURES for pair in row.personalities)
    return shown.get(machine, machine)


def of_qemu(name: str) -> Architecture | None:
    """The row whose emulator is qemu-NAME, or None."""
    return next((row for row in ARCHITECTURES if row.qemu == name), None)


def of_identity(bits: int, big_endian: bool, machine: int) -> Architecture | None:
    """The row of a file with this ELF class, byte order and e_machine, or None."""
    identity = (bits, big_endian, machine)
    return next((row for row in ARCHITECTURES if (row.bits, row.big_endian, row.machine) == identity), None)
