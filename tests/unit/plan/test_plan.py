"""Spec × Facts → Plan, on recorded hosts: each decision with the facts that call for it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from provision import binfmt, elf, paths
from provision.architectures import ARCHITECTURES, of_qemu
from provision.binfmt import Entry
from provision.buildkit.digest import Digest
from provision.errors import HostError, KernelError
from provision.facts import Disk, Facts, File, Mount, Unit
from provision.facts.basis import Damage, Place
from provision.facts.interpreters import unfit
from provision.facts.kernel import version
from provision.facts.packages import MANAGERS
from provision.health.platforms import unmet
from provision.plan.handlers import flag_choices
from provision.plan.replacement import restart_reason
from provision.plan.steps import (
    InstallPackages,
    MakeLink,
    RegisterHandler,
    StartDaemon,
    UnpackRelease,
    WriteFile,
    WriteRule,
)
from provision.plan.target import release_folder
from provision.spec import Emulation, Spec
from tests.unit import recorded
from tests.unit.recorded import (
    COUNT,
    DIGEST,
    RELEASE,
    SPEC,
    buildkit,
    facts,
    ids,
    planned,
    settled,
    with_interpreter,
    with_probe,
    with_worker,
    without_arm64,
)

AARCH64 = "/usr/bin/qemu-aarch64-static"
BARE = facts("bare")
SETTLED = settled()


def of(seen: Facts, kind: type, spec: Spec = SPEC) -> list[object]:
    return [step for step in planned(seen, spec).steps if isinstance(step, kind)]


def arm64(seen: Facts, **changes: object) -> Facts:
    """The facts with another entry qemu-aarch64."""
    entries = tuple(replace(e, **changes) if e.name == "qemu-aarch64" else e for e in seen.entries)  # type: ignore[arg-type]
    return replace(seen, entries=entries)


# -- the whole -------------------------------------------------------------------------------------


def test_a_bare_host_gets_everything_in_order() -> None:
    assert ids(planned(BARE)) == [
        *("packages", "binfmt-mount", "binfmt-boot"),
        *("handler-aarch64", "rule-aarch64", "handler-arm", "rule-arm"),
        *("group", "release", "buildkit-config", "buildkit-tmpfiles", "buildkit-unit"),
        *("release-link", "buildctl-link", "service-start", "service-enable"),
    ]


def test_a_settled_host_gets_nothing() -> None:
    assert planned(SETTLED).steps == ()


# -- the kernel ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "numbers"),
    [
        ("4.9.0-19-amd64", (4, 9)),
        ("5.15.153.1-microsoft-standard-WSL2", (5, 15)),
        ("6.6.51+rpt-rpi-v8", (6, 6)),
        ("6.18.44-fc-v657", (6, 18)),
        ("4.8.0-rc1", (4, 8)),
        ("2.6.78", (2, 6)),
        ("", (0, 0)),
    ],
)
def test_kernel_versions_of_real_systems(release: str, numbers: tuple[int, int]) -> None:
    assert version(release) == numbers


@pytest.mark.parametrize("release", ["4.7.10", "3.10.0-1160.el7.x86_64", "2.6.78"])
def test_an_old_kernel_is_refused(release: str) -> None:
    with pytest.raises(KernelError, match=re.escape(release)):
        planned(replace(BARE, system=replace(BARE.system, kernel=release)))


def test_a_kernel_that_says_it_can_and_cannot_is_refused() -> None:
    seen = replace(SETTLED, binfmt=replace(SETTLED.binfmt, fix_binary=False, trial_error="Invalid argument"))
    with pytest.raises(KernelError, match="Invalid argument"):
        planned(seen)


def test_a_read_only_table_is_refused() -> None:
    with pytest.raises(KernelError, match="read-only"):
        planned(replace(SETTLED, binfmt=replace(SETTLED.binfmt, options=frozenset({"ro"}))))


# -- binfmt_misc -----------------------------------------------------------------------------------


def test_a_loader_that_refuses_to_start_in_a_container_is_made_to() -> None:
    seen = replace(
        BARE, binfmt=replace(BARE.binfmt, loader_refuses="ConditionPathIsReadWrite=/proc/sys (/lib/x)")
    )
    (step,) = (each for each in planned(seen).steps if each.id == "binfmt-loader")
    assert (step.action, step.target) == ("create", paths.LOADER)
    assert "+ConditionPathIsReadWrite=\n" in f"{step.detail}\n"
    assert "binfmt-loader" not in ids(planned(BARE))


def test_a_module_that_is_not_loaded_is_loaded_now_and_at_boot() -> None:
    seen = replace(BARE, binfmt=replace(BARE.binfmt, present=False))
    assert ids(planned(seen))[:4] == ["packages", "binfmt-mount", "module", "binfmt-boot"]


@pytest.mark.parametrize(("state", "needed"), [("static", False), ("masked", True)])
def test_an_active_automount_needs_no_mount_at_boot_unless_it_is_the_last(state: str, needed: bool) -> None:
    unit = Unit(active="active", file_state=state)
    units = {**BARE.units, "proc-sys-fs-binfmt_misc.automount": unit}
    assert ("binfmt-boot" in ids(planned(replace(BARE, units=units)))) == needed


def test_a_disabled_table_is_enabled() -> None:
    assert ids(planned(replace(SETTLED, binfmt=replace(SETTLED.binfmt, enabled=False)))) == ["binfmt-enable"]


# -- handlers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"flags": "P"},
        {"flags": "POCF"},
        {"enabled": False},
        {"interpreter": "/usr/libexec/qemu-binfmt/aarch64-binfmt-P"},
        {"mask": b"\xff" * 20},
    ],
    ids=["no F", "C unasked", "disabled", "other interpreter", "other mask"],
)
def test_a_wrong_handler_is_replaced(changes: dict[str, object]) -> None:
    made = planned(arm64(SETTLED, **changes))
    # The daemon lists its platform: a restart would end builds for nothing.
    assert ids(made) == ["handler-aarch64", "rule-aarch64"]
    assert made.steps[0].action == "replace"


def test_the_flag_p_is_left_to_the_probe() -> None:
    made = planned(arm64(SETTLED, flags="F"))
    # It works without P; only the file is written with what works.
    assert ids(made) == ["rule-aarch64"]
    (rule,) = made.steps
    assert isinstance(rule, WriteRule)
    assert rule.line.endswith(":F")


@pytest.mark.parametrize("status", [41, 43, 127, 139], ids=["shifted", "shifted up", "not found", "crashed"])
def test_a_handler_whose_probe_fails_is_replaced(status: int) -> None:
    assert "handler-aarch64" in ids(planned(with_probe(SETTLED, "aarch64", status=status)))


def test_an_emulator_that_was_replaced_is_registered_anew_and_said() -> None:
    """Also where the handler names a link, and that leads to another file now: what is run is at its old path."""
    made = planned(with_interpreter(SETTLED, AARCH64, identity="1:2"))
    assert ids(made) == ["handler-aarch64", "rule-aarch64"]
    assert "replaced since" in made.steps[0].detail


def test_a_newer_entry_for_the_same_programs_is_overtaken_and_said() -> None:
    arch = of_qemu("aarch64")
    assert arch
    rosetta = replace(binfmt.handler(arch, "/rosetta", "F"), name="rosetta")
    made = planned(replace(SETTLED, entries=(rosetta, *SETTLED.entries)))
    assert "handler-aarch64" in ids(made)
    assert any("rosetta" in note and "left as it is" in note for note in made.notes)


def test_an_older_entry_for_the_same_programs_changes_nothing_and_is_said() -> None:
    arch = of_qemu("aarch64")
    assert arch
    old = replace(binfmt.handler(arch, "/old", "F"), name="old")
    made = planned(replace(SETTLED, entries=(*SETTLED.entries, old)))
    assert made.steps == ()
    assert any(note.startswith("old ") for note in made.notes)


def test_others_entries_are_never_touched() -> None:
    wsl = Entry(name="WSLInterop", interpreter="/init", flags="P", magic=b"MZ")
    made = planned(replace(SETTLED, entries=(wsl, *SETTLED.entries)))
    assert (made.steps, made.notes) == ((), ())


def test_what_the_cpu_runs_gets_no_handler() -> None:
    everything = planned(BARE, Spec())
    names = {step.qemu for step in everything.steps if isinstance(step, RegisterHandler)}
    assert {"x86_64", "i386"} & names == set()
    assert names == {arch.qemu for arch in ARCHITECTURES} - {"x86_64", "i386"}


def test_a_handler_for_the_machines_own_programs_is_refused() -> None:
    # A machine that cannot run its own architecture's probe (no root): the simulation still refuses.
    seen = with_probe(
        with_probe(BARE, "x86_64", status=1, natively=None, executable=""), "x86_64", natively=False
    )
    with pytest.raises(HostError, match="own programs"):
        planned(seen, Spec(platforms=("linux/amd64",)))


@pytest.mark.parametrize(
    ("kernel", "path", "flags"),
    [
        ("5.12.0", AARCH64, ("PF", "F")),
        ("5.10.0", AARCH64, ("F", "PF")),
        ("5.10.0", "/usr/libexec/qemu-binfmt/aarch64-binfmt-P", ("PF", "F")),
        ("6.1.0", "/opt/qemu-aarch64", ("PF", "F")),
    ],
)
def test_which_flags_are_tried_first(kernel: str, path: str, flags: tuple[str, ...]) -> None:
    seen = replace(SETTLED, system=replace(SETTLED.system, kernel=kernel))
    assert flag_choices(path, SPEC, seen) == flags


def test_credentials_only_on_request() -> None:
    spec = replace(SPEC, emulation=Emulation(credentials=True))
    steps = [step for step in of(SETTLED, RegisterHandler, spec) if isinstance(step, RegisterHandler)]
    assert [variant.flags for step in steps for variant in step.variants] == ["POCF", "OCF"] * 2
    kept = replace(SETTLED, entries=tuple(replace(e, flags="POCF") for e in SETTLED.entries))
    assert not of(kept, RegisterHandler, spec)


def test_a_trial_entry_matches_our_program_alone() -> None:
    (step,) = (
        s for s in of(BARE, RegisterHandler) if isinstance(s, RegisterHandler) and s.qemu == "aarch64"
    )
    trial = binfmt.parse_rule(step.variants[0].trial)
    arch = of_qemu("aarch64")
    assert arch
    program = elf.probe(arch)
    assert trial.name == "qemu-aarch64.trial"
    assert not trial.matches(program)
    assert trial.matches(program[:9] + b"\x01\x02\x03\x04\x05\x06\x07" + program[16:])


def test_the_rule_overrides_the_distributions_file_of_the_same_name() -> None:
    paths = [step.path for step in of(BARE, WriteRule) if isinstance(step, WriteRule)]
    assert paths == ["/etc/binfmt.d/qemu-aarch64.conf", "/etc/binfmt.d/qemu-arm.conf"]


# -- interpreters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [row.command for row in MANAGERS])
def test_every_package_manager_has_names(command: str) -> None:
    (step,) = of(replace(BARE, tools=frozenset({command})), InstallPackages)
    assert isinstance(step, InstallPackages)
    wanted = {"apk": ("qemu-aarch64", "qemu-arm"), "zypper": ("qemu-linux-user",)}
    assert step.packages == wanted.get(command, ("qemu-user-static",))


def test_without_a_source_of_qemu_nothing_is_begun() -> None:
    with pytest.raises(HostError, match="no usable interpreter for linux/arm64"):
        planned(replace(BARE, tools=frozenset()))


def bad_arm64(reason: str) -> Facts:
    """The settled host with nothing but one bad file for arm64."""
    found = {path: i for path, i in SETTLED.interpreters.items() if "aarch64" not in path or path == AARCH64}
    seen = replace(SETTLED, interpreters=found)
    header = found[AARCH64].header
    assert header
    if reason == "dynamically linked":
        return with_interpreter(seen, AARCH64, header=replace(header, linkage="dynamic"))
    if reason == "not for this machine":
        return with_interpreter(seen, AARCH64, header=replace(header, machine=243))
    if reason == "not executable":
        return with_interpreter(seen, AARCH64, mode=0o644)
    if reason == "no ELF program":
        return with_interpreter(seen, AARCH64, header=None)
    if reason == "on another mount through a symlink":
        seen = replace(seen, late_mounts=frozenset({"/srv/qemu"}))
        seen = with_interpreter(seen, AARCH64, real="/srv/qemu/qemu-aarch64")
        return replace(
            seen, mounts=(*seen.mounts, Mount(point="/srv/qemu", type="ext4", options=frozenset()))
        )
    seen = replace(seen, late_mounts=frozenset({"/usr/bin"}))
    options = frozenset({"noexec"}) if reason == "mounted noexec" else frozenset({"rw"})
    return replace(seen, mounts=(*seen.mounts, Mount(point="/usr/bin", type="ext4", options=options)))


def test_a_late_mount_is_seen_through_a_symlink() -> None:
    with pytest.raises(HostError, match="no usable interpreter") as refused:
        planned(bad_arm64("on another mount through a symlink"))
    assert "lies on /srv/qemu, which may be mounted after" in refused.value.message


@pytest.mark.parametrize(
    "reason",
    [
        "dynamically linked",
        "not for this machine",
        "not executable",
        "no ELF program",
        "mounted noexec",
        "may be mounted after",
    ],
)
def test_an_unfit_interpreter_is_refused_with_the_reason(reason: str) -> None:
    with pytest.raises(HostError) as refused:
        planned(bad_arm64(reason))
    assert reason.removeprefix("not ") in refused.value.message


@pytest.mark.parametrize(
    ("systemd", "type_", "late", "fit"),
    [
        ("252", "btrfs", False, True),
        ("247", "btrfs", False, False),
        ("252", "nfs4", False, False),
        ("252", "ext4", True, False),
    ],
    ids=["openSUSE's /usr/local", "Debian 11", "network", "nofail"],
)
def test_a_mount_of_its_own_is_fit_if_the_boot_waits_for_it(
    systemd: str, type_: str, late: bool, fit: bool
) -> None:
    mount = Mount(point="/usr/local", type=type_, options=frozenset({"rw"}))
    seen = replace(
        SETTLED,
        mounts=(*SETTLED.mounts, mount),
        late_mounts=frozenset({"/usr/local"}) if late else frozenset(),
        system=replace(SETTLED.system, systemd=systemd),
    )
    found = replace(SETTLED.interpreters[AARCH64], path="/usr/local/lib/qemu", real="/usr/local/lib/qemu")
    assert (unfit(found, seen) == "") is fit


def test_without_a_wish_an_unfit_interpreter_is_skipped_and_said() -> None:
    made = planned(bad_arm64("dynamically linked"), replace(SPEC, platforms=None))
    assert any(note.startswith("linux/arm64: skipped") for note in made.notes)


def test_a_package_without_that_emulator_is_not_installed_again() -> None:
    found = {path: i for path, i in SETTLED.interpreters.items() if "aarch64" not in path}
    installed = {"apt-get": ("qemu-user-static",)}
    with pytest.raises(HostError) as refused:
        planned(replace(SETTLED, interpreters=found, installed_packages=installed))
    assert "qemu-user-static has no emulator for it" in refused.value.message


def test_one_emulator_does_not_prove_that_the_package_is_installed() -> None:
    """Fedora's qemu-user-static-aarch64, or a file that somebody copied."""
    found = {path: i for path, i in SETTLED.interpreters.items() if "arm" not in path}
    made = planned(replace(SETTLED, interpreters=found, tools=frozenset({"dnf"})))
    assert "packages" in ids(made)
    assert "handler-arm" in ids(made)
    assert "handler-aarch64" not in ids(made)


