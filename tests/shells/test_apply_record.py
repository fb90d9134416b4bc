"""What the apply script writes down of its work, and what it keeps of others, in each shell."""

from __future__ import annotations

import os

import pytest

from provision import paths
from provision.facts.host_record import HEADER, kept, parse_record
from provision.facts.view import MARK
from provision.plan.record import is_ours, plan_tidying, sha256
from provision.plan.steps import RecordLines
from tests.shells import archives, steps
from tests.shells.machine import WITHOUT_APPLETS, Machine

TOML = paths.CONFIG
OURS = f"{MARK} for BuildKit\n"
OLD, NEW = sha256("old\n"), sha256("new\n")


def record(machine: Machine) -> list[str]:
    """The lines of the record below its header."""
    header, *lines = machine.at(paths.RECORD).read_text().splitlines()
    assert header == HEADER
    assert machine.at(paths.RECORD).stat().st_mode & 0o777 == 0o644
    assert machine.listing(paths.OWN) == ["record"]
    return lines


def test_each_thing_that_is_made_is_written_down_once(machine: Machine) -> None:
    machine.fake("groupadd")
    machine.fake("usermod")
    machine.fake("systemctl")
    plan = (
        steps.file(TOML, OURS),
        steps.file("/etc/binfmt.d/deep/er/x.conf", OURS, step="deep"),
        steps.link("/usr/local/bin/buildctl", "/opt/x"),
        steps.group("buildkit"),
        steps.member("ops", "buildkit"),
        steps.service("enable", "buildkit.service"),
    )
    expected = [
        "folder\t/etc/buildkit",
        f"file\t{TOML}\t{sha256(OURS)}",
        "folder\t/etc/binfmt.d",
        "folder\t/etc/binfmt.d/deep",
        "folder\t/etc/binfmt.d/deep/er",
        f"file\t/etc/binfmt.d/deep/er/x.conf\t{sha256(OURS)}",
        "link\t/usr/local/bin/buildctl",
        "group\tbuildkit",
        "member\tbuildkit\tops",
        "enabled\tsystemd\tbuildkit.service",
    ]
    for _ in range(2):
        assert machine.apply(*plan).states == ["done"] * len(plan)
        assert record(machine) == expected
    seen = machine.facts().record
    assert seen == parse_record("\n".join([HEADER, *expected]))
    assert machine.apply(steps.service("disable", "buildkit.service")).states == ["done"]
    assert record(machine) == [line for line in expected if not line.startswith("enabled")]


def test_a_file_has_the_digest_that_it_was_written_with(machine: Machine) -> None:
    for text in (OURS, f"{OURS}more\n"):
        machine.apply(steps.file(TOML, text))
        assert record(machine) == ["folder\t/etc/buildkit", f"file\t{TOML}\t{sha256(text)}"]


def test_what_an_earlier_version_made_is_added(machine: Machine) -> None:
    machine.apply(steps.file(TOML, OURS))
    lines = (f"file\t{TOML}\tffff", "file\t/etc/x y\t00", "link\t/opt/buildkit/current")
    step = RecordLines(id="record", action="write", target=paths.RECORD, lines=lines)
    assert machine.apply(step).states == ["done"]
    assert record(machine) == ["folder\t/etc/buildkit", *lines]


def test_a_release_is_written_down_with_its_folders(machine: Machine) -> None:
    data = archives.plain()
    step = steps.release(paths.release(archives.VERSION, archives.sha256(data)), archives.sha256(data))
    machine.write(f"{paths.CACHE}/{archives.sha256(data)}", data)
    assert machine.apply(step).states == ["done"]
    assert record(machine) == [f"folder\t{paths.RELEASES}", f"release\t{step.folder}"]


