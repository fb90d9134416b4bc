"""The script that runs buildkitd where systemd does not, in every shell.

The daemon here is a shell script run by a shell of its own below /opt/buildkit, so that the kernel names that as what
runs. The real one is in tests/host.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision import paths
from provision.render import render
from provision.services import process
from provision.services.manager import Settings
from provision.spec import Buildkit
from provision.transport import Answer
from tests.lab.namespace import Namespace
from tests.lab.patience import until
from tests.shells.environment import CASES
from tests.shells.machine import WITHOUT_APPLETS, Machine

# The group is one that a namespace with a single user has.
SETTINGS = Settings(
    buildkit=Buildkit(group="root", listen=("tcp://127.0.0.1:1234",)),
    version="v0.32.2",
    generation="0123456789abcdef",
)
DAEMON = """#!/opt/buildkit/v1/bin/sh
trap 'exit 1' TERM
cat "/proc/$$/environ" >/lab/environ
cat "/proc/$$/limits" >/lab/limits
cat "/proc/$$/stat" >/lab/stat
printf '%s\\n' "$@" >/lab/arguments
umask >/lab/umask
[ ! -e /var/lib/buildkit/buildkitd.lock ] || exec 7</var/lib/buildkit/buildkitd.lock
readlink "/proc/$$/cwd" >/lab/cwd
echo "the daemon's first words"
[ ! -e /lab/fails ] || { echo "no room at the inn" >&2; printf 'main.main\\n\\tmain.go:1\\n' >&2; exit 1; }
[ -e /lab/silent ] || ln -f /lab/socket /run/buildkit/buildkitd.sock
[ ! -e /lab/deaf ] || trap '' TERM
while :; do
  [ ! -e /lab/talks ] || echo "word after word after word after word after word"
  sleep 0.05