def test_a_path_pattern_is_used_and_nothing_installed() -> None:
    spec = replace(SPEC, emulation=Emulation(interpreters="/usr/libexec/qemu-binfmt/{qemu}-binfmt-P"))
    made = planned(SETTLED, spec)
    assert "packages" not in ids(made)
    handlers = [step for step in made.steps if isinstance(step, RegisterHandler)]
    assert [step.interpreter for step in handlers] == [
        "/usr/libexec/qemu-binfmt/aarch64-binfmt-P",
        "/usr/libexec/qemu-binfmt/arm-binfmt-P",
    ]


def test_a_pattern_without_files_is_refused() -> None:
    spec = replace(SPEC, emulation=Emulation(interpreters="/opt/qemu/qemu-{qemu}"))
    with pytest.raises(HostError) as refused:
        planned(SETTLED, spec)
    assert "/opt/qemu/qemu-aarch64 does not exist" in refused.value.message


# -- the service -----------------------------------------------------------------------------------


def test_no_systemd_is_refused_where_it_is_asked_for() -> None:
    with pytest.raises(HostError, match="systemd does not run"):
        planned(replace(BARE, system=replace(BARE.system, systemd=None)), buildkit(service="systemd"))


def test_a_full_disk_is_refused_before_anything() -> None:
    disks = {**BARE.disks, "/opt/buildkit": Disk(size=1 << 24, free=500_000, inodes=1)}
    with pytest.raises(HostError, match="488 MiB are left"):
        planned(replace(BARE, disks=disks))


