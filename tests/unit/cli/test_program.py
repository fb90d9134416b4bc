"""The command line before a task begins: help that teaches, and what a slip of the hand is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from provision import __version__
from provision.cli import called
from provision.cli import tasks as cli
from provision.cli.call import TASKS, Call
from provision.cli.fabric import of_fabric
from provision.cli.program import Program
from provision.errors import nearest
from provision.fix import Place
from provision.hosts.connect import Connector
from provision.report import Style
from provision.result import HostResult
from provision.spec import Config, Host, Ssh
from provision.transport.ssh import SSH
from provision.user_folders import own_name
from tests.lab.checkout import ROOT
from tests.lab.cli import COMMAND, FAB, environment, provision

SLIPS = {
    ("provison",): ("there is no command 'provison'", "Did you mean provision?"),
    ("zzz",): ("there is no command 'zzz'", "provision --list shows all."),
    ("--help", "helth"): ("there is no command 'helth'", "Did you mean health?"),
    ("health", "--hots", "pi"): ("there is no option '--hots'", "Did you mean --hosts?"),
    ("hosts", "plan", "--plattforms", "arm64"): (
        "there is no option '--plattforms'",
        "Did you mean --platforms?",
    ),
    ("plan", "--hosts"): ("--hosts needs a value", "provision plan --help says which."),
    ("health", "--hosts", "a.b", "--hosts=c.d"): (
        "--hosts was given twice",
        "It takes a comma-separated list: --hosts a.b,c.d",
    ),
    ("health", "--jobs", "1", "--jobs", "2"): ("--jobs was given twice", "Give it once."),
    ("explain",): ("explain needs a PLATFORM", "provision explain --help says which."),
    ("verify",): ("verify needs an IMAGE", "provision verify --help says which."),
    ("verify", "app", "--hosts", "127.0.0.1"): (
        "verify works on this machine only",
        "Leave --hosts out.",
    ),
    ("verify", "App"): (
        "'App' is no name of an image",
        "Write [HOST[:PORT]/]NAME[:TAG] or …@sha256:…. Repository names are in lower case.",
    ),
}


@pytest.mark.parametrize("words", SLIPS, ids=" ".join)
def test_a_slip_is_told_what_was_meant(words: tuple[str, ...], tmp_path: Path) -> None:
    what, to_do = SLIPS[words]
    seen = provision(*words, cwd=tmp_path)
    assert (seen.code, seen.out) == (1, "")
    assert seen.err == f"error: {what}\n  what to do: {to_do}\n"


@pytest.mark.parametrize("program", [COMMAND, FAB], ids=["provision", "fab"])
def test_a_dry_run_of_invoke_is_none_of_ours(program: Path, tmp_path: Path) -> None:
    """It would have done all of it."""
    (tmp_path / "fabfile.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tasks import namespace\n"
    )
    done = subprocess.run(
        [program, "--dry", "platforms", "--hosts", "127.0.0.1:1"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: --dry is Invoke's")
    assert "plan shows what provision would change" in done.stderr


@pytest.mark.parametrize("words", [(), ("--help",)], ids=["nothing", "help"])
def test_help_shows_the_commands_and_none_of_invokes_own_flags(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    seen = provision(*words, cwd=tmp_path)
    assert (seen.code, seen.err) == (0, "")
    assert seen.out.startswith("Usage: provision COMMAND")
    assert "Make it a build machine" in seen.out
    assert "--dry" not in seen.out


@pytest.mark.parametrize(
    "words", [("explain", "--help"), ("explain", "-h"), ("--help", "explain")], ids=" ".join
)
def test_help_of_a_task_with_an_argument(words: tuple[str, ...], tmp_path: Path) -> None:
    seen = provision(*words, cwd=tmp_path)
    assert (seen.code, seen.err) == (0, "")
    assert "--ask-sudo-password" in seen.out


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "words",
    [
        ("health", "--help"),
        ("--help",),
        ("--list",),
        ("--version",),
        ("hosts",),
        ("hosts", "--format", "json"),
    ],
    ids=" ".join,
)
def test_a_reader_may_stop_early(words: tuple[str, ...], unbuffered: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [COMMAND, *words],
        cwd=tmp_path,
        env=environment(tmp_path) | {"PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--help",), 0), (("hosts",), 0), (("hosts", "--hosts", "@none"), 1), (("helth",), 1)],
    ids=str,
)
def test_the_exit_code_is_the_same_for_a_reader_that_stops_early(
    words: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    """Here of both streams, as `2>&1 | head` does."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [COMMAND, *words],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=writing,
        stderr=writing,
        check=False,
    )
    os.close(writing)
    assert done.returncode == code


def start_of_inv() -> str:
    """The Python that `inv` starts the tasks with; its first argument is the checkout."""
    return (ROOT / "inv").read_text().rpartition("-I -c '")[2].partition("'")[0]


