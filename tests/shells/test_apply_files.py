"""What the apply script does to files and links, in each shell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision import paths
from tests.shells import steps
from tests.shells.machine import WITHOUT_APPLETS, Machine

TOML = "/etc/buildkit/buildkitd.toml"
BUILDCTL = "/usr/local/bin/buildctl"

CONTENTS = (
    "",
    "one line\n",
    "no newline at the end",
    "\n\n\n",
    "a\n\n",
    "END-0123456789abcdef\nEOF\n'\nEND-OF-PATHS\n",
    "$(touch /lab/pwned)\n`touch /lab/pwned`\n${HOME} $work $1 \\$x\n",
    "'; touch /lab/pwned; '\"\n' \"'\"' \\' \\\\n \\0 \\000 %s %d\n",
    "\ttab\r\n\x01\x1b[31m \x7f é ☃ \udce9\n",
    "-n\n--\n-rf /\n",
    "x" * 200_000 + "\n",
)


def test_a_file_gets_exactly_its_content(machine: Machine) -> None:
    made = [steps.file(f"/etc/new/{n}", text, step=f"file-{n}") for n, text in enumerate(CONTENTS)]
    applied = machine.apply(*made)
    assert applied.states == ["done"] * len(CONTENTS)
    for n, text in enumerate(CONTENTS):
        assert machine.at(f"/etc/new/{n}").read_bytes() == text.encode("utf-8", "surrogateescape"), n
    assert machine.listing("/etc/new") == sorted(map(str, range(len(CONTENTS))))
    assert not machine.at("/lab/pwned").exists()


@pytest.mark.parametrize("mode", ["0644", "0600", "0755"])
def test_mode_and_owner_are_set_whatever_was_there(machine: Machine, mode: str) -> None:
    machine.write(TOML, "old", 0o4777)
    assert machine.apply(steps.file(TOML, "new\n", mode=mode)).states == ["done"]
    status = machine.at(TOML).stat()
    assert (f"{status.st_mode & 0o7777:04o}", status.st_uid, status.st_gid) == (
        mode,
        os.getuid(),
        os.getgid(),
    )


def test_a_file_is_replaced_by_renaming(machine: Machine) -> None:
    old = machine.write(TOML, "old\n")
    (machine.root / "lab/held").hardlink_to(old)
    machine.apply(steps.file(TOML, "new\n"))
    assert old.read_text() == "new\n"
    # Whoever had it open reads on in the old one.
    assert machine.at("/lab/held").read_text() == "old\n"


def test_a_link_is_replaced_and_what_it_named_is_not_written_to(machine: Machine) -> None:
    machine.write("/lab/elsewhere", "mine\n")
    machine.at("/etc/buildkit").mkdir()
    machine.at(TOML).symlink_to("/lab/elsewhere")
    assert machine.apply(steps.file(TOML, "new\n")).states == ["done"]
    assert not machine.at(TOML).is_symlink()
    assert (machine.at(TOML).read_text(), machine.at("/lab/elsewhere").read_text()) == ("new\n", "mine\n")


def test_a_folder_in_the_place_of_a_file_is_a_failure(machine: Machine) -> None:
    machine.at(TOML).mkdir(parents=True)
    applied = machine.apply(steps.file(TOML, "new\n"))
    assert applied.only.status == "failed"
    assert TOML in applied.only.detail
    assert machine.listing(TOML) == []


def test_a_file_in_the_place_of_its_folder_is_a_failure(machine: Machine) -> None:
    machine.write("/etc/buildkit", "a file\n")
    applied = machine.apply(steps.file(TOML, "new\n"))
    assert applied.only.status == "failed"
    assert "/etc/buildkit" in applied.only.detail
    assert machine.at("/etc/buildkit").read_text() == "a file\n"


def test_when_the_disk_is_full_the_old_file_stays(machine: Machine) -> None:
    machine.at("/etc/buildkit").mkdir()
    machine.open("mount -t tmpfs -o size=64k tmpfs /etc/buildkit; echo old >/etc/buildkit/buildkitd.toml")
    applied = machine.apply(steps.file(TOML, "x" * 100_000))
    assert applied.only.status == "failed"
    assert "No space left on device" in applied.only.detail
    assert machine.space.run("ls -A /etc/buildkit; cat /etc/buildkit/*") == "buildkitd.toml\nold"


def test_a_link_is_switched_and_what_it_named_stays(machine: Machine) -> None:
    machine.write("/opt/buildkit/v1/bin/buildkitd", "one")
    machine.write("/opt/buildkit/v2/bin/buildkitd", "two")
    current = machine.at("/opt/buildkit/current")
    for version in ("v1", "v2", "v2"):
        applied = machine.apply(steps.link("/opt/buildkit/current", f"/opt/buildkit/{version}"))
        assert applied.states == ["done"]
        assert str(current.readlink()) == f"/opt/buildkit/{version}"
    # Nothing was moved into the folder that the former link named.
    assert machine.listing("/opt/buildkit") == ["current", "v1", "v2"]
    assert machine.listing("/opt/buildkit/v1") == machine.listing("/opt/buildkit/v2") == ["bin"]


def test_a_link_that_leads_nowhere_is_replaced(machine: Machine) -> None:
    for target in ("/nowhere", "/opt/buildkit/current/bin/buildctl"):
        assert machine.apply(steps.link(BUILDCTL, target)).states == ["done"]
        assert str(machine.at(BUILDCTL).readlink()) == target
    assert machine.listing("/usr/local/bin") == ["buildctl"]


def test_somebody_elses_program_is_kept_beside_the_link(machine: Machine) -> None:
    machine.write(BUILDCTL, "theirs", 0o755)
    assert machine.apply(steps.link(BUILDCTL, "/opt/x")).states == ["done"]
    assert str(machine.at(BUILDCTL).readlink()) == "/opt/x"
    assert machine.at(f"{BUILDCTL}.before-provision").read_text() == "theirs"


@WITHOUT_APPLETS
def test_a_link_that_cannot_be_made_leaves_what_was_there(machine: Machine) -> None:
    machine.write(BUILDCTL, "theirs", 0o755)
    full = "echo 'ln: No space left on device' >&2; exit 1"
    machine.fake("ln", f'case $* in *{paths.RUN_QUEUE}*) exec /host/bin/ln "$@" ;; esac; {full}')
    applied = machine.apply(steps.link(BUILDCTL, "/opt/x"))
    assert (applied.only.status, applied.only.detail.split("\n")[0]) == (
        "failed",
        "ln: No space left on device",
    )
    assert machine.at(BUILDCTL).read_text() == "theirs"
    assert machine.listing("/usr/local/bin") == ["buildctl"]


OLD_MV = """
case $1 in *T*) echo "mv: invalid option" >&2; exit 1 ;; esac
[ ! -e /lab/there ] || [ -h /opt/current ] || echo "$*" >>/lab/away
MV "$@" || exit
[ ! -h /opt/current ] || : >/lab/there
"""


@WITHOUT_APPLETS
@pytest.mark.parametrize("real", ["/host/bin/mv", "/host/bin/busybox mv"])
def test_an_old_mv_that_knows_no_target_option(machine: Machine, real: str) -> None:
    """Before 1.33 busybox's mv had no -T. The link is there at any moment all the same."""
    machine.fake("mv", OLD_MV.replace("MV", real))
    for version in ("v1", "v2"):
        machine.at(f"/opt/{version}").mkdir()
        assert machine.apply(steps.link("/opt/current", f"/opt/{version}")).states == ["done"]
        assert str(machine.at("/opt/current").readlink()) == f"/opt/{version}"
    assert machine.listing("/opt") == ["current", "v1", "v2"]
    assert machine.calls()[0][0] == "mv"
    assert machine.at("/lab/there").exists()
    assert not machine.at("/lab/away").exists()


def test_a_rule_is_its_header_and_one_line(machine: Machine) -> None:
    line = r":qemu-x:M::\x7fELF\x02:\xff\xff%s$(id):/usr/bin/it's a `qemu`:PF"
    applied = machine.apply(steps.rule("/etc/binfmt.d/qemu-x.conf", line, header="# one\n# two $(id)\n"))
    assert applied.states == ["done"]
    assert machine.at("/etc/binfmt.d/qemu-x.conf").read_text() == f"# one\n# two $(id)\n{line}\n"


def test_a_rule_without_its_handler_is_not_written(machine: Machine) -> None:
    applied = machine.apply(steps.rule("/etc/binfmt.d/qemu-x.conf", ":x:", follows=True))
    assert (applied.only.status, applied.only.detail) == ("skipped", "its handler is not there")
    assert not machine.at("/etc/binfmt.d").exists()


def test_nothing_can_be_written_outside_of_the_folder(machine: Machine, tmp_path: Path) -> None:
    """What all the other tests rely on."""
    outside = tmp_path / "outside"
    answer = machine.space.ask(f"mkdir /host{outside} /host/etc/provision-was-here", timeout=10)
    assert answer.stderr.count("Read-only file system") == 2
    assert not outside.exists()