def test_another_digest_is_another_folder_and_the_old_one_stays() -> None:
    other = replace(RELEASE, digest=Digest(value="ab" * 32, source="user"))
    made = planned(SETTLED, release=other)
    assert ids(made) == ["release", "drain", "save", "buildkit-unit", "release-link", "service-restart"]
    unpack, link = made.steps[0], made.steps[4]
    assert isinstance(unpack, UnpackRelease)
    assert isinstance(link, MakeLink)
    assert unpack.folder == link.to == "/opt/buildkit/v0.32.2-abababababab"
    assert unpack.header == f"7f454c460201{'?' * 24}3e00"


def test_a_release_that_lost_a_program_is_unpacked_again() -> None:
    """In its folder, under the daemon that runs: that one needs no restart."""
    host = settled()
    (folder,) = host.releases
    damage = {folder: (Damage(program="buildkit-runc", lost=True),)}
    assert ids(planned(replace(host, basis=replace(host.basis, damage=damage)))) == ["release"]
    other = {"/opt/buildkit/v0.1.0-000000000000": damage[folder]}
    assert planned(replace(host, basis=replace(host.basis, damage=other))).empty


@pytest.mark.parametrize(
    "change",
    [
        {"lock": False},
        {"places": {paths.STATE: Place(kind="none"), paths.SCRATCH: Place(kind="none")}},
        {"places": {paths.STATE: Place(kind="folder"), paths.SCRATCH: Place(kind="none")}},
    ],
)
def test_a_daemon_whose_state_was_taken_away_is_restarted(change: dict[str, Any]) -> None:
    host = settled()
    host = replace(host, basis=replace(host.basis, **change))
    assert ids(planned(host)) == ["drain", "service-restart"]


