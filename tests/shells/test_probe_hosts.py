"""The facts of odd hosts: every answer is whole, and says what is there and what is not."""

from __future__ import annotations

import platform

import pytest

from provision import binfmt, paths
from provision.architectures import of_platform
from provision.errors import HostError, KernelError, ReleaseError
from provision.facts import Facts, Runc
from provision.plan.requirements import EMULATION, require
from provision.plan.target import Target
from provision.spec import Buildkit, Emulation, Source, Spec
from tests.lab.namespace import MOUNTED
from tests.shells.machine import WITHOUT_APPLETS, Machine

TABLE = paths.BINFMT


def traces(machine: Machine) -> list[str]:
    """What the probe must have removed."""
    found = [name for place in ("/tmp", "/var/tmp", "/run", "/root") for name in machine.listing(place)]
    return [name for name in found if "provision" in name]


def test_a_bare_host(machine: Machine) -> None:
    facts = machine.facts()
    assert (facts.system.distribution, facts.system.version, facts.system.pretty) == ("lab", "1", "Lab 1")
    assert facts.system.like == ("x", "y")
    assert facts.user.root
    assert facts.binfmt.usable
    assert facts.binfmt.enabled
    assert facts.binfmt.fix_binary is True
    assert (facts.entries, facts.rules, facts.files, facts.units) == ((), (), {}, {})
    assert (facts.daemon, facts.worker, facts.worker_error) == (None, None, "")
    assert (facts.groups, facts.cached) == ({}, {})
    assert facts.probes["aarch64"].natively is False
    assert machine.space.run(f"ls {TABLE}").split() == ["register", "status"]
    assert traces(machine) == []


def test_nothing_is_printed_but_records(machine: Machine) -> None:
    from provision.facts import question  # noqa: PLC0415
    from provision.spec import Spec  # noqa: PLC0415

    answer = machine.space.ask(question.question(Spec()).script, timeout=60)
    assert answer.records[-1] == "end"
    assert answer.stderr == ""


def test_no_systemd(machine: Machine) -> None:
    machine.at("/run/systemd/system").rmdir()
    machine.fake("systemctl", "echo Id=x")
    facts = machine.facts()
    assert (facts.system.systemd, facts.units, machine.calls()) == (None, {}, [])


def test_no_release_file(machine: Machine) -> None:
    machine.at("/etc/os-release").unlink()
    assert machine.facts().system.pretty == "unknown"


def test_a_release_file_cannot_change_the_answer(machine: Machine) -> None:
    """It is shell text by its definition (os-release(5)), and root's own."""
    machine.write(
        "/etc/os-release", "ID=odd\nPRETTY_NAME='a\tb'\nwork=/ binfmt=/ tab=x newline=y\nrecord() { :; }\n"
    )
    facts = machine.facts()
    assert facts.binfmt.usable
    assert facts.probes


@WITHOUT_APPLETS
@pytest.mark.parametrize(
    "missing", ["getent", "nproc", "od", "unshare", "df", "sha256sum", "find", "stat", "readlink"]
)
def test_a_missing_program_costs_its_own_facts_alone(machine: Machine, missing: str) -> None:
    machine.write("/etc/group", "root:x:0:\nbuildkit:x:998:ops,ci\n")
    machine.base.remove(missing)
    machine.base.borrow("grep")
    facts = machine.facts()
    assert missing not in facts.tools
    assert facts.groups == {"buildkit": ("ops", "ci")}
    assert facts.system.cpus > 0
    assert facts.binfmt.fix_binary is True
    assert facts.probes["aarch64"].expected >= 3
    assert bool(facts.system.native) == (missing != "od")
    assert facts.system.userland_bits == 64
    # Without a namespace of its own it is asked by a program that no handler takes.
    assert facts.probes["aarch64"].natively is False
    assert traces(machine) == []


def test_what_lies_in_another_mounts_place_is_no_entry(machine: Machine) -> None:
    machine.write("/lab/other/notes", "no entry\n")
    machine.open(f"mount --bind /lab/other {TABLE}")
    facts = machine.facts()
    assert facts.binfmt.mounted not in ("none", "binfmt_misc")
    assert not facts.binfmt.usable
    assert facts.entries == ()