done
"""
CLIENT = "#!/bin/sh\n[ -e /lab/silent ] && exit 1\necho ok\n"


@dataclass(kw_only=True)
class Service:
    """The script on a host in a folder."""

    machine: Machine
    space: Namespace

    def __call__(self, verb: str) -> Answer:
        return self.space.ask(f"{paths.SERVICE_SCRIPT} {verb}", timeout=30)

    def install(self, **changes: float) -> None:
        """The script, with other limits than the product's."""
        file = process.script(SETTINGS, **changes)  # type: ignore[arg-type]
        text = file.text.replace(f"+ {process.START_SECONDS}))", "+ 2))").replace(
            f"+ {process.STOP_SECONDS}))", "+ 1))"
        )
        self.machine.write(file.path, text, file.mode)

    def log(self) -> str:
        return self.machine.at(paths.LOG).read_text()

    def pid(self) -> int:
        return int(self.machine.at(paths.PID).read_text())

    def kill(self) -> int:
        """Ends the daemon as a crash or the memory killer would."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: not running(pid))
        return pid


def running(pid: int) -> bool:
    """Whether the process runs: one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def members(group: int) -> list[int]:
    """The processes of a group that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    shell = machine.base.programs / machine.shell
    machine.write("/opt/buildkit/v1/bin/sh", shell.read_bytes(), 0o755)
    machine.write("/opt/buildkit/v1/bin/buildkitd", DAEMON, 0o755)
    machine.write("/opt/buildkit/v1/bin/buildctl", CLIENT, 0o755)
    machine.at(paths.CURRENT).symlink_to("v1")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(machine.at("/lab"))  # its path may be too long for a socket's
        listener.bind("socket")
        os.chdir(here)
        made = Service(machine=machine, space=machine.open())
        made.install()
        yield made
        if machine.at(paths.PID).exists():
            for pid in members(made.pid()):
                with suppress(ProcessLookupError):  # one of them starts `sleep` again and again
                    os.kill(pid, signal.SIGKILL)


def environment(service: Service) -> dict[str, str]:
    entries = service.machine.at("/lab/environ").read_bytes().decode().split("\0")[:-1]
    return dict(entry.split("=", 1) for entry in entries)


def test_started_it_outlives_the_session_and_is_as_under_systemd(service: Service) -> None:
    answer = service("start")
    pid = service.pid()
    assert (answer.status, answer.records, answer.stderr) == (0, (f"buildkitd runs (process {pid})",), "")
    service.space.close()
    assert running(pid)
    # Its own session and process group, and no terminal.
    fields = service.machine.at("/lab/stat").read_text().rpartition(")")[2].split()
    assert fields[2:5] == [str(pid), str(pid), "0"]
    assert environment(service) == {
        "PATH": "/opt/buildkit/current/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR": "/var/lib/buildkit/tmp",
        "PROVISION_GENERATION": "0123456789abcdef",
    }
    assert service.machine.at("/lab/arguments").read_text().split("\n")[:-1] == [
        *("--config", "/etc/buildkit/buildkitd.toml", "--group", "root"),
        *("--addr", "unix:///run/buildkit/buildkitd.sock", "--addr", "tcp://127.0.0.1:1234"),
    ]
    limits = service.machine.at("/lab/limits").read_text()
    files = next(line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files"))
    assert files[0] == "1024"
    assert int(files[1]) >= 1024
    assert next(line.split()[4:6] for line in limits.splitlines() if "core" in line) == ["0", "0"]
    assert service.machine.at("/lab/umask").read_text().strip() in ("0022", "022")
    assert service.machine.at("/lab/cwd").read_text() == "/\n"
    for path, mode in (
        ("/run/buildkit", 0o750),
        (paths.STATE, 0o700),
        (paths.SCRATCH, 0o700),
        (paths.LOG, 0o640),
    ):
        assert service.machine.at(path).stat().st_mode & 0o7777 == mode, path
    assert "the daemon's first words" in service.log()


def test_started_twice_it_is_the_same_daemon(service: Service) -> None:
    service("start")
    pid = service.pid()
    again = service("start")
    assert (again.status, again.records) == (0, (f"buildkitd already runs (process {pid})",))
    assert service.pid() == pid
    assert service("status").records == (f"buildkitd runs (process {pid})",)
    assert service("restart").status == 0
    assert service.pid() != pid
    assert not running(pid)


@WITHOUT_APPLETS
def test_one_whose_mark_was_taken_away_is_found_and_replaced(service: Service) -> None:
    service.machine.write(paths.LOCK, "")
    assert service("start").status == 0
    pid = service.pid()
    service.space.run(f"rm -r {paths.SOCKET_FOLDER}")
    assert service("status").records == (f"buildkitd runs (process {pid})",)
    answer = service("start")
    assert (answer.status, answer.stderr) == (0, "")
    assert service.pid() != pid
    assert not running(pid)


def test_where_it_can_make_no_file_it_does_not_wait_for_ever(service: Service) -> None:
    service.machine.at(paths.SOCKET_FOLDER).mkdir()
    service.space = service.machine.open(f"mount -t tmpfs -o ro tmpfs {paths.SOCKET_FOLDER}")
    answer = service("start")
    assert (answer.status, answer.records) == (1, ())
    assert f"no file can be made in {paths.SOCKET_FOLDER}" in answer.stderr


def test_two_at_once_start_one_daemon(service: Service) -> None:
    # A lock that somebody left who is not there any more.
    service.machine.write("/run/buildkit/lock", "4294967295 7\n")
    script = f"{paths.SERVICE_SCRIPT} start & {paths.SERVICE_SCRIPT} start & wait"
    answer = service.space.ask(script, timeout=30)
    pid = service.pid()
    assert sorted(answer.records) == [
        f"buildkitd already runs (process {pid})",
        f"buildkitd runs (process {pid})",
    ]
    assert answer.stderr == ""
    assert "lock" not in service.machine.listing("/run/buildkit")


def test_stopped_nothing_of_it_is_left(service: Service) -> None:
    service("start")
    pid = service.pid()
    assert len(members(pid)) > 1  # what keeps the log small
    answer = service("stop")
    assert (answer.status, answer.records, answer.stderr) == (0, ("buildkitd has stopped",), "")
    assert until(lambda: not members(pid))
    assert service.machine.listing("/run/buildkit") == []
    status = service("status")
    assert (status.status, status.records) == (3, ("buildkitd does not run",))
    assert service("stop").status == 0


def test_one_that_ignores_sigterm_is_killed(service: Service) -> None:
    service.machine.write("/lab/deaf", "")
    service("start")
    pid = service.pid()
    answer = service("stop")
    assert answer.status == 0
    assert answer.stderr.startswith(
        f"buildkit-service: buildkitd did not end within {process.STOP_SECONDS} s"
    )
    assert not running(pid)


def test_one_that_dies_at_once_is_told_with_its_own_words(service: Service) -> None:
    service.machine.write("/lab/fails", "")
    answer = service("start")
    assert (answer.status, answer.records) == (1, ())
    assert answer.stderr.splitlines() == [
        "buildkit-service: buildkitd ended at once",
        "the daemon's first words",
        "no room at the inn",
    ]
    status = service("status")
    assert status.status == 1
    assert status.records[0].endswith("ended by itself")
    assert status.records[-1] == "no room at the inn"
    service.machine.at("/lab/fails").unlink()
    later = service("start")
    assert later.status == 0
    assert later.stderr.rstrip().endswith("ended by itself")


def test_one_without_a_program_is_told_too(service: Service) -> None:
    service.machine.at("/opt/buildkit/v1/bin/buildkitd").unlink()
    answer = service("start")
    assert answer.status == 1
    assert "No such file" in answer.stderr or "not found" in answer.stderr


def test_one_that_does_not_answer_is_not_left_behind(service: Service) -> None:
    service.machine.write("/lab/silent", "")
    answer = service("start")
    assert answer.status == 1
    assert answer.stderr.splitlines() == [
        f"buildkit-service: buildkitd did not answer within {process.START_SECONDS} s",
        "the daemon's first words",
    ]
    assert service("status").status == 3


def test_after_a_crash_the_next_start_says_so_and_goes_on(service: Service) -> None:
    service("start")
    killed = service.kill()
    assert service("status").status == 1
    answer = service("start")
    assert answer.status == 0
    assert (
        answer.stderr == f"buildkit-service: buildkitd does not run: its process {killed} ended by itself\n"
    )
    assert service.pid() != killed
    assert not members(killed)


def test_a_number_that_is_somebody_elses_by_now_is_left_alone(service: Service) -> None:
    service("start")
    service.kill()
    other = int(service.space.run("setsid sleep 60 >/dev/null 2>&1 & echo $!"))
    try:
        # As if the kernel had given the number away again.
        service.machine.write(paths.PID, f"{other}\n")
        service.machine.write(paths.STARTED, f"{other} 1\n")
        status = service("status")
        assert status.status == 1
        assert f"its process {other} ended, and that number is now /" in status.records[0]
        assert service("stop").status == 0
        assert running(other)
        # A release's program, started at another time.
        again = int(
            service.space.run(
                "setsid /opt/buildkit/v1/bin/sh -c 'while :; do sleep 0.05; done' >/dev/null 2>&1 & echo $!"
            )
        )
        service.machine.write(paths.STARTED, f"{again} 1\n")
        assert service("status").status == 1
        assert service("stop").status == 0
        assert running(again)
        os.kill(again, signal.SIGKILL)
        # The right time, and a program that is no release's.
        started = Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[19]
        service.machine.write(paths.STARTED, f"{other} {started}\n")
        assert service("status").status == 1
        assert service("restart").status == 0
        assert running(other)
        assert service.pid() != other
    finally:
        os.kill(other, signal.SIGKILL)


@pytest.mark.parametrize("mark", ["", "x y", "12", "4294967295 5", "1 2 3\n4 5", "\0"])
def test_a_mark_that_says_nothing_counts_for_none(service: Service, mark: str) -> None:
    service.machine.write(paths.STARTED, mark)
    assert service("status").status in (1, 3)
    assert service("start").status == 0
    assert service("status").status == 0


@pytest.mark.parametrize("in_the_way", [True, False])
def test_somebody_elses_buildkitd_is_named_if_it_has_the_state(service: Service, in_the_way: bool) -> None:
    where = paths.LOCK if in_the_way else "/lab/buildkitd.lock"
    service.machine.write(where, "")
    service.machine.write(paths.LOCK, "")
    text = f"#!/bin/sh\nexec 7<{where}\nwhile :; do sleep 0.05; done\n"
    service.machine.write("/usr/bin/buildkitd", text, 0o755)
    other = int(service.space.run("setsid /usr/bin/buildkitd >/dev/null 2>&1 & echo $!"))
    try:
        assert until(lambda: Path(f"/proc/{other}/fd/7").exists())
        answer = service("start")
        assert answer.status == int(in_the_way)
        assert service.machine.at(paths.PID).exists() != in_the_way
        told = (
            f"a buildkitd that this tool did not start runs as process {other} (/usr/bin/" in answer.stderr
        )
        assert told == in_the_way
    finally:
        os.kill(other, signal.SIGKILL)


def test_the_log_stays_small_while_the_daemon_runs(service: Service) -> None:
    service.install(limit=2000, interval=1)
    service.machine.write("/lab/talks", "")
    service("start")
    before = service.machine.at(f"{paths.LOG}.1")
    assert until(before.exists, 15)
    assert until(lambda: service.log() and len(service.log()) < 2000, 5)
    assert "word after word" in before.read_text()
    # What comes after it stands at the file's beginning, without a hole.
    assert until(lambda: service.log().startswith("word after"))
    assert before.stat().st_mode & 0o7777 == 0o640


def test_a_large_log_is_put_aside_by_the_next_start(service: Service) -> None:
    service.install(limit=2000)
    service.machine.write(paths.LOG, "x" * 3000)
    assert service("start").status == 0
    assert service.machine.at(f"{paths.LOG}.1").read_text() == "x" * 3000
    assert "x" * 3000 not in service.log()


def test_its_environment_is_read_as_systemd_reads_it(service: Service) -> None:
    service.machine.write(
        paths.ENVIRONMENT, "A=one\n# B=2\nC='$(touch /lab/pwned) three'\nTMPDIR=/elsewhere\n"
    )
    assert service("start").status == 0
    found = environment(service)
    assert found["PROVISION_GENERATION"] == SETTINGS.generation
    assert (found["A"], found["C"], found["TMPDIR"]) == ("one", "$(touch /lab/pwned) three", "/elsewhere")
    assert not service.machine.at("/lab/pwned").exists()


def test_every_form_of_an_environment_file(machine: Machine) -> None:
    setup = "tab=$(printf '\\t') carriage=$(printf '\\r')\nnewline='\n'\nset --\n"
    each = render("services/environment.sh", paths=paths)
    for text, expected in CASES:
        machine.write(paths.ENVIRONMENT, text)
        answer = machine.space.ask(f"{setup}{each}\nprintf '%s\\000' \"$@\" >/lab/words", timeout=30)
        assert (answer.status, answer.stderr) == (0, ""), text
        words = machine.at("/lab/words").read_bytes().decode().split("\0")[:-1]
        found = dict(word.split("=", 1) for word in words if word)
        assert found == expected, text
        assert not machine.at("/lab/pwned").exists()


def test_handlers_that_are_missing_are_registered_and_no_others(service: Service) -> None:
    mine = f"{paths.RULES}/qemu-lab.conf"
    header = "# Written by provision. A header.\n"
    rule = ":qemu-lab:M::\\x7fELFlab::/bin/sh:F"
    service.machine.write(mine, f"{header}{rule}\n")
    service.machine.write(
        f"{paths.RULES}/qemu-slash.conf", f"{header}|qemu-slash|M||\\x7fELFsla||/bin/s:h|\n"
    )
    service.machine.write(f"{paths.RULES}/qemu-bad.conf", f"{header}:qemu-bad:M::\\x7fELFbad::/no/such:F")
    service.machine.write(f"{paths.RULES}/qemu-theirs.conf", ":theirs:M::\\x7fELFthe::/bin/sh:\n")
    service.machine.write(f"{paths.RULES}/other.conf", f"{header}:other:M::\\x7fELFoth::/bin/sh:\n")
    answer = service("handlers")
    assert (answer.status, answer.stderr) == (1, "buildkit-service: qemu-bad could not be registered\n")
    listed = set(service.space.run(f"ls {paths.BINFMT}").split()) - {"register", "status"}
    assert listed == {"qemu-lab", "qemu-slash"}
    assert "interpreter /bin/s:h" in service.space.run(f"cat {paths.BINFMT}/qemu-slash")
    # One that is there stays, whatever the file says by now.
    service.machine.write(mine, f"{header}{rule.replace('/bin/sh', '/bin/cat')}\n")
    assert service("handlers").stderr == "buildkit-service: qemu-bad could not be registered\n"
    assert "interpreter /bin/sh" in service.space.run(f"cat {paths.BINFMT}/qemu-lab")
    # The line for a boot script brings them too, and a bad one does not keep the daemon from running.
    service.space.run(f"echo -1 >{paths.BINFMT}/qemu-lab")
    started = service("start")
    assert (started.status, "qemu-bad" in started.stderr) == (0, True)
    assert "qemu-lab" in service.space.run(f"ls {paths.BINFMT}")


def test_the_table_is_mounted_first(machine: Machine) -> None:
    file = process.script(SETTINGS)
    machine.write(file.path, file.text, file.mode)
    machine.write(
        f"{paths.RULES}/qemu-lab.conf", "# Written by provision\n:qemu-lab:M::\\x7fELFlab::/bin/sh:F\n"
    )
    space = machine.open("true")
    assert space.ask(f"{file.path} handlers", timeout=30).status == 0
    assert "qemu-lab" in space.run(f"ls {paths.BINFMT}")


def test_a_wrong_word_is_refused(service: Service) -> None:
    for verb in ("", "reload", "start_line", "last_words"):
        answer = service(verb)
        assert answer.status == 2
        assert answer.stderr.startswith("buildkit-service: use one of: start,")


@WITHOUT_APPLETS
def test_without_root_it_says_so_and_touches_nothing(service: Service) -> None:
    service.machine.fake("id", "echo 1000")
    answer = service("start")
    assert (answer.status, answer.stderr) == (4, "buildkit-service: needs root\n")
    assert not service.machine.at("/run/buildkit").exists()