def test_somebody_elses_file_is_kept_as_it_was(machine: Machine) -> None:
    theirs = machine.write(TOML, "theirs\n", 0o640)
    os.utime(theirs, (1, 1))
    before = theirs.stat()
    applied = machine.apply(steps.file(TOML, OURS))
    assert (applied.only.status, applied.only.detail) == ("done", f"kept {kept(TOML)}")
    there = machine.at(kept(TOML))
    assert there.read_text() == "theirs\n"
    after = there.stat()
    assert (after.st_ino, after.st_mode, after.st_mtime) == (before.st_ino, before.st_mode, before.st_mtime)
    assert record(machine) == [f"kept\t{TOML}", f"file\t{TOML}\t{sha256(OURS)}"]
    # Ours is not kept.
    assert machine.apply(steps.file(TOML, f"{OURS}more\n")).states == ["done"]
    assert machine.listing("/etc/buildkit") == ["buildkitd.toml", "buildkitd.toml.before-provision"]


def test_what_was_kept_is_never_written_over(machine: Machine) -> None:
    for number in range(3):
        machine.write(TOML, f"theirs {number}\n")
        assert machine.apply(steps.file(TOML, OURS)).states == ["done"]
    texts = [machine.at(f"{kept(TOML)}{end}").read_text() for end in ("", "-2", "-3")]
    assert texts == ["theirs 0\n", "theirs 1\n", "theirs 2\n"]
    assert record(machine)[0] == f"kept\t{TOML}"


def test_somebody_elses_link_is_kept_as_a_link(machine: Machine) -> None:
    machine.at(paths.BUILDCTL).symlink_to("/somewhere")
    for _ in range(2):
        assert machine.apply(steps.link(paths.BUILDCTL, paths.CLIENT)).states == ["done"]
    assert str(machine.at(kept(paths.BUILDCTL)).readlink()) == "/somewhere"
    assert str(machine.at(paths.BUILDCTL).readlink()) == paths.CLIENT
    assert machine.listing("/usr/local/bin") == ["buildctl", "buildctl.before-provision"]


def test_a_file_without_a_mark_is_ours_if_it_is_as_we_left_it(machine: Machine) -> None:
    for text in ("binfmt_misc\n", "binfmt_misc\nmore\n"):
        assert machine.apply(steps.file(paths.MODULES, text)).states == ["done"]
    assert machine.listing("/etc/modules-load.d") == ["binfmt_misc.conf"]
    machine.write(paths.MODULES, "changed by hand\n")
    assert machine.apply(steps.file(paths.MODULES, "binfmt_misc\n")).states == ["done"]
    assert machine.at(kept(paths.MODULES)).read_text() == "changed by hand\n"


@pytest.mark.parametrize("there", ["old", "new"])
def test_a_file_without_a_mark_is_ours_wherever_its_replacement_was_cut(
    machine: Machine, there: str
) -> None:
    digests = f"{NEW}\t{OLD}"
    machine.write(paths.MODULES, f"{there}\n")
    cut = RecordLines(id="r", action="write", target="it", lines=(f"file\t{paths.MODULES}\t{digests}",))
    assert machine.apply(cut, steps.file(paths.MODULES, "new\n")).states == ["done", "done"]
    assert machine.listing("/etc/modules-load.d") == ["binfmt_misc.conf"]
    assert record(machine) == [f"file\t{paths.MODULES}\t{NEW}"]
    facts = machine.facts()
    assert is_ours(facts.files[paths.MODULES], parse_record(f"file\t{paths.MODULES}\t{digests}"))


@WITHOUT_APPLETS
def test_while_one_is_replaced_the_record_has_both_digests(machine: Machine) -> None:
    assert machine.apply(steps.file(paths.MODULES, "old\n")).states == ["done"]
    machine.fake(
        "mv", f'case "$*" in *{paths.MODULES}) cat {paths.RECORD} >/lab/seen ;; esac; /host/bin/mv "$@"'
    )
    assert machine.apply(steps.file(paths.MODULES, "new\n")).states == ["done"]
    assert f"file\t{paths.MODULES}\t{NEW}\t{OLD}\n" in machine.at("/lab/seen").read_text()
    assert record(machine)[-1] == f"file\t{paths.MODULES}\t{NEW}"