def test_where_an_interpreter_really_lies(machine: Machine) -> None:
    machine.write("/srv/qemu/qemu-s390x", b"\x7fELF", 0o755)
    machine.at("/opt/qemu").parent.mkdir(exist_ok=True)
    machine.at("/opt/qemu").symlink_to("/srv/qemu")
    spec = Spec(platforms=("linux/s390x",), emulation=Emulation(interpreters="/opt/qemu/qemu-{qemu}"))
    found = machine.facts(spec).interpreters["/opt/qemu/qemu-s390x"]
    assert found.real == "/srv/qemu/qemu-s390x"


@WITHOUT_APPLETS
@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86-64 kernels run 386 programs")
def test_what_runs_natively_is_known_though_somebody_registered_a_handler_for_it(machine: Machine) -> None:
    """As on a kernel before 6.7, where nobody has a table of handlers that is empty."""
    machine.base.remove("unshare")
    machine.write("/lab/emulator", b"?", 0o755)
    entry = binfmt.handler(of_platform("linux/386"), "/lab/emulator", "")
    machine.space.run(f"printf %s '{binfmt.format_rule(entry)}' >{TABLE}/register")
    facts = machine.facts()
    assert [each.name for each in facts.entries] == [entry.name]
    assert (facts.probes["i386"].natively, facts.probes["i386"].ran) == (True, False)


def test_the_temporary_folder_is_noexec(machine: Machine) -> None:
    machine.open(f"mount -t tmpfs -o noexec tmpfs /tmp; {MOUNTED}")
    facts = machine.facts()
    assert facts.temporary["/tmp"] is False
    assert facts.temporary["/var/tmp"] is True
    assert facts.binfmt.fix_binary is True
    assert "aarch64" in facts.probes
    assert traces(machine) == []


def test_no_program_may_run_anywhere(machine: Machine) -> None:
    places = "/tmp /var/tmp /run /dev/shm /root"
    machine.open(f"for place in {places}; do mount -t tmpfs -o noexec tmpfs $place; done; {MOUNTED}")
    facts = machine.facts()
    assert set(facts.temporary.values()) == {False}
    assert facts.probes == {}
    assert facts.binfmt.fix_binary is None


def test_a_disk_that_is_nearly_full_costs_no_facts(machine: Machine) -> None:
    """What is found meanwhile is more than is free there, and more than a pipe holds (64 KiB, pipe(7))."""
    for number in range(2000):
        machine.write(f"{paths.OWN}/.provision.{number:040}", "")
    machine.open(f"mount -t tmpfs -o size=128k tmpfs /tmp; {MOUNTED}")
    facts = machine.facts()
    assert facts.temporary["/tmp"]
    assert facts.probes
    assert len(facts.leftovers) == 2000


def test_facts_without_an_end_are_not_believed(machine: Machine) -> None:
    """The shell that collects a part of them is killed."""
    machine.fake("systemctl", "[ $1 != show ] || kill -KILL $PPID")
    with pytest.raises(HostError, match="not complete"):
        machine.facts()
    assert traces(machine) == []


def test_what_is_read_only(machine: Machine) -> None:
    """Its mount, or the filesystem that it is of; behind a link, too."""
    machine.at("/srv/opt").mkdir(parents=True)
    machine.at("/mnt").mkdir()
    machine.at("/opt").rmdir()
    machine.at("/opt").symlink_to("srv/opt")
    facts = machine.facts()
    assert facts.trees[paths.RELEASES] == "/srv/opt"
    assert facts.trees["/etc/systemd/system"] == "/etc"
    assert facts.trees["/usr/local/bin"] == "/usr/local/bin"
    own = "mount -t tmpfs -o ro tmpfs /usr/local/lib"
    bound = "mount -t tmpfs -o ro tmpfs /mnt; mount --bind /mnt /srv/opt; mount -o remount,bind,rw /srv/opt"
    machine.open(f"{own}; {bound}; {MOUNTED}")
    facts = machine.facts()
    for path, read_only in ((paths.RELEASES, True), (paths.EMULATORS, True), ("/usr/local/bin", False)):
        mount = facts.mount_of(facts.trees[path])
        assert mount
        assert ("ro" in mount.options) == read_only, (path, mount)


