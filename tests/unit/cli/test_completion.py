"""What may come next: of commands, flags and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli import tasks as cli
from provision.cli.completion import VALUES, answer, script
from provision.cli.options import SHELLS
from tests.lab.cli import provision

TASKS: dict[str, Any] = {task.name: task for task in cli.namespace().tasks.values()}
CONFIGURATION = '[hosts.pi1]\n[hosts.ci2]\nhost = "10.0.0.5"\n[groups]\nrunners = ["pi1", "ci2"]\n'


def names(*words: str) -> list[str]:
    return [line.partition("\t")[0] for line in answer(words, TASKS).splitlines()]


@pytest.fixture(autouse=True)
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "provision.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("",), sorted(TASKS)),
        ((), sorted(TASKS)),
        (("heal",), ["health"]),
        (("--",), ["--help", "--list", "--version"]),
        (("health", "--sev"), ["--severity"]),
        (("health", "--severity", "w"), ["warning"]),
        (("health", "--severity=w"), ["--severity=warning"]),
        (("login", "-"), ["--username", "-u", "--password-stdin", "--password", "-p"]),
        (("explain", "linux/arm/"), ["linux/arm/v7", "linux/arm/v6"]),
        (("explain", "arm64", "hea"), ["health"]),
        (("explain", "--severity"), []),
        (("check", "--hosts", ""), ["pi1", "ci2", "@runners", "all"]),
        (("check", "--hosts", "pi1,c"), ["pi1,ci2"]),
        (("check", "--hosts", "pi1,"), ["pi1,ci2", "pi1,@runners", "pi1,all"]),
        (("check", "--hosts", "all,!p"), ["all,!pi1"]),
        (("check", "--hosts=@r"), ["--hosts=@runners"]),
        (("check", "--only-failed", "pl"), ["plan", "platforms"]),
        (("check", "--config", "x"), [":file"]),
        (("logs", "--bundle", ""), [":file"]),
        (("logs", "--since", ""), []),
        (("check", "--nonsense", "he"), ["health"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("check", "plan", "--canary"), []),
        (("check", "provision", "--canary"), ["--canary"]),
    ],
    ids=" ".join,
)
def test_what_comes_next(words: tuple[str, ...], expected: list[str]) -> None:
    seen = names(*words)
    assert [each for each in seen if each in expected] == expected
    if words and words[0] != "login":
        assert seen == expected


def test_descriptions_come_along() -> None:
    assert "@runners\tgroup: pi1, ci2\n" in answer(("check", "--hosts", "@"), TASKS)
    assert answer(("heal",), TASKS).startswith("health\tWill the next build work")


def test_the_configuration_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[hosts.far]\n")
    assert names("check", "--config", "other.toml", "--hosts", "f") == ["far"]
    assert names("check", "--config=other.toml", "--hosts", "f") == ["far"]


@pytest.mark.parametrize("text", ["[hosts", "[hosts.pi1]\nport = 'x'\n"])
def test_a_broken_configuration_completes_no_hosts(text: str, tmp_path: Path) -> None:
    (tmp_path / "provision.toml").write_text(text)
    assert names("check", "--hosts", "") == ["all"]
    assert names("check", "--config", "missing.toml", "--hosts", "") == ["all"]


@given(
    st.lists(
        st.sampled_from(
            ["check", "explain", "--hosts", "--config", "--config=x", "-u", "=", "", "a,b", "--x=y"]
        )
    )
)
def test_nothing_fails(words: list[str]) -> None:
    answer(words, TASKS)


def test_each_kind_of_value_is_one_of_the_help() -> None:
    values = {option.value for task in TASKS.values() for option in task.options.values()}
    assert set(VALUES) <= values


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed_by_both_names(shell: str, tmp_path: Path) -> None:
    ours = provision("completion", shell, cwd=tmp_path)
    assert (ours.code, ours.out, ours.err) == (0, script(shell), "")
    assert provision("--print-completion-script", shell, cwd=tmp_path).out == ours.out


def test_the_program_answers(tmp_path: Path) -> None:
    assert provision("--complete", "--", "explain", "linux/arm6", cwd=tmp_path).out == "linux/arm64\n"
    assert provision("completion", "tcsh", cwd=tmp_path).code == 1
