"""Which programs the apply script calls, with which words, and what it makes of their failures."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from provision.facts.packages import MANAGERS
from provision.plan.steps import Step
from tests.shells import steps
from tests.shells.machine import WITHOUT_APPLETS, Machine

APT = [
    *("apt-get", "--yes", "-q", "-o", "DPkg::Lock::Timeout=300"),
    *("install", "--no-install-recommends", "--no-remove"),
]
INSTALL = {
    "apt-get": [*APT, "qemu-user-static"],
    "dnf": ["dnf", "-y", "-q", "install", "qemu-user-static"],
    "apk": ["apk", "add", "--quiet", "qemu-aarch64", "qemu-arm"],
    "pacman": ["pacman", "-S", "--noconfirm", "--needed", "--quiet", "qemu-user-static"],
    "zypper": ["zypper", "--non-interactive", "--quiet", "install", "--no-recommends", "qemu-linux-user"],
}
REFRESH = {
    "apt-get": ["apt-get", "-q", "update"],
    "apk": ["apk", "update", "--quiet"],
}
"""Those that never look for new lists by themselves. pacman's come with an upgrade of the whole system."""

HOSTILE = (
    "a b",
    "$(: >/lab/pwned)",
    "`: >/lab/pwned`",
    "'; : >/lab/pwned; '",
    '"; : >/lab/pwned; "',
    "two\nlines\n: >/lab/pwned",
    "-rf",
    "--help",
    "*",
    "~",
    "\\000 \\n %s",
    "tab\tand é",
)


def install(manager: str) -> list[str]:
    row = next(row for row in MANAGERS if row.command == manager)
    return list(row.packages_for(("aarch64", "arm")))


def test_every_package_manager_is_here() -> None:
    assert set(INSTALL) == {row.command for row in MANAGERS}


def test_packages_are_installed_without_a_question(machine: Machine) -> None:
    for manager, words in INSTALL.items():
        # Standard input is empty: whoever asks all the same gets no answer from the channel.
        machine.fake(
            manager,
            'read answer && exit 9; [ "${0##*/}" != apt-get ] || [ "$DEBIAN_FRONTEND" = noninteractive ]',
        )
        applied = machine.apply(steps.packages(manager, *install(manager)))
        assert applied.states == ["done"], manager
        assert machine.calls()[-1] == words
    # Once each. What is there before and afterwards is asked, for the record.
    others = [call for call in machine.calls() if call not in INSTALL.values()]
    assert len(machine.calls()) - len(others) == len(INSTALL)
    assert {tuple(call) for call in others} <= {("pacman", "-Qq"), ("apk", "info", "-q")}


def test_old_lists_are_fetched_only_when_the_install_needs_them(machine: Machine) -> None:
    for manager, words in REFRESH.items():
        machine.fake(
            manager, 'case " $* " in *" update "*) : >/lab/new ;; *) [ -e /lab/new ] || exit 1 ;; esac'
        )
        assert machine.apply(steps.packages(manager, *install(manager))).states == ["done"], manager
        first, second, third = machine.calls()[-3:]
        assert (first, second) == (INSTALL[manager], words)
        quiet = {"--quiet"}
        assert [word for word in third if word not in quiet] == [word for word in first if word not in quiet]
        machine.at("/lab/new").unlink()


def test_an_index_that_cannot_be_loaded_is_not_what_counts(machine: Machine) -> None:
    """apt-get update exits with 100 for any index of any source."""
    machine.fake("apt-get", "case $* in *update*) : >/lab/new; exit 100 ;; *) [ -e /lab/new ] ;; esac")
    assert machine.apply(steps.packages("apt-get", "qemu-user-static")).states == ["done"]


def test_a_failed_install_shows_its_last_lines(machine: Machine) -> None:
    for manager in INSTALL:
        machine.fake(manager, "seq 1 30; echo 'E: no network' >&2; exit 100")
        machine.base.borrow("seq")
        applied = machine.apply(steps.packages(manager, *install(manager)), steps.group("buildkit"))
        failed, skipped = applied.steps.values()
        words, *log = failed.detail.split("\n")
        assert (failed.status, log) == ("failed", [*map(str, range(12, 31)), "E: no network"]), manager
        assert words.endswith("no network"), manager
        assert (skipped.status, skipped.detail) == ("skipped", "after packages")


def virtual(machine: Machine, name: str, real: str) -> None:
    """apt-cache, which knows the one name as virtual, and the other."""
    machine.fake(
        "apt-cache",
        f"""case $2 in
  {name}) printf '%s:\\n  Installed: (none)\\n  Candidate: (none)\\n' "$2" ;;
  {real}) printf '%s:\\n  Installed: (none)\\n  Candidate: 1:10.2.1\\n' "$2" ;;
esac""",
    )


