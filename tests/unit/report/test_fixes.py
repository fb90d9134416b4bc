"""Every fix that is shown can be pasted where it is read: for this machine or another, whatever program was started."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import fabric.main
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invoke.program import Program as InvokeProgram

from provision.cli import called
from provision.cli import tasks as cli
from provision.cli.program import Program
from provision.errors import UsageError
from provision.facts import Facts
from provision.fix import HERE, NO_FIX, PROVISION, Fix, HostCommand, Place, ToolCommand, run, shell_line
from provision.health.explain import explain
from provision.hosts.by_hand import ssh_words
from provision.plan.requirements import REQUIREMENTS, check_all
from provision.report import Report, Style, output
from provision.report.envelope import envelope
from provision.report.fixes import FixText, advice, written
from provision.result import ChainLink, CheckLine, Finding, HostResult
from provision.spec import Config, Host, Spec, Ssh
from tests.lab.checkout import ROOT
from tests.unit import recorded
from tests.unit.health.test_every_finding import HOSTILE, all_faults, all_findings
from tests.unit.plan.faults import FAULTS
from tests.unit.plan.test_requirements import NAMED, UNNAMED, target
from tests.unit.recorded import settled

PROGRAMS: Final = {
    "inv": ("./inv",),
    "installed": ("provision",),
    "fab": ("fab", "-i", "my key", "-H", "ci@pi1"),
}
SIGNS: Final = {"inv": "./inv", "installed": "provision provision", "fab": "fab -"}
"""What only a text for that program may hold."""
CONFIG: Final = (("config", "my hosts.toml"),)
SSH: Final = ("ssh", "-F", "my config", "-p", "2222", "ci@10.0.0.5")
PLACES: Final = {
    "here, as root": Place(),
    "here, not as root": Place(sudo=True, options=CONFIG),
    "elsewhere, as root": Place(selection=("--hosts", "pi1"), ssh=("ssh", "pi1")),
    "elsewhere, not as root": Place(
        selection=("--hosts", "ci@10.0.0.5:2222"), options=CONFIG, ssh=SSH, sudo=True
    ),
}
EVERYWHERE: Final = sorted(product(PROGRAMS, PLACES))
FAR: Final = PLACES["elsewhere, not as root"]


def place_of(program: str, name: str) -> Place:
    place = replace(PLACES[name], program=PROGRAMS[program])
    return replace(place, selection=()) if program == "fab" else place


@cache
def links() -> tuple[ChainLink, ...]:
    """Of every fault for several platforms, wanted or not."""
    found = {}
    for fault, _ in all_faults():
        for platform in ("linux/amd64", "linux/386", "linux/arm64", "linux/riscv64"):
            chain, _findings = explain(Spec(platforms=(platform,)), fault.change(settled()), platform)
            for link in chain:
                found[link] = replace(link, fix=link.fix.for_platform(platform))
    return (*found, *found.values())


@cache
def lines() -> tuple[CheckLine, ...]:
    """Of `check`, on hosts that lack one thing or everything."""
    hosts = (recorded.facts("bare"), settled())
    targets = [
        target(fault.facts(host), fault.spec(spec))
        for fault in FAULTS.values()
        for host in hosts
        for spec in (NAMED, UNNAMED)
    ]
    targets.append(target(Facts()))
    found = tuple({line: None for each in targets for line in check_all(each)})
    assert {line.id for line in found if line.fix} == {each.id for each in REQUIREMENTS}
    return found


@cache
def findings() -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(all_findings()))


def everything(place: Place) -> list[tuple[Fix, str]]:
    """Each fix, and its text in the JSON of the command that shows it."""
    host = HostResult(
        host="pi1", status="ok", findings=findings(), chain=links(), checks=lines(), place=place
    )
    found = []
    shown_by: tuple[tuple[str, str, tuple[Finding | ChainLink | CheckLine, ...]], ...] = (
        ("health", "findings", host.findings),
        ("explain", "chain", host.chain),
        ("check", "checks", host.checks),
    )
    for command, key, items in shown_by:
        shown = envelope(Report(command=command, hosts=(host,)))["hosts"][0][key]
        found += [(item.fix, each["fix"]) for item, each in zip(items, shown, strict=True)]
    assert len(found) > 200
    return list(dict.fromkeys(found))


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each command; what stands behind a # is none."""
    words: list[str] = []
    for word in [*shlex.split(text, comments=True), "&&"]:
        if word != "&&":
            words.append(word)
        elif words:
            yield words
            words = []


