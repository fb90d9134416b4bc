"""Which process is a build's, and for which platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision import binfmt, elf
from provision.architectures import of_platform
from provision.binfmt import Entry
from provision.commands.top import emulated, handlers
from provision.report import Report, Style, output
from provision.result import HostResult, Process

QEMU = "/usr/bin/qemu-aarch64-static"
ENTRY = binfmt.handler(of_platform("arm64"), QEMU, "PF")
PLAIN = binfmt.handler(of_platform("arm64"), QEMU, "F")


@pytest.mark.parametrize(
    ("program", "argv", "entries", "expected"),
    [
        (QEMU, [QEMU, "/bin/sh", "sh", "-c", "ls"], [ENTRY], ("linux/arm64", "/bin/sh -c ls")),
        (QEMU, [QEMU, "/bin/sh", "-c", "ls"], [PLAIN], ("linux/arm64", "/bin/sh -c ls")),
        # No entry can be read: the name tells, and what looks like argv[0] is one.
        (QEMU, [QEMU, "/bin/sh", "sh", "-c"], [], ("linux/arm64", "/bin/sh -c")),
        (QEMU, [QEMU, "/bin/sh", "-c"], [], ("linux/arm64", "/bin/sh -c")),
        ("/opt/run-arm", ["/opt/run-arm", "/a"], [], None),
        ("/usr/bin/qemu-sparc", ["qemu-sparc", "/a"], [], ("sparc", "/a")),
        ("/usr/libexec/qemu-binfmt/s390x-binfmt-P", ["x", "/bin/sh", "sh"], [], ("linux/s390x", "/bin/sh")),
        (
            "/opt/bin/buildkit-qemu-riscv64",
            ["x", "-0", "sh", "/bin/sh", "-c"],
            [],
            ("linux/riscv64", "/bin/sh -c"),
        ),
        ("/usr/bin/qemu-system-x86_64", ["qemu-system-x86_64", "-m", "1G"], [], None),
        (
            "/usr/bin/python3.12",
            ["python3.12", "/a.py"],
            [Entry(name="py", interpreter="/usr/bin/python3.12", magic=b"\xcb\r\r\n")],
            None,
        ),
        ("/bin/sh", ["sh"], [ENTRY], None),
    ],
)
def test_who_is_emulated(
    program: str, argv: list[str], entries: list[Entry], expected: tuple[str, str] | None
) -> None:
    assert emulated(program, argv, entries) == expected


def test_buildkits_own_emulator_is_told_by_its_guest(tmp_path: Path) -> None:
    """In a build step it has one name for every architecture."""
    program = "/dev/.buildkit_qemu_emulator"
    (tmp_path / "app").write_bytes(elf.probe(of_platform("s390x")))
    assert emulated(program, [program, "/app", "x"], [], tmp_path) == ("linux/s390x", "/app x")
    assert emulated(program, [program, "/gone"], [], tmp_path) == ("unknown", "/gone")
    assert emulated(program, [program], [], tmp_path) == ("unknown", "")


def test_no_table_is_no_handler(tmp_path: Path) -> None:
    assert handlers(tmp_path) == ()
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "qemu-x").write_text("enabled\ninterpreter /q\nflags: F\noffset 0\nmagic 7f45\n")
    (tmp_path / "strange").write_text("nonsense")
    assert [entry.name for entry in handlers(tmp_path)] == ["qemu-x"]


def test_the_table_has_a_total_per_platform(capsys: pytest.CaptureFixture[str]) -> None:
    found = (
        Process(pid=7, platform="linux/arm64", command="/bin/sh -c\nmake", cpu=150.4, memory=3 << 20),
        Process(pid=8, platform="linux/arm64", command="cc1", cpu=49.6, memory=1 << 20),
        Process(pid=1, platform=None, command="buildkitd", cpu=0.0, memory=50 << 20),
    )
    report = Report(command="top", hosts=(HostResult(host="h", status="ok", processes=found),))
    assert output(report, Style.of("table")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["linux/arm64", "2", "200%", "4", "MiB"] in lines
    assert ["7", "linux/arm64", "150%", "3", "MiB", "/bin/sh", "-c", "make"] in lines