def test_modules_in_the_users_folder_are_not_ours(tmp_path: Path) -> None:
    for name in ("tasks", "provision", "invoke", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')")
    inv = [sys.executable, "-I", "-c", start_of_inv(), str(ROOT), "--version"]
    done = subprocess.run(inv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"inv {__version__}\n", "")


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert own_name() == "54321"


def test_what_python_compiled_is_kept(tmp_path: Path) -> None:
    """Invoke forbids it by default, and each run compiled ninety modules anew: a quarter of its processor time."""
    kept = {"PYTHONPYCACHEPREFIX": str(tmp_path / "kept")}
    assert provision("hosts", cwd=tmp_path, env=kept).code == 0
    # A module that is imported after the command line was read.
    assert list((tmp_path / "kept").rglob("provision/report/table.*.pyc"))


def test_a_program_may_call_a_task_with_some_options_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    tasks = cli.namespace().tasks
    tasks["hosts"](Context(), hosts="10.0.0.5")
    assert "10.0.0.5" in capsys.readouterr().out
    with pytest.raises(Exit) as caught:
        TASKS.tasks["explain"](Context())
    assert caught.value.code == 1
    assert "explain needs a PLATFORM" in capsys.readouterr().err


def test_the_sudo_password_of_a_connection_is_used_where_no_other_is_configured() -> None:
    import fabric  # noqa: PLC0415 - slow

    config = fabric.Config(overrides={"sudo": {"password": "s3cret"}})
    found = of_fabric(fabric.Connection("pi1", config=config))
    assert found is not None
    assert found.sudo_password is not None
    assert "s3cret" not in repr(found)
    for ssh, expected in ((Ssh(), "s3cret"), (Ssh(sudo_password_command="echo other"), "other")):
        connector = Connector(config=Config(ssh=ssh), say=print, sudo_password=found.sudo_password)
        connector.prepare((Host(name="pi1"),))
        transport = connector.connect(Host(name="pi1"))
        assert isinstance(transport, SSH)
        assert transport._password is not None
        assert transport._password.reveal() == expected


@pytest.mark.parametrize(
    ("word", "meant"), [("Hostx", "hosts"), ("PLATFORM", "Platforms"), ("zzz", None), ("", None)]
)
def test_the_nearest_word_whatever_its_case(word: str, meant: str | None) -> None:
    assert nearest(word, ["hosts", "Platforms"]) == meant


def test_a_connection_of_fab_is_named_as_fab_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import fabric  # noqa: PLC0415 - slow

    connection = fabric.Connection("carol@pi1:2222", connect_kwargs={"key_filename": ["a key"]})
    found = of_fabric(connection)
    assert found is not None
    assert found.words == ("-i", "a key", "-H", "carol@pi1:2222")
    for path, words in (("/usr/bin/fab", ("/usr/bin/fab", *found.words)), ("build.py", ("provision",))):
        monkeypatch.setattr(sys, "argv", [path])
        assert called.words_of(connection, found) == words


@pytest.mark.parametrize(
    ("host", "selection", "ssh"),
    [
        (Host(name="localhost", local=True), (), ()),
        (Host(name="pi1", host="10.0.0.7", user="pi"), ("--hosts", "pi1"), ("ssh", "pi@10.0.0.7")),
    ],
)
def test_a_result_knows_where_its_fixes_are_read(
    host: Host, selection: tuple[str, ...], ssh: tuple[str, ...]
) -> None:
    call = Call(
        name="health",
        typed={"config": "my.toml", "jobs": "3"},
        options={},
        config=Config(),
        selection="",
        hosts=(host,),
        style=Style.of("table"),
        program=("./inv",),
    )
    place = call.placed(host, HostResult(host=host.name, status="ok", place=Place(sudo=True))).place
    assert place == Place(
        program=("./inv",), selection=selection, options=(("config", "my.toml"),), ssh=ssh, sudo=True
    )
    through_fab = replace(call, program=("fab", "-H", "pi1"))
    assert through_fab.placed(host, HostResult(host=host.name, status="ok")).place.selection == ()


def test_ctrl_c_before_a_task_begins_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_self: Program) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Program, "parse_collection", interrupted)
    with pytest.raises(SystemExit) as caught:
        Program(name="inv", binary="inv", namespace=cli.namespace()).run(["inv", "--list"])
    assert caught.value.code == 130


@pytest.mark.parametrize(("handler", "code"), [("SIG_DFL", -signal.SIGINT), ("SIG_IGN", 0)])
def test_ctrl_c_during_the_imports_leaves_no_traceback(handler: str, code: int, tmp_path: Path) -> None:
    # A module that is interrupted while it is imported.
    (tmp_path / "tasks.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\ndef main() -> None: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", start_of_inv(), str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, getattr(signal, handler)),
    )
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.needs("ssh")
def test_another_system_than_linux_names_other_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Mac may ask for help and reach others, by --only-failed too; only its own machine cannot be meant."""
    mac = os.uname_result(("Darwin", "mac", "24.0", "", "arm64"))
    monkeypatch.setattr(os, "uname", lambda: mac)
    for words, code in (
        (("check",), 1),
        (("top",), 1),
        (("check", "--hosts", "127.0.0.1:9"), 4),
    ):
        with pytest.raises(SystemExit) as caught:
            Program(name="provision", binary="provision", namespace=cli.namespace()).run(
                ["provision", *words]
            )
        assert caught.value.code == code, words
        assert ("does not run Linux" in capsys.readouterr().err) == (code == 1)
    for word in ("--help", "--version"):
        with pytest.raises(SystemExit) as caught:
            Program(name="provision", binary="provision", namespace=cli.namespace()).run(["provision", word])
        assert caught.value.code == 0


def test_inv_starts_by_a_link_where_readlink_knows_no_flags(tmp_path: Path) -> None:
    """As on macOS before 12.3."""
    stub = tmp_path / "bin/readlink"
    stub.parent.mkdir()
    real = shutil.which("readlink")
    stub.write_text(
        f'#!/bin/sh\ncase $1 in -*) echo "readlink: illegal option" >&2; exit 1 ;; esac\nexec {real} "$1"\n'
    )
    stub.chmod(0o755)
    (tmp_path / "first").symlink_to(ROOT / "inv")
    (tmp_path / "bin/inv").symlink_to("../first")
    for word in (str(tmp_path / "bin/inv"), "inv"):
        done = subprocess.run(
            [word, "--version"],
            cwd=tmp_path,
            env=environment(tmp_path)
            | {"PATH": f"{stub.parent}:{os.environ['PATH']}", "PROVISION_VENV": sys.prefix},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "readlink" in done.stderr) == (0, False), (word, done.stderr)