def test_where_the_name_is_virtual_the_other_package_is_installed(machine: Machine) -> None:
    """Ubuntu 26.04 and Debian 14."""
    virtual(machine, "qemu-user-static", "qemu-user")
    machine.fake("apt-get", "case $* in *qemu-user) ;; *) exit 100 ;; esac")
    applied = machine.apply(steps.packages("apt-get", "qemu-user-static", instead="qemu-user"))
    assert applied.states == ["done"], applied
    assert machine.calls()[1:] == [[*APT, "qemu-user"]]


def test_where_lists_are_missing_they_tell_the_name(machine: Machine) -> None:
    machine.fake(
        "apt-get", "case $* in *update*) : >/lab/new ;; *qemu-user) [ -e /lab/new ] ;; *) exit 100 ;; esac"
    )
    machine.fake(
        "apt-cache",
        "[ -e /lab/new ] && [ $2 = qemu-user ] && printf '%s:\\n  Installed: (none)\\n  Candidate: 1:10.2.1\\n' $2",
    )
    applied = machine.apply(steps.packages("apt-get", "qemu-user-static", instead="qemu-user"))
    assert applied.states == ["done"], applied
    assert [call for call in machine.calls() if "install" in call] == [
        [*APT, "qemu-user-static"],
        [*APT, "qemu-user"],
    ]


def test_only_what_the_plan_showed_is_removed(machine: Machine) -> None:
    machine.fake(
        "apt-get", 'case $* in *--no-remove*) echo "E: Packages need to be removed" >&2; exit 100 ;; esac'
    )
    failed = machine.apply(steps.packages("apt-get", "qemu-user-static"))
    assert failed.only.detail.startswith("Packages need to be removed")
    told = steps.packages("apt-get", "qemu-user-static", removes=("qemu-user-binfmt",))
    assert machine.apply(told).states == ["done"]


@pytest.mark.parametrize(
    ("manager", "said", "words"),
    [
        (
            "apt-get",
            "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.",
            "dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.",
        ),
        (
            "dnf",
            "No match for argument: qemu-user-static\nError: Unable to find a match: qemu-user-static",
            "No match for argument: qemu-user-static (this machine can send its own: [emulation]",
        ),
        (
            "pacman",
            "error: failed retrieving file 'qemu.tar.zst' from mirror : 404",
            "failed retrieving file 'qemu.tar.zst' from mirror : 404: pacman's lists are missing or old: pacman -Syu",
        ),
        ("apk", "ERROR: unable to select packages:\n  qemu-aarch64 (no such package):", "unable to select"),
        (
            "zypper",
            "No provider of 'qemu-linux-user' found.",
            "No provider of 'qemu-linux-user' found. (this",
        ),
    ],
)
def test_the_managers_own_error_is_what_is_read(
    machine: Machine, manager: str, said: str, words: str
) -> None:
    machine.fake(manager, f"printf '%s\\n' {shlex.quote(said)} >&2; exit 1")
    applied = machine.apply(steps.packages(manager, *install(manager)))
    assert applied.only.detail.startswith(words), applied
    assert "network" not in applied.only.detail.split("\n")[0]


def test_the_network_is_named_only_where_lists_could_not_be_fetched(machine: Machine) -> None:
    machine.fake(
        "apt-get",
        'case $* in *update*) echo "E: Failed to fetch http://x/InRelease"; exit 100 ;; esac\n'
        'echo "E: Unable to locate package qemu-user-static"; exit 100',
    )
    applied = machine.apply(steps.packages("apt-get", "qemu-user-static"))
    assert applied.only.detail.startswith(
        "Unable to locate package qemu-user-static (apt-get update could not fetch its lists: is the network there?)"
    )


def test_runc_is_installed_by_every_package_manager(machine: Machine) -> None:
    for manager, words in INSTALL.items():
        machine.base.remove("runc")
        machine.fake(manager, "cp /lab/runc /usr/bin/runc")
        machine.base.borrow("cp")
        machine.write("/lab/runc", "#!/bin/sh\necho runc version 1.1.5+ds1\necho spec: 1.0.2\n", 0o755)
        assert machine.apply(steps.runc(manager)).states == ["done"], manager
        # The same words as for other packages, up to the names.
        assert machine.calls()[-1] == [word for word in words if "qemu" not in word] + ["runc"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("runc version 1.0.3", "the distribution has runc 1.0, and BuildKit needs 1.1 or newer"),
        ("runc version 0.1.1", "the distribution has runc 0.1"),
        ("runc version unknown", "does not say its version"),
        ("", "does not say its version"),
        ("runc version 1.1.0", ""),
        ("runc version 1.10.2", ""),
        ("runc version 2.0.0-rc.1", ""),
    ],
)
def test_a_runc_that_is_too_old_ends_the_run(said: str, reason: str, machine: Machine) -> None:
    machine.fake("dnf")
    machine.write("/usr/bin/runc", f"#!/bin/sh\necho '{said}'\n", 0o755)
    applied = machine.apply(steps.runc("dnf"), steps.file("/etc/x", "x"))
    assert applied.states == (["failed", "skipped"] if reason else ["done", "done"])
    assert reason in applied.steps["runc"].detail