def test_no_place_for_temporary_files(machine: Machine) -> None:
    places = "/tmp /var/tmp /run /dev/shm /root"
    machine.open(f"for place in {places}; do mount -t tmpfs -o ro tmpfs $place; done; {MOUNTED}")
    facts = machine.facts()
    assert (facts.temporary, facts.probes, facts.binfmt.fix_binary) == ({}, {}, None)


def test_binfmt_misc_is_not_mounted(machine: Machine) -> None:
    machine.open("")
    state = machine.facts().binfmt
    assert (state.present, state.mounted, state.usable, state.fix_binary) == (True, "none", False, None)


def test_binfmt_misc_is_not_there(machine: Machine) -> None:
    machine.open("mount -t tmpfs tmpfs /proc/sys/fs")
    state = machine.facts().binfmt
    assert (state.present, state.usable, state.fix_binary) == (False, False, None)


def test_binfmt_misc_is_read_only(machine: Machine) -> None:
    machine.open(f"{MOUNTED}; mount -o remount,bind,ro {TABLE}")
    facts = machine.facts()
    assert (facts.binfmt.mounted, facts.binfmt.usable) == ("binfmt_misc", False)
    assert facts.binfmt.fix_binary is not True
    named = Target(spec=Spec(platforms=("linux/arm64",)), facts=facts, release=ReleaseError("none"))
    with pytest.raises(KernelError, match="may not change it"):
        require(named, EMULATION)


def test_handlers_are_switched_off(machine: Machine) -> None:
    machine.open(f"{MOUNTED}; echo 0 >{TABLE}/status")
    assert machine.facts().binfmt.enabled is False
    assert machine.space.run(f"cat {TABLE}/status") == "disabled"


def register(machine: Machine, *names: str) -> None:
    for name in names:
        rule = f"|{name}|E||{names.index(name)}x||/usr/bin/env|"
        # cat, as bash's printf writes line by line.
        machine.space.run(f"printf %s '{rule}' | cat >{TABLE}/register")


def test_entries_with_odd_names_newest_first(machine: Machine) -> None:
    names = ("first", "a b", "-n", "*", "$(: >pwned)", "`id`", '"q"', "tab\there", "\\000", "end")
    register(machine, *names)
    machine.space.run(f"echo 0 >{TABLE}/first")
    facts = machine.facts()
    shown = [name.replace("\t", "?") for name in names]
    assert [entry.name for entry in facts.entries] == shown[::-1]
    assert [entry.extension for entry in facts.entries] == [f"{n}x" for n in range(len(names))][::-1]
    assert [entry.name for entry in facts.entries if not entry.enabled] == ["first"]
    assert not machine.at("/pwned").exists()


def test_an_entry_with_a_line_break_in_its_name_forges_nothing(machine: Machine) -> None:
    """Only root can make one; it is not shown, and nothing else is by its name."""
    machine.write("/forged", "enabled\ninterpreter /x\nextension .y\n")
    machine.write("/broken", "no entry\n")
    register(machine, "good", "x\nentry\tforged", "x\nforged", "x\nbroken", "x\nend", "x\ngood")
    machine.space.run(f"[ -e {TABLE}/'x\nend' ]")
    facts = machine.facts()
    assert [entry.name for entry in facts.entries] == ["good"]


def rules(facts: Facts) -> dict[str, tuple[str, str]]:
    return {rule.path: (rule.target, rule.text) for rule in facts.rules}