@cache
def parses(line: str) -> bool:
    return subprocess.run(["sh", "-n"], input=line, text=True, check=False).returncode == 0


@cache
def parsed(words: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The task and its options, as the program of these words takes them. Ends the test for what it does not take."""
    program: InvokeProgram
    if words[0] == "fab":
        program = fabric.main.make_program()
    else:
        program = Program(name="x", binary=words[0], namespace=cli.namespace())
    program.create_config()
    program.parse_core(list(words))
    program.parse_collection()
    program.parse_tasks()
    (context,) = program.tasks
    return str(context.name), {name: argument.value for name, argument in context.args.items()}


@pytest.mark.parametrize(("program", "name"), EVERYWHERE)
def test_every_fix_can_be_pasted(program: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # fab looks for its fabfile
    place = place_of(program, name)
    for fix, text in everything(place):
        assert parses(text), text
        assert bool(text) == bool(fix)
        typed = list(commands_in(text))
        wanted = [each for each in fix.commands if isinstance(each, ToolCommand)]
        mine = [words for words in typed if words[: len(place.program)] == list(place.program)]
        assert [parsed(tuple(words))[0] for words in mine] == [each.task for each in wanted], text
        for words in mine:
            _, options = parsed(tuple(words))
            assert options["hosts"] == (place.selection[1] if place.selection else "")
            assert options["config"] == dict(place.options).get("config", "")
        for words in typed:
            if words not in mine:
                assert words[0] not in ("./inv", "inv", "fab", "provision"), text
                assert_reaches_the_host(words, place)
        assert not any(sign in text for other, sign in SIGNS.items() if other != program), text


def assert_reaches_the_host(words: list[str], place: Place) -> None:
    if place.ssh:
        assert words[0] == "ssh"
        assert words[-2] == place.ssh[-1], words
        assert ("-t" in words) == place.sudo
        assert parses(words[-1])
        for inner in commands_in(words[-1]):
            assert (inner[0] == "sudo") == place.sudo, words
    else:
        assert (words[0] == "sudo") == place.sudo, words
    assert all(parses(line) for line in words if "sh -c" in line)


def test_words_never_become_part_of_a_command() -> None:
    text = str(written(Fix.by(PROVISION, words="one\ntwo\rthree\u2028; four"), HERE))
    assert text == "provision provision  # one two three ; four"
    assert str(written(Fix(words="add swap"), FAR)) == "# add swap"
    assert written(NO_FIX, FAR) == FixText(command="", words="")


def test_what_runs_there_goes_over_one_connection() -> None:
    fix = Fix.by(run("a", "b c"), shell_line("echo 1 > /x"), PROVISION, run("d", root=False))
    assert (
        written(fix, PLACES["here, as root"]).command == "a 'b c' && echo 1 > /x && provision provision && d"
    )
    assert written(fix, FAR).command == (
        "ssh -t -F 'my config' -p 2222 ci@10.0.0.5 "
        "\"sudo a 'b c' && sudo sh -c 'echo 1 > /x'\""
        " && provision provision --hosts ci@10.0.0.5:2222 --config 'my hosts.toml'"
        " && ssh -F 'my config' -p 2222 ci@10.0.0.5 d"
    )


def test_options_of_a_fix_beat_those_that_are_repeated() -> None:
    place = Place(options=(("platforms", "linux/arm64"), ("ask_sudo_password", "")))
    fix = Fix.by(PROVISION, ToolCommand(task="explain", arguments=("linux/386",))).for_platform("linux/386")
    assert written(fix, place).command == (
        "provision provision --platforms linux/386 --ask-sudo-password"
        " && provision explain linux/386 --platforms linux/arm64 --ask-sudo-password"
    )


STUBS: Final = {
    # The last word is the command; sshd hands it to the login shell.
    "ssh": 'for word; do :; done\nexec sh -c "$word"\n',
    "sudo": 'exec "$@"\n',
    "record": 'printf "%s\\0" "$@"\n',
}


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stubs")
    for name, script in STUBS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}")
        (folder / name).chmod(0o755)
    return folder


@settings(deadline=None, max_examples=40)
@given(
    words=st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"))),
    name=st.sampled_from(sorted(PLACES)),
    remark=st.text(),
    in_a_line=st.booleans(),
)
def test_arguments_arrive_whole(
    stubs: Path, words: list[str], name: str, remark: str, in_a_line: bool
) -> None:
    """Names of handlers and files are others' choice: none of them ever becomes a command."""
    words = [word for word in words if word.isprintable()] + [HOSTILE.replace("\n", "\t")]
    command: HostCommand = run("record", *words)
    if in_a_line:
        command = shell_line(shlex.join(command.arguments))
    text = str(written(Fix.by(command, words=remark), PLACES[name]))
    done = subprocess.run(
        ["sh", "-c", text],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": f"{stubs}:/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    assert done.stdout.split("\0")[:-1] == words


PI: Final = Host(name="pi1", host="10.0.0.7", user="pi", port=2222, jump="gate")


@pytest.mark.parametrize(
    ("host", "ssh", "words"),
    [
        (Host(name="localhost", local=True), Ssh(), ""),
        (Host(name="pi1"), Ssh(), "ssh pi1"),
        (PI, Ssh(), "ssh -J gate -p 2222 pi@10.0.0.7"),
        (Host(name="root@::1", host="::1", user="root"), Ssh(config="c"), "ssh -F c root@::1"),
        # ssh does not know it: who logged in does.
        (Host(name="pi1"), Ssh(user="ops"), "ssh anna@pi1"),
        (Host(name="pi1"), Ssh(known_hosts="/k h"), "ssh -o 'UserKnownHostsFile=\"/k h\"' pi1"),
    ],
)
def test_how_a_host_is_reached_by_hand(host: Host, ssh: Ssh, words: str) -> None:
    assert shlex.join(ssh_words(host, Config(ssh=ssh), login="anna")) == words


@pytest.mark.needs("ssh")
def test_ssh_takes_these_words(tmp_path: Path) -> None:
    """`ssh -G` reads options and destination as the login does, and contacts nobody."""
    (key := tmp_path / "my key").touch()
    config = Config(ssh=Ssh(known_hosts="/my keys"))
    words = ssh_words(replace(PI, jump="a@b:22"), config, identities=[key])
    done = subprocess.run([words[0], "-G", *words[1:]], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    values = dict(line.partition(" ")[::2] for line in lines)
    assert (values["hostname"], values["user"], values["port"]) == ("10.0.0.7", "pi", "2222")
    assert values["proxyjump"] == "a@b:22"
    assert f"identityfile {key}" in lines
    assert "/my keys" in values["userknownhostsfile"]


def test_an_error_names_the_program_that_was_started() -> None:
    error = UsageError("only here", hint="never shown", fix=Fix.by(ToolCommand(task="top"), words="there"))
    assert advice(error, Place(program=("./inv",))) == "./inv top  # there"
    assert advice(UsageError("x", hint="y"), HERE) == "y"
    report = Report(command="top", error=error, place=Place(program=("./inv",)))
    assert envelope(report)["errors"][0]["hint"] == "./inv top  # there"


def test_in_a_table_the_command_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    finding = replace(findings()[0], fix=Fix.by(PROVISION, words="and so on"))
    host = HostResult(
        host="pi1",
        status="unhealthy",
        findings=(finding,),
        chain=(ChainLink(id="run", status="broken", seen="no", fix=finding.fix),),
        place=FAR,
    )
    pasted = "fix: provision provision --hosts ci@10.0.0.5:2222 --config 'my hosts.toml'"
    for command, indent in (("health", 4), ("explain", 0)):
        output(Report(command=command, hosts=(host,)), Style.of("table"))
        shown = capsys.readouterr().out.splitlines()
        assert f"{' ' * indent}{pasted}" in shown
        assert f"{' ' * (indent + 5)}and so on" in shown


def test_every_format_has_the_same_fix(capsys: pytest.CaptureFixture[str]) -> None:
    host = HostResult(host="pi1", status="unhealthy", findings=findings()[:1], place=FAR)
    report = Report(command="health", hosts=(host,))
    output(report, Style.of("json"))
    fix = json.loads(capsys.readouterr().out)["hosts"][0]["findings"][0]["fix"]
    output(report, Style.of("junit"))
    assert f"fix: {fix}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "on_path", "typed"),
    [
        ("./inv", False, "./inv"),
        ("../inv", False, "../inv"),
        ("{folder}/inv", True, "inv"),
        ("{folder}/inv", False, "{folder}/inv"),
        ("inv", False, "./inv"),
    ],
)
def test_the_name_is_what_the_shell_would_find(
    path: str, on_path: bool, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "inv"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin" if on_path else "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert called.typed_name(path.format(folder=tmp_path)) == typed.format(folder=tmp_path)


def test_what_was_typed_is_repeated() -> None:
    given = {"hosts": "pi1", "config": "c", "ask_sudo_password": True, "platforms": "", "jobs": "3"}
    assert called.repeated(given) == (("config", "c"), ("ask_sudo_password", ""))