def test_the_unit_is_read_before_it_is_started_and_its_folder_made(machine: Machine) -> None:
    for name in ("systemctl", "systemd-tmpfiles"):
        machine.fake(name)
    machine.answer()
    applied = machine.apply(
        steps.service("enable", "buildkit.service"),
        steps.start("buildkit.service"),
        steps.service("enable", "proc-sys-fs-binfmt_misc.mount"),
    )
    assert applied.states == ["done"] * 3
    assert machine.calls() == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "buildkit.service"],
        ["systemctl", "daemon-reload"],
        ["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/buildkit.conf"],
        ["systemctl", "restart", "buildkit.service"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "proc-sys-fs-binfmt_misc.mount"],
    ]


def test_a_service_that_does_not_start_is_explained_by_its_journal(machine: Machine) -> None:
    machine.fake("systemd-tmpfiles")
    machine.fake(
        "systemctl",
        '[ "$1" != show ] || echo timeout\n'
        '[ "$1" != restart ] || { echo "Job for buildkit.service failed." >&2; exit 1; }',
    )
    machine.fake("journalctl", "echo 'buildkitd: could not lock'; echo 'buildkitd: giving up'")
    applied = machine.apply(steps.start("buildkit.service"))
    assert applied.only.detail.split("\n") == [
        "buildkitd: could not lock buildkitd: giving up; systemd: timeout; it is stopped, and no boot starts it",
        "Job for buildkit.service failed.",
    ]
    _, asked = [call for call in machine.calls() if call[0] == "journalctl"]
    assert "_SYSTEMD_UNIT=buildkit.service" in asked
    assert ["systemctl", "stop", "buildkit.service"] in machine.calls()


def test_without_a_journal_systemctl_itself_explains(machine: Machine) -> None:
    machine.fake("systemctl", 'echo "Unit $2 is masked." >&2; [ "$1" = daemon-reload ]')
    applied = machine.apply(steps.service("enable", "x.service"))
    assert applied.only.status == "failed"
    assert "Unit x.service is masked." in applied.only.detail.split("\n")[0]


@pytest.mark.parametrize("failing", ["daemon-reload", "systemd-tmpfiles"])
def test_a_service_is_not_started_when_what_it_needs_fails(machine: Machine, failing: str) -> None:
    body = f'case "${{0##*/}} $*" in *{failing}*) echo "cannot" >&2; exit 1 ;; esac'
    for name in ("systemctl", "systemd-tmpfiles"):
        machine.fake(name, body)
    applied = machine.apply(steps.start("buildkit.service"))
    assert applied.only.detail.startswith("cannot; it is stopped, and no boot starts it\ncannot")
    assert ["systemctl", "restart", "buildkit.service"] not in machine.calls()


def test_groups_by_shadow_or_by_busybox(machine: Machine) -> None:
    plan = (steps.group("buildkit"), steps.member("ops", "buildkit"))
    machine.fake("addgroup")
    assert machine.apply(*plan).states == ["done", "done"]
    for name in ("groupadd", "usermod"):
        machine.fake(name)
    assert machine.apply(*plan).states == ["done", "done"]
    assert machine.calls() == [
        ["addgroup", "-S", "buildkit"],
        ["addgroup", "ops", "buildkit"],
        ["groupadd", "--system", "buildkit"],
        ["usermod", "-a", "-G", "buildkit", "ops"],
    ]


def test_a_user_whom_only_nss_knows_is_added_by_gpasswd(machine: Machine) -> None:
    """LDAP, SSSD, GCP's OS Login."""
    machine.fake("usermod", "echo \"usermod: user 'ops' does not exist in /etc/passwd\" >&2; exit 6")
    machine.fake("gpasswd")
    assert machine.apply(steps.member("ops", "buildkit")).states == ["done"]
    assert machine.calls()[-1] == ["gpasswd", "-a", "ops", "buildkit"]


def test_who_called_sudo_and_cannot_be_added_is_no_reason_to_stop(machine: Machine) -> None:
    machine.fake("usermod", "echo \"usermod: user 'ops' does not exist in /etc/passwd\" >&2; exit 6")
    caller = replace(steps.member("ops", "buildkit"), optional=True)
    applied = machine.apply(caller, steps.file("/etc/a", "a"))
    assert applied.states == ["skipped", "done"]
    assert "does not exist in /etc/passwd" in applied.steps["member-ops"].detail
    named = machine.apply(steps.member("ops", "buildkit"), steps.file("/etc/b", "b"))
    assert named.states == ["failed", "skipped"]