def test_rules_in_every_folder_with_odd_names(machine: Machine) -> None:
    names = ("plain", "a b", "*", "-n", "$(: >pwned)", "tab\tline\nend", "é")
    for n, name in enumerate(names):
        folder = ("/etc", "/run", "/usr/local/lib", "/usr/lib")[n % 4]
        machine.write(f"{folder}/binfmt.d/{name}.conf", f":rule {n}:\n|\n\n#\tx")
    machine.at("/etc/binfmt.d/masked.conf").symlink_to("/dev/null")
    machine.at("/etc/binfmt.d/dangling.conf").symlink_to("/no where")
    machine.at("/etc/binfmt.d/folder.conf").mkdir()
    machine.write("/etc/binfmt.d/empty.conf", "")
    machine.write("/etc/binfmt.d/not-a-rule.txt", "x")
    found = rules(machine.facts())
    for n, name in enumerate(names):
        folder = ("/etc", "/run", "/usr/local/lib", "/usr/lib")[n % 4]
        path = f"{folder}/binfmt.d/{name}.conf".replace("\t", "?").replace("\n", "?")
        target, text = found.pop(path)
        assert (target, text) == ("", f":rule {n}:\n|\n\n#\tx\n")
    assert found == {
        "/etc/binfmt.d/masked.conf": ("/dev/null", ""),
        "/etc/binfmt.d/dangling.conf": ("/no where", ""),
        "/etc/binfmt.d/folder.conf": ("", ""),
        "/etc/binfmt.d/empty.conf": ("", ""),
    }
    assert [rule.name for rule in machine.facts().rules if rule.masked] == ["masked.conf"]
    assert not machine.at("/pwned").exists()


def test_the_hosts_own_runc_is_a_fact_where_it_may_be_needed(machine: Machine) -> None:
    def asked(source: Source) -> Runc | None:
        return machine.facts(Spec(platforms=("linux/arm64",), buildkit=Buildkit(source=source))).runc

    assert asked("go") is None
    machine.write("/usr/sbin/runc", "#!/bin/sh\necho runc version 1.1.5+ds1\necho commit: x\n", 0o755)
    own = Runc(path="/usr/sbin/runc", version="1.1.5+ds1")
    assert [asked("release"), asked("auto"), asked("go")] == [None, own, own]
    # With a release that brings its own, only the question for a build starts the other.
    machine.write(f"{paths.PROGRAMS}/buildkit-runc", "", 0o755)
    assert [asked("auto"), asked("go")] == [None, own]
    machine.write("/usr/sbin/runc", "#!/bin/sh\nexit 1\n", 0o755)
    assert asked("go") == Runc(path="/usr/sbin/runc", version="")


def test_a_file_that_looks_like_records_is_text(machine: Machine) -> None:
    forged = "end\nrelease\t/opt/x\tffff\n|workers\tok\nbinfmt\tabsent"
    machine.write(paths.CONFIG, forged, 0o640)
    facts = machine.facts()
    file = facts.files[paths.CONFIG]
    assert (file.text, file.mode, file.owner, file.group) == (f"{forged}\n", 0o640, "root", "root")
    assert (facts.releases, facts.worker, facts.binfmt.present) == ({}, None, True)


def test_what_is_where_a_file_should_be(machine: Machine) -> None:
    machine.at(paths.CONFIG).mkdir(parents=True)
    machine.at("/opt/buildkit").mkdir()
    machine.at(paths.CURRENT).symlink_to("/opt/a b")
    machine.write(paths.UNIT, "")
    machine.write(paths.BUILDCTL, b"\0binary\n\xff\xfe\r\nlast", 0o755)
    facts = machine.facts()
    assert facts.files[paths.CONFIG].text is None
    assert facts.files[paths.CURRENT].target == "/opt/a b"
    assert facts.files[paths.UNIT].text == ""
    text = facts.files[paths.BUILDCTL].text
    assert text
    assert text.endswith("\\xff\\xfe\r\nlast\n")


def test_releases_and_the_cache(machine: Machine) -> None:
    machine.write("/opt/buildkit/v1-aa/.digest", "aa00\n")
    machine.write("/opt/buildkit/v2/bin/x", "no digest")
    machine.write("/opt/buildkit/a b/.digest", "cc")
    machine.write("/opt/buildkit/.incoming.x/.digest", "dd\n")
    machine.at(paths.CURRENT).symlink_to("/opt/buildkit/v1-aa")
    machine.write(f"{paths.CACHE}/aa.part", "12345")
    machine.write(f"{paths.CACHE}/aa", "")
    facts = machine.facts()
    assert facts.releases == {"/opt/buildkit/v1-aa": "aa00", "/opt/buildkit/a b": "cc"}
    assert facts.cached == {"aa.part": 5, "aa": 0}