def test_a_changed_setting_restarts_and_shows_its_diff() -> None:
    made = planned(SETTLED, buildkit(max_parallelism=2))
    assert ids(made) == ["drain", "save", "buildkit-config", "buildkit-unit", "service-restart"]
    assert "+max-parallelism = 2" in made.steps[2].detail


@pytest.mark.parametrize(
    ("percent", "moves"), [(-8, False), (-1, False), (1, False), (8, False), (25, True)]
)
def test_limits_stay_where_the_size_of_the_disk_hardly_moved(percent: int, moves: bool) -> None:
    """`df` tells another size of a ZFS data set whenever its neighbours grow: no reason for a restart."""
    small = sized(settled(), 80_000_000)
    host = recorded.applied(small)
    moved = sized(host, 80_000_000 * (100 + percent) // 100)
    assert planned(host).empty
    assert planned(moved).empty == (not moves)
    # What the user sets counts at once.
    assert "buildkit-config" in ids(planned(moved, buildkit(gc={"minFreeSpace": "3GB"})))


def sized(seen: Facts, size: int) -> Facts:
    """The host with another disk, of so many KiB."""
    room = replace(seen.disks[paths.STATE], size=size)
    return replace(seen, disks={**seen.disks, paths.STATE: room})


def test_what_brings_the_module_at_boot_is_written_once() -> None:
    there = File(path=paths.MODULES, mode=0o644, owner="root", group="root", text="binfmt_misc\n")
    seen = replace(
        BARE, binfmt=replace(BARE.binfmt, present=False), files={**BARE.files, paths.MODULES: there}
    )
    assert "module" not in ids(planned(seen))


@pytest.mark.parametrize("path", [paths.CONFIG, paths.rule("aarch64")])
@pytest.mark.parametrize("change", ["mode", "owner"])
def test_a_file_with_other_rights_is_put_right(change: str, path: str) -> None:
    file = (
        replace(SETTLED.files[path], mode=0o666)
        if change == "mode"
        else replace(SETTLED.files[path], owner="ci")
    )
    (step,) = planned(replace(SETTLED, files={**SETTLED.files, path: file})).steps
    assert isinstance(step, WriteFile | WriteRule)
    assert "mode" in step.detail


def test_a_stopped_service_is_started_and_a_disabled_one_enabled() -> None:
    unit = replace(SETTLED.units["buildkit.service"], active="inactive", file_state="disabled")
    seen = replace(SETTLED, units={**SETTLED.units, "buildkit.service": unit})
    assert ids(planned(seen)) == ["service-start", "service-enable"]


def test_a_daemon_that_does_not_list_what_runs_is_restarted() -> None:
    _, step = planned(without_arm64(SETTLED)).steps
    assert isinstance(step, StartDaemon)
    assert step.detail == "it does not list linux/arm64"


def test_a_run_that_broke_off_before_the_restart_is_finished_by_the_next_without_a_wish() -> None:
    late = without_arm64(SETTLED)
    assert SETTLED.daemon
    generation, folder = SETTLED.daemon.generation, release_folder(RELEASE)
    assert restart_reason(Spec(), late, generation, folder) == "it does not list linux/arm64"
    assert restart_reason(Spec(), SETTLED, generation, folder) == ""


def test_a_variant_that_the_processor_lacks_restarts_nothing() -> None:
    """The daemon lists amd64 and has looked for its variants."""
    assert (
        ids(
            planned(
                SETTLED, Spec(platforms=("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/amd64/v4"))
            )
        )
        == []
    )


def loong64_runs(seen: Facts) -> Facts:
    return with_probe(
        seen, "loongarch64", status=COUNT, executable="/usr/bin/qemu-loongarch64-static", natively=False
    )


@pytest.mark.parametrize(
    ("version", "late"), [("v0.12.5", False), ("v0.13.0", True), ("v0.0.0+unknown", True)]
)
def test_a_platform_that_this_buildkit_does_not_look_for_restarts_nothing(version: str, late: bool) -> None:
    """v0.12.5 knows no loong64: it would be restarted at each run, and would not list it ever."""
    host = with_worker(loong64_runs(settled()), version=version)
    assert host.daemon
    spec = replace(SPEC, platforms=None)
    reason = restart_reason(spec, host, host.daemon.generation, release_folder(RELEASE))
    assert ("loong64" in reason) == late
    assert any("loong64" in each for each in unmet(spec, host)) == late
    named = replace(SPEC, platforms=("linux/loong64",))
    (problem,) = unmet(named, host)
    assert problem.endswith("v0.13.0 does" if not late else "but buildkitd does not list it")


def test_who_called_sudo_and_who_is_named_may_build() -> None:
    seen = replace(SETTLED, user=replace(SETTLED.user, login="anna"))
    made = planned(seen, replace(SPEC, buildkit=replace(SPEC.buildkit, users=("ci",))))
    assert [step.id for step in made.steps] == ["member-ci", "member-anna"]
    assert planned(replace(seen, groups={"buildkit": ("anna",)})).steps == ()


def test_a_program_of_the_users_own_is_kept_aside() -> None:
    path = "/usr/local/bin/buildctl"
    own = File(path=path, mode=0o755, owner="root", group="root", text=None)
    (step,) = planned(replace(SETTLED, files={**SETTLED.files, path: own})).steps
    assert isinstance(step, MakeLink)
    assert ".before-provision" in step.detail


def test_the_digest_is_shown() -> None:
    (step,) = of(BARE, UnpackRelease)
    assert isinstance(step, UnpackRelease)
    assert DIGEST in step.detail
