"""Each fault of a provisioned host, made for real, yields exactly its finding and no other, and is undone.

One host for all: every test leaves it as it found it, which the next one's first look proves.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from provision import binfmt
from provision.architectures import of_platform
from provision.cli.called import typed_name
from provision.facts import question
from provision.spec import Spec
from tests.lab.busybox import busybox
from tests.lab.cli import COMMAND, Outcome, environment, provision
from tests.lab.nspawn import BINFMT, Host
from tests.lab.release import EARLIER, publish

WANTED: Final = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")
RULE: Final = "/etc/binfmt.d/qemu-s390x.conf"
DEBIANS: Final = "/usr/lib/binfmt.d/qemu-s390x.conf"
EMULATOR: Final = "/usr/bin/qemu-s390x-static"


@dataclass(kw_only=True)
class Bench:
    """A provisioned host and the folder of its administrator."""

    host: Host
    folder: Path

    def product(self, *words: str) -> Outcome:
        return provision(*words, "--hosts", self.host.name, "--format", "json", cwd=self.folder)

    def findings(self, *words: str) -> list[dict[str, Any]]:
        seen = self.product("health", *words)
        found: list[dict[str, Any]] = seen.host["findings"]
        bad = [each for each in found if each["severity"] != "info"]
        assert seen.code == (5 if bad else 0), seen
        assert all(each["evidence"] and each["consequence"] and each["fix"] for each in found)
        return found

    def ids(self, *words: str) -> list[tuple[str, str | None]]:
        return [(each["id"], each["platform"]) for each in self.findings(*words)]

    def paste(self, finding: dict[str, Any]) -> None:
        """Run a fix as its reader would, in the folder where it was read."""
        done = subprocess.run(
            ["sh", "-c", finding["fix"]],
            cwd=self.folder,
            env=environment(self.folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done

    def fix(self, *words: str) -> str:
        """A fix by a command of this tool for the host."""
        return shlex.join([typed_name(str(COMMAND)), words[0], "--hosts", self.host.name, *words[1:]])

    def restart(self) -> None:
        self.host.run("systemctl reset-failed buildkit; systemctl restart buildkit")

    @contextmanager
    def undone(self, script: str) -> Iterator[None]:
        """Whatever is done inside is undone by the script, and then nothing is wrong."""
        try:
            yield
        finally:
            self.host.run(script)
        assert self.findings() == []


def prepare(folder: Path, host: Host) -> Bench:
    """The administrator's folder: the wanted platforms, a mirror, the way to the host."""
    release = publish(folder / "mirror")
    (folder / "provision.toml").write_text(
        f"""
platforms = {json.dumps(WANTED)}
[buildkit]
mirror = "{release.mirror}"
sha256 = {{ "{release.platform}" = "{release.sha256}" }}
users = ["ci"]
[ssh]
config = "{host.folder / "ssh_config"}"
"""
    )
    return Bench(host=host, folder=folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Host("health") as host:
        made = prepare(tmp_path_factory.mktemp("health"), host)
        done = made.product("provision")
        assert done.code == 0, done
        yield made


def test_a_healthy_host_has_no_finding(bench: Bench) -> None:
    seen = bench.product("health")
    assert (seen.code, seen.host["status"], seen.host["findings"]) == (0, "ok", []), seen
    assert {row["platform"] for row in seen.host["platforms"] if row["listed"]} >= set(WANTED)
    for name in ("arm64", "armhf", "x86_64", "s390x"):
        told = bench.product("explain", name)
        assert (told.code, told.host["broken"]) == (0, None), told
        assert {link["status"] for link in told.host["chain"]} <= {"ok", "skipped"}


def test_the_question_takes_well_under_a_second_of_the_hosts_time(bench: Bench) -> None:
    """CPU time of everything the script starts, every architecture's program among it."""
    bench.host.run("cat > /root/question", stdin=question.question(Spec()).script)
    timed = "bash -c 'TIMEFORMAT=\"%U %S\"; time sh /root/question > /root/answer'"
    user, system = map(float, bench.host.run(timed).stderr.split())
    assert user + system < 1.0
    assert bench.host.run("tail -n 1 /root/answer").stdout == "end\n"


def test_handler_without_f(bench: Bench) -> None:
    rule = bench.host.run(f"grep ^: {RULE}").stdout.strip()
    with bench.undone(f"echo -1 > {BINFMT}/qemu-s390x; printf '%s' '{rule}' > {BINFMT}/register"):
        bench.host.run(f"echo -1 > {BINFMT}/qemu-s390x; printf '%s' '{rule[:-2]}P' > {BINFMT}/register")
        assert bench.ids() == [("handler-without-f", "linux/s390x")]
        told = bench.product("explain", "s390x")
        assert (told.code, told.host["broken"]) == (5, "handler")
        broken = next(link for link in told.host["chain"] if link["id"] == "handler")
        assert broken["fix"] == bench.fix("provision")


def test_emulator_replaced_by_rename(bench: Bench) -> None:
    undo = f"mv {EMULATOR}.kept {EMULATOR}"
    with bench.undone(undo):
        bench.host.run(f"ln {EMULATOR} {EMULATOR}.kept; cp {EMULATOR} new; echo x >> new; mv new {EMULATOR}")
        assert bench.ids() == [("emulator-replaced", "linux/s390x")]


def test_emulator_deleted(bench: Bench) -> None:
    with bench.undone(f"mv {EMULATOR}.kept {EMULATOR}"):
        bench.host.run(f"ln {EMULATOR} {EMULATOR}.kept; rm {EMULATOR}")
        assert bench.ids() == [("emulator-deleted", "linux/s390x")]


def test_handler_disabled(bench: Bench) -> None:
    with bench.undone(f"echo 1 > {BINFMT}/qemu-s390x"):
        bench.host.run(f"echo 0 > {BINFMT}/qemu-s390x")
        assert bench.ids() == [("handler-disabled", "linux/s390x")]


def test_all_handlers_switched_off(bench: Bench) -> None:
    """One finding, and none about a list that will be right again."""
    with bench.undone(f"echo 1 > {BINFMT}/status"):
        bench.host.run(f"echo 0 > {BINFMT}/status")
        assert bench.ids() == [("binfmt-disabled", None)]


def test_a_handler_that_keeps_privileges(bench: Bench) -> None:
    rule = bench.host.run(f"grep ^: {RULE}").stdout.strip()
    register = f"echo -1 > {BINFMT}/qemu-s390x; printf '%s' '{{}}' > {BINFMT}/register"
    with bench.undone(register.format(rule)):
        bench.host.run(register.format(f"{rule}OC"))
        assert bench.ids() == [("handler-credentials", "linux/s390x")]
        told = bench.product("provision")
        assert (told.code, [step["id"] for step in told.host["steps"]][:1]) == (0, ["handler-s390x"]), told
        assert bench.findings() == []


def test_a_file_that_would_take_the_machines_own_programs(bench: Bench) -> None:
    """It is never let boot with that."""
    entry = binfmt.handler(of_platform("linux/amd64"), "/usr/bin/qemu-x86_64-static", "F")
    path = "/etc/binfmt.d/zz-own.conf"
    with bench.undone(f"rm -f {path}"):
        bench.host.run(f"cat > {path}", stdin=f"{binfmt.format_rule(entry)}\n")
        (found,) = bench.findings()
        assert (found["id"], found["severity"]) == ("boot-over-native", "error")
        assert found["fix"].endswith(f" {bench.host.name} 'rm {path}'")
        bench.paste(found)
        assert bench.findings() == []


def test_a_later_file_takes_over_at_boot_and_its_fix_ends_that(bench: Bench) -> None:
    """The product's own file is right already: to write it again would change nothing."""
    entry = binfmt.handler(of_platform("linux/s390x"), EMULATOR, "F")
    path = "/etc/binfmt.d/zz-later.conf"
    rule = binfmt.format_rule(entry).replace(":qemu-s390x:", ":later:")
    with bench.undone(f"rm -f {path}"):
        bench.host.run(f"cat > {path}", stdin=f"{rule}\n")
        (found,) = bench.findings()
        assert (found["id"], found["platform"]) == ("boot-differs", "linux/s390x")
        bench.paste(found)
        assert bench.findings() == []


def test_handler_shadowed_by_a_later_one(bench: Bench) -> None:
    rule = bench.host.run(f"grep ^: {RULE}").stdout.strip().replace(":qemu-s390x:", ":zz-later:")
    with bench.undone(f"echo -1 > {BINFMT}/zz-later"):
        bench.host.run(f"printf '%s' '{rule}' > {BINFMT}/register")
        assert bench.ids() == [("handler-shadowed", "linux/s390x")]


def test_no_file_brings_it_back(bench: Bench) -> None:
    with bench.undone(f"mv /root/ours {RULE}; mv /root/debians {DEBIANS}"):
        bench.host.run(f"mv {RULE} /root/ours; mv {DEBIANS} /root/debians")
        assert bench.ids() == [("boot-missing", "linux/s390x")]


def test_the_distributions_file_would_take_over(bench: Bench) -> None:
    with bench.undone(f"mv /root/ours {RULE}"):
        bench.host.run(f"mv {RULE} /root/ours")
        assert bench.ids() == [("boot-differs", "linux/s390x")]


def test_the_file_is_masked(bench: Bench) -> None:
    with bench.undone(f"mv -f /root/ours {RULE}"):
        bench.host.run(f"mv {RULE} /root/ours; ln -s /dev/null {RULE}")
        assert bench.ids() == [("boot-masked", "linux/s390x")]


def test_the_forecast_is_what_systemd_does(bench: Bench) -> None:
    """A flush by systemd-binfmt is a boot in small: what the forecast says is what is there afterwards."""
    with bench.undone(f"mv -f /root/ours {RULE}; /usr/lib/systemd/systemd-binfmt {RULE}"):
        bench.host.run(f"mv {RULE} /root/ours; ln -s /dev/null {RULE}")
        assert bench.ids() == [("boot-masked", "linux/s390x")]
        bench.host.run("/usr/lib/systemd/systemd-binfmt")
        found = dict(bench.ids())
        assert found["handler-missing"] == "linux/s390x"


def test_registered_after_the_daemons_start(bench: Bench) -> None:
    """The list keeps arm out because arm64 stands for it; it builds all the same."""
    rule = bench.host.run("grep ^: /etc/binfmt.d/qemu-arm.conf").stdout.strip()
    with bench.undone("systemctl restart buildkit"):
        bench.host.run(f"echo -1 > {BINFMT}/qemu-arm; systemctl restart buildkit")
        bench.host.run(f"printf '%s' '{rule}' > {BINFMT}/register")
        assert bench.ids() == [("worker-masked", "linux/arm/v7")]


def test_noexec_tmpdir(bench: Bench) -> None:
    tmp = "/var/lib/buildkit/tmp"
    with bench.undone(f"umount {tmp}; systemctl restart buildkit"):
        bench.host.run(f"mount -t tmpfs -o noexec tmpfs {tmp}; systemctl restart buildkit")
        found = bench.findings()
        assert [each["id"] for each in found] == ["worker-tmpdir"]


def test_a_daemon_without_tmpdir_and_a_tmp_that_is_noexec(bench: Bench) -> None:
    folder = "/etc/systemd/system/buildkit.service.d"
    undo = f"rm -r {folder}; systemctl daemon-reload; umount /tmp; systemctl restart buildkit"
    with bench.undone(undo):
        bench.host.run(
            f"mkdir {folder}; printf '[Service]\\nUnsetEnvironment=TMPDIR\\n' > {folder}/tmp.conf;"
            "mount -t tmpfs -o noexec tmpfs /tmp; systemctl daemon-reload; systemctl restart buildkit"
        )
        assert [name for name, _ in bench.ids()] == ["worker-tmpdir"]


def test_explain_mends_a_platform_that_the_configuration_does_not_want(bench: Bench) -> None:
    with bench.undone(
        f"rm /etc/binfmt.d/qemu-riscv64.conf; echo -1 > {BINFMT}/qemu-riscv64; systemctl restart buildkit"
    ):
        # A test before may have had all of the distribution's handlers registered.
        bench.host.run(f"[ ! -e {BINFMT}/qemu-riscv64 ] || echo -1 > {BINFMT}/qemu-riscv64")
        told = bench.product("explain", "riscv64")
        broken = next(link for link in told.host["chain"] if link["id"] == told.host["broken"])
        assert broken["fix"] == bench.fix("provision", "--platforms", "linux/riscv64")
        bench.paste(broken)
        assert bench.product("explain", "riscv64").code == 0


def test_buildkitd_stopped_and_disabled(bench: Bench) -> None:
    with bench.undone("systemctl start buildkit"):
        bench.host.run("systemctl stop buildkit")
        assert bench.ids() == [("service-stopped", None)]
        assert bench.product("explain", "amd64").host["broken"] == "service"
    with bench.undone("systemctl enable --quiet buildkit"):
        bench.host.run("systemctl disable --quiet buildkit")
        assert bench.ids() == [("service-disabled", None)]


def test_buildkitd_killed(bench: Bench) -> None:
    with bench.undone("systemctl restart buildkit"):
        bench.host.run(
            # It counts as active until systemd has seen its end.
            "systemctl kill --signal=KILL buildkit; until [ $(systemctl show -P NRestarts buildkit) -gt 0 ]"
            " && systemctl is-active buildkit; do sleep 1; done"
        )
        assert bench.ids() == [("service-restarts", None)]


def test_old_version(bench: Bench) -> None:
    release = publish(bench.folder / "mirror", version=EARLIER)
    bench.host.put(release.path, "/root/old.tar.gz")
    folder = bench.host.run("readlink /opt/buildkit/current").stdout.strip()
    link = "ln -sfn {} /opt/buildkit/current; systemctl restart buildkit"
    with bench.undone(link.format(folder)):
        bench.host.run(
            f"mkdir -p /opt/old && tar -xzf /root/old.tar.gz -C /opt/old; {link.format('/opt/old')}"
        )
        assert bench.ids() == [("drift", None), ("worker-version", None)]


def test_socket_mode(bench: Bench) -> None:
    socket = "/run/buildkit/buildkitd.sock"
    with bench.undone("true"):
        bench.host.run(f"chmod 666 {socket}")
        (found,) = bench.findings()
        assert (found["id"], found["severity"]) == ("socket-access", "error")
        bench.paste(found)


@pytest.mark.parametrize(
    ("flag", "name", "severity"),
    [
        ("--addr tcp://0.0.0.0:0", "listener-open", "error"),
        ("--oci-worker-snapshotter native", "worker-snapshotter", "warning"),
        ("--oci-worker-no-process-sandbox", "worker-process-mode", "warning"),
    ],
)
def test_a_flag_given_to_the_daemon_by_hand(bench: Bench, flag: str, name: str, severity: str) -> None:
    """The product itself gives none of these."""
    folder = "/etc/systemd/system/buildkit.service.d"
    unit = "/etc/systemd/system/buildkit.service"
    with bench.undone(f"rm -r {folder}; systemctl daemon-reload; systemctl restart buildkit"):
        bench.host.run(
            f"mkdir {folder}; start=$(sed -n 's/^ExecStart=//p' {unit});"
            f"printf '[Service]\\nExecStart=\\nExecStart=%s {flag}\\n' \"$start\" > {folder}/by-hand.conf;"
            "systemctl daemon-reload; systemctl restart buildkit"
        )
        (found,) = bench.findings()
        assert (found["id"], found["severity"]) == (name, severity)


@pytest.mark.parametrize(
    ("change", "back", "unit", "name"),
    [
        ("mask", "unmask", "systemd-binfmt.service", "boot-no-loader"),
        ("disable", "enable", "proc-sys-fs-binfmt_misc.mount", "boot-no-mount"),
    ],
)
def test_a_unit_is_gone_from_the_boot(bench: Bench, change: str, back: str, unit: str, name: str) -> None:
    """What it has done since the last one is still there."""
    with bench.undone(f"systemctl {back} --quiet {unit}"):
        bench.host.run(f"systemctl {change} --quiet {unit}")
        assert bench.ids() == [(name, None)]


@pytest.mark.parametrize(
    ("folder", "file", "condition"),
    [
        ("/etc", "old.conf", "ConditionPathIsReadWrite=/proc/sys"),
        ("/usr/lib", "wsl.conf", "ConditionVirtualization=!container"),
        ("/usr/local/lib", "zz.conf", "AssertPathExists=/nonexistent"),
    ],
)
def test_a_loader_that_somebody_else_stops(bench: Bench, folder: str, file: str, condition: str) -> None:
    """The condition of systemd before 253, where /proc/sys is read-only, and drop-ins as that of Ubuntu on WSL."""
    ours, folder = (
        "/etc/systemd/system/systemd-binfmt.service.d",
        f"{folder}/systemd/system/systemd-binfmt.service.d",
    )
    with bench.undone(f"rm -r {folder}; rm -rf {ours}; systemctl daemon-reload"):
        bench.host.run(f"mkdir -p {folder}; printf '[Unit]\\n{condition}\\n' > {folder}/{file}")
        (found,) = bench.findings()
        assert found["id"] == "boot-no-loader"
        assert f"{condition} ({folder}/{file})" in found["evidence"]
        assert [step["id"] for step in bench.product("plan").host["steps"]] == ["binfmt-loader"]
        assert bench.product("provision").code == 0
        assert bench.ids() == []
        # It flushes the table and loads it again, as at boot.
        bench.host.run("systemctl daemon-reload; systemctl restart systemd-binfmt")
        assert bench.host.run("systemctl show -P ConditionResult systemd-binfmt").stdout == "yes\n"
        assert bench.ids() == []


@pytest.mark.parametrize(
    ("file", "change", "name"),
    [
        ("/proc/meminfo", "s/^(MemTotal|SwapTotal): .*/\\1: 300000 kB/", "memory-low"),
        ("/proc/cgroups", "s/^(memory\\t.*)1$/\\10/", "cgroup-memory"),
    ],
)
def test_a_small_board(bench: Bench, file: str, change: str, name: str) -> None:
    """The machine has what it has; the host is shown the kernel's own file with one number changed."""
    with bench.undone(f"umount {file}"):
        bench.host.run(f"sed -E '{change}' {file} > /root/changed; mount --bind /root/changed {file}")
        assert bench.ids() == [(name, None)]


def test_inodes_run_out(bench: Bench) -> None:
    """On a filesystem that has few of them, and as much room as the disk, from which the limits of the cache follow."""
    state = "/var/lib/buildkit"
    with bench.undone(f"systemctl stop buildkit; umount {state}; systemctl start buildkit"):
        bench.host.run(
            f"systemctl stop buildkit; mount -t tmpfs -o nr_inodes=20000,size=16g tmpfs {state};"
            f"mkdir -m 700 {state}/tmp; systemctl start buildkit"
        )
        assert bench.ids() == [("inodes-low", None)]


@pytest.mark.parametrize(("words", "severity"), [("- 1 hour", "warning"), ("+ 2 days", "error")])
def test_the_clock_is_off(bench: Bench, words: str, severity: str) -> None:
    """All hosts here share one clock: this one's `date` shows another."""
    with bench.undone("umount /usr/bin/date"):
        bench.host.run(
            """cp /usr/bin/date /root/date; cat > /root/wrong-date; chmod 755 /root/wrong-date;
            mount --bind /root/wrong-date /usr/bin/date""",
            stdin=f"""#!/bin/sh\nexec /root/date -d 'now {words}' "$@"\n""",
        )
        assert [(each["id"], each["severity"]) for each in bench.findings()] == [("clock-off", severity)]


@pytest.mark.parametrize(("left", "severity"), [("2000000", "warning"), ("500000", "error")])
def test_disk_nearly_full(bench: Bench, left: str, severity: str) -> None:
    """`left` in KiB."""
    with bench.undone("rm /var/lib/buildkit/full"):
        free = bench.host.run("df -Pk /var/lib/buildkit | tail -n 1 | awk '{print $4}'").stdout
        bench.host.run(f"fallocate -l {int(free) - int(left)}K /var/lib/buildkit/full")
        assert [(each["id"], each["severity"]) for each in bench.findings()] == [("disk-low", severity)]


def test_deep_builds_for_every_platform_and_measures(bench: Bench) -> None:
    seen = bench.product("health", "--deep")
    assert seen.code == 0, seen
    rows = {row["platform"]: row for row in seen.host["platforms"]}
    assert {name for name, row in rows.items() if row["builds"]} == set(WANTED)
    assert all(rows[name]["slower"] > 0.5 for name in WANTED[1:])
    assert rows["linux/amd64"]["slower"] is None
    seen_of = [(row["wanted"], row["owner"], row["static"]) for row in rows.values() if row["handler"]]
    assert set(seen_of) >= {(True, "provision", True)}
    assert all(rows[name]["milliseconds"] > 0 for name in WANTED)
    rule = bench.host.run(f"grep ^: {RULE}").stdout.strip()
    with bench.undone(f"printf '%s' '{rule}' > {BINFMT}/register"):
        bench.host.run(f"echo -1 > {BINFMT}/qemu-s390x")
        broken = bench.product("health", "--deep")
        found = {each["id"]: each for each in broken.host["findings"]}
        assert set(found) == {"handler-missing", "worker-build"}
        assert "exec format error" in found["worker-build"]["evidence"], found
        assert [row["builds"] for row in broken.host["platforms"] if row["platform"] == "linux/s390x"] == [
            False
        ]


def test_platforms_builds_for_each_when_asked(bench: Bench) -> None:
    rows = {row["platform"]: row for row in bench.product("platforms", "--deep").host["platforms"]}
    assert {name for name, row in rows.items() if row["builds"]} == set(WANTED)
    rows = {row["platform"]: row for row in bench.product("platforms").host["platforms"]}
    assert all(rows[name]["builds"] is None for name in WANTED)


def test_severity_sets_the_threshold(bench: Bench) -> None:
    with bench.undone("systemctl enable --quiet buildkit"):
        bench.host.run("systemctl disable --quiet buildkit")
        assert bench.product("health", "--severity", "warning").code == 5
        seen = bench.product("health", "--severity", "error")
        assert (seen.code, [each["id"] for each in seen.host["findings"]]) == (0, ["service-disabled"])
        for threshold, failures in (("error", 0), ("warning", 1)):
            options = ("--severity", threshold, "--hosts", bench.host.name, "--format", "junit")
            assert f'failures="{failures}"' in provision("health", *options, cwd=bench.folder).out


CONTAINER: Final = f"""
mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/usr/bin && mv /root/qemu-aarch64 /mnt/usr/bin/ && mkdir -p /mnt/proc &&
mount --rbind /proc /mnt/proc && cp /bin/busybox /mnt/usr/bin/ &&
chroot /mnt /usr/bin/busybox sh -c 'cat > {BINFMT}/register' < /root/rule
"""
"""As `docker run --privileged tonistiigi/binfmt` does it: in its own mounts and root, which end with it."""


@pytest.mark.needs("qemu-aarch64-static")
def test_an_untouched_host_that_used_the_container_way(boot: Callable[[str], Host], tmp_path: Path) -> None:
    """Works now, gone after the reboot; the command that the finding gives makes it permanent."""
    bench = prepare(tmp_path, boot("used"))
    host = bench.host
    (tmp_path / "provision.toml").write_text(
        (tmp_path / "provision.toml").read_text().replace(json.dumps(WANTED), json.dumps(["linux/arm64"]))
    )
    assert bench.ids() == [("not-provisioned", None)]
    host.run("systemctl start proc-sys-fs-binfmt_misc.mount")
    host.put(Path("/usr/bin/qemu-aarch64-static"), "/root/qemu-aarch64")
    host.put(busybox("amd64"), "/bin/busybox")
    rule = binfmt.format_rule(binfmt.handler(of_platform("linux/arm64"), "/usr/bin/qemu-aarch64", "PFC"))
    host.run("cat > /root/rule", stdin=rule)
    host.run("cat > /root/container && unshare --mount sh /root/container", stdin=CONTAINER)
    assert bench.ids() == [("not-provisioned", None), ("handler-container", "linux/arm64")]
    found = bench.findings()[1]
    assert "works now" in found["evidence"]
    assert "gone after the next boot" in found["consequence"]
    assert found["fix"] == bench.fix("provision", "--platforms", "linux/arm64")
    bench.paste(found)
    assert bench.findings() == []
    host.reboot()
    assert bench.findings() == []