def test_what_a_run_that_was_cut_had_kept_is_not_kept_again(machine: Machine) -> None:
    machine.write(TOML, "theirs\n")
    os.link(machine.at(TOML), machine.at(kept(TOML)))
    for path in (paths.BUILDCTL, kept(paths.BUILDCTL)):
        machine.at(path).symlink_to("/somewhere")
    assert machine.apply(steps.file(TOML, OURS), steps.link(paths.BUILDCTL, "/x")).states == ["done", "done"]
    assert machine.at(kept(TOML)).read_text() == "theirs\n"
    assert str(machine.at(kept(paths.BUILDCTL)).readlink()) == "/somewhere"
    assert machine.listing("/etc/buildkit") == ["buildkitd.toml", "buildkitd.toml.before-provision"]
    assert machine.listing("/usr/local/bin") == ["buildctl", "buildctl.before-provision"]


@WITHOUT_APPLETS
def test_somebody_elses_link_is_there_until_ours_is(machine: Machine) -> None:
    machine.at(paths.BUILDCTL).symlink_to("/somewhere")
    machine.fake("mv", f'[ -h {paths.BUILDCTL} ] || echo "$*" >>/lab/away; /host/bin/mv "$@"')
    assert machine.apply(steps.link(paths.BUILDCTL, paths.CLIENT)).states == ["done"]
    assert str(machine.at(kept(paths.BUILDCTL)).readlink()) == "/somewhere"
    assert not machine.at("/lab/away").exists()


def test_no_file_is_touched_where_the_record_cannot_be_written(machine: Machine) -> None:
    machine.write(TOML, OURS)
    machine.open(f"mkdir -p {paths.OWN}; mount -t tmpfs -o size=4k,nr_inodes=1 tmpfs {paths.OWN}")
    applied = machine.apply(steps.file(TOML, f"{OURS}more\n"))
    assert applied.states == ["failed"]
    assert machine.at(TOML).read_text() == OURS
    assert machine.listing("/etc/buildkit") == ["buildkitd.toml"]


INSTALLED = """case $1 in
  -W) while read -r name; do echo "$name installed"; done </lab/installed; echo "gone config-files" ;;
esac"""


@WITHOUT_APPLETS
def test_packages_that_came_are_ours_and_others_are_not(machine: Machine) -> None:
    machine.write("/lab/installed", "base\n")
    machine.fake("dpkg-query", INSTALLED)
    machine.fake("apt-get", "printf 'qemu-user-static\\nlibqemu\\n' >>/lab/installed")
    assert machine.apply(steps.packages("apt-get", "qemu-user-static")).states == ["done"]
    assert record(machine) == ["package\tapt-get\tqemu-user-static", "package\tapt-get\tlibqemu"]


@WITHOUT_APPLETS
@pytest.mark.parametrize("exit_code", [0, 100])
def test_packages_of_a_run_that_was_cut_are_written_down_by_the_next(
    machine: Machine, exit_code: int
) -> None:
    machine.write("/lab/installed", "base\nqemu-user-static\n")
    machine.write(f"{paths.OWN}/packages-before", "apt-get\nbase\n")
    machine.fake("dpkg-query", INSTALLED)
    machine.fake("apt-get", f"exit {exit_code}")
    machine.apply(steps.packages("apt-get", "qemu-user-static"))
    assert record(machine) == ["package\tapt-get\tqemu-user-static"]


@WITHOUT_APPLETS
@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_dpkg_had_begun_in_a_run_that_was_cut_is_concluded(machine: Machine, state: str) -> None:
    machine.write("/lab/installed", "base\nqemu-user-static\n")
    machine.write(f"{paths.OWN}/packages-before", "apt-get\nbase\n")
    machine.fake("dpkg-query", INSTALLED)
    machine.fake("dpkg", "" if state == "done" else "echo 'dpkg: error: lock is held' >&2; exit 2")
    (tidy,) = plan_tidying(machine.facts())
    assert machine.apply(tidy).states == [state]
    assert machine.calls()[0][-2:] == ["--configure", "-a"]
    assert machine.at(f"{paths.OWN}/packages-before").exists() == (state == "failed")


@WITHOUT_APPLETS
def test_where_nobody_lists_packages_none_is_ours(machine: Machine) -> None:
    machine.fake("apt-get")
    assert machine.apply(steps.packages("apt-get", "qemu-user-static")).states == ["done"]
    assert not machine.at(paths.RECORD).exists()