def test_a_user_who_does_not_exist_is_named(machine: Machine) -> None:
    machine.fake("usermod")
    applied = machine.apply(steps.member("nobody-here", "buildkit"))
    assert applied.only.status == "failed"
    assert "nobody-here" in applied.only.detail
    assert machine.calls() == []


def test_any_value_is_one_word_and_nothing_else(machine: Machine) -> None:
    for name in ("dnf", "groupadd", "systemctl"):
        machine.fake(name)
    plan: list[Step] = []
    for n, value in enumerate(HOSTILE):
        folder = f"/opt/{n}/{value}"
        plan += [
            steps.packages("dnf", value, "other", step=f"packages-{n}"),
            steps.group(value, step=f"group-{n}"),
            steps.service("enable", value, step=f"unit-{n}"),
            steps.file(f"{folder}/file", value, step=f"it's file {n}"),
            steps.link(f"{folder}/link", value, step=f"$(link) {n}"),
            steps.rule(f"{folder}/rule", value, header=value, step=f'`rule` "{n}"'),
        ]
    applied = machine.apply(*plan)
    assert applied.states == ["done"] * len(plan), applied
    calls = machine.calls()
    for n, value in enumerate(HOSTILE):
        assert calls[4 * n : 4 * n + 4] == [
            ["dnf", "-y", "-q", "install", value, "other"],
            ["groupadd", "--system", value],
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", value],
        ]
        made = machine.at(f"/opt/{n}") / value
        assert (made / "file").read_text() == value
        assert (made / "rule").read_text() == f"{value}{value}\n"
        assert str((made / "link").readlink()) == value
    assert not machine.at("/lab/pwned").exists()


@WITHOUT_APPLETS
def test_binfmt_misc_is_mounted_by_systemd_where_that_runs(machine: Machine) -> None:
    table = "/proc/sys/fs/binfmt_misc"
    machine.fake("systemctl", f"/host/usr/bin/mount -t binfmt_misc binfmt_misc {table}")
    machine.fake("mount", "exit 32")
    machine.open(setup="")
    assert machine.apply(steps.mount()).states == ["done"]
    assert machine.calls() == [["systemctl", "start", "proc-sys-fs-binfmt_misc.mount"]]


def test_binfmt_misc_is_mounted_all_the_same(machine: Machine) -> None:
    """The unit does nothing in a container (ConditionPathIsReadWrite=/proc/sys), or there is no systemd."""
    machine.fake("systemctl")
    for setup in ("", "rmdir /run/systemd/system"):
        space = machine.open(setup)
        assert machine.apply(steps.mount()).states == ["done"]
        assert space.run("cat /proc/sys/fs/binfmt_misc/status") == "enabled"
    assert len(machine.calls()) == 1


def test_a_mount_that_is_refused_says_why(machine: Machine) -> None:
    machine.fake("systemctl", "exit 1")
    machine.open("mount --bind /lab /proc/sys/fs/binfmt_misc; mount -t tmpfs -o ro tmpfs /proc/sys/fs")
    applied = machine.apply(steps.mount())
    assert applied.only.status == "failed"
    assert "binfmt_misc" in applied.only.detail


@WITHOUT_APPLETS
def test_the_module_is_loaded_where_its_folder_is_missing(machine: Machine) -> None:
    machine.fake("modprobe", "mkdir /proc/sys/fs/binfmt_misc")
    machine.open("mount -t tmpfs tmpfs /proc/sys/fs; rmdir /run/systemd/system")
    assert machine.apply(steps.mount()).states == ["done"]
    assert machine.calls() == [["modprobe", "binfmt_misc"]]

    machine.fake("modprobe", "echo 'modprobe: FATAL: Module binfmt_misc not found' >&2; exit 1")
    machine.open("mount -t tmpfs tmpfs /proc/sys/fs")
    applied = machine.apply(steps.mount())
    assert applied.only.detail.split("\n") == [
        "this kernel has no binfmt_misc",
        "modprobe: FATAL: Module binfmt_misc not found",
    ]


def test_handlers_that_are_switched_off_are_switched_on(machine: Machine) -> None:
    space = machine.open(
        "mount -t binfmt_misc x /proc/sys/fs/binfmt_misc; echo 0 >/proc/sys/fs/binfmt_misc/status"
    )
    assert space.run("cat /proc/sys/fs/binfmt_misc/status") == "disabled"
    assert machine.apply(steps.enable()).states == ["done"]
    assert space.run("cat /proc/sys/fs/binfmt_misc/status") == "enabled"
