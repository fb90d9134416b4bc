"""The apply script as a text, and its records as results."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.apply import Journal, Upload, script
from provision.errors import UsageError
from provision.plan.steps import CreateGroup, MakeLink, Plan, Step, UnpackRelease, WriteFile
from tests.unit.recorded import facts, planned

GROUP = CreateGroup(id="group", action="create", target="group buildkit", detail="planned", group="buildkit")
LINK = MakeLink(id="link", action="create", target="/opt/x", path="/opt/x", to="/opt/y")
FILE = WriteFile(id="file", action="create", target="/etc/x", path="/etc/x", content="")
STEPS: tuple[Step, ...] = (GROUP, FILE, LINK)

# Whatever a script can hold: lone surrogates stand for bytes that are no UTF-8.
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=200)


def words(plan: Plan, *sending: Upload) -> list[str]:
    """What a shell makes of the steps, after the functions before them."""
    _, steps = script(plan, sending).split("exec 8<&-\n")
    return shlex.split(steps)


def results(*lines: str, steps: tuple[Step, ...] = STEPS) -> dict[str, tuple[str, str]]:
    journal = Journal(steps=steps)
    for line in lines:
        journal.record(line)
    return {each.id: (each.status, each.detail) for each in journal.results()}


@given(path=TEXT, content=TEXT, name=TEXT)
def test_every_value_is_one_word_of_the_script(path: str, content: str, name: str) -> None:
    file = replace(FILE, id=name, path=path, content=content, mode=name)
    made = words(Plan(steps=(file, replace(GROUP, group=name), replace(LINK, path=path, to=content))))
    assert made[:-5] == [
        *("run", name, "yes", "file", path, name, content),
        *("run", "group", "yes", "group", name),
        *("run", "link", "yes", "link", path, content),
    ]


def test_nul_is_in_no_word() -> None:
    with pytest.raises(UsageError, match="NUL"):
        script(Plan(steps=(replace(FILE, content="a\0b"),)))


def test_the_script_says_how_many_bytes_follow() -> None:
    release = UnpackRelease(
        id="release",
        action="install",
        target="x",
        folder="/opt/x",
        archive="a",
        sha256="ff",
        header="7f??",
        url=None,
    )
    part = Upload(step="release", file=Path("x"), offset=3, length=97)
    assert words(Plan(steps=(release,)), part)[:10] == [
        *("run", "release", "yes", "release", "/opt/x", "a", "ff", "7f??", "97", ""),
    ]
    assert words(Plan(steps=(replace(release, url="http://m/a"),)))[8:10] == ["0", "http://m/a"]


def test_a_whole_plan_runs_its_steps_in_order_and_only_handlers_may_fail() -> None:
    plan = planned(facts("bare"))
    made = words(plan)
    runs = [made[at : at + 3] for at, word in enumerate(made) if word == "run"]
    assert [(name, fatal) for _, name, fatal in runs] == [
        (step.id, "yes" if step.fatal else "no") for step in plan.steps
    ]


def test_each_state_of_a_step() -> None:
    assert results(
        "step\tgroup\tbegin\t",
        "step\tgroup\tdone\t",
        "step\tfile\tbegin\t",
        "step\tfile\tfailed\tno room",
        "|mktemp: no room",
        "|and more",
        "step\tlink\tskipped\tafter file",
    ) == {
        "group": ("done", "planned"),
        "file": ("failed", "no room\nmktemp: no room\nand more"),
        "link": ("skipped", "after file"),
    }


def test_words_of_a_step_that_went_well_take_the_place_of_its_detail() -> None:
    assert results("step\tgroup\tdone\tit was there", steps=(GROUP,)) == {"group": ("done", "it was there")}


def test_a_step_that_found_nothing_to_do_was_skipped() -> None:
    found = results(
        "step\tgroup\tbegin\t", "step\tgroup\tdone\tskipped: there is no emulator", steps=(GROUP,)
    )
    assert found == {"group": ("skipped", "there is no emulator")}


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ("", "/usr/bin/qemu-aarch64-static: its emulator was ended by signal 11"),
        ("left", "/usr/bin/qemu-aarch64-static: its emulator was ended by signal 11; left"),
    ],
)
def test_an_exit_status_is_put_into_words(words: str, detail: str) -> None:
    """Also for those who watch; of a step that runs no probe it says nothing."""
    steps = planned(facts("bare")).steps
    (handler,) = (step for step in steps if step.id == "handler-aarch64")
    heard: list[tuple[str, str, str]] = []
    journal = Journal(steps=steps, listener=lambda *event: heard.append(event))
    journal.record(f"step\t{handler.id}\tfailed\t{words}\t139")
    journal.record("|log")
    journal.record("step\tgroup\tfailed\tno room\t139")
    found = {each.id: (each.status, each.detail) for each in journal.results()}
    assert found[handler.id] == ("failed", f"{detail}\nlog")
    assert found["group"] == ("failed", "no room")
    assert heard == [(handler.id, "failed", detail), ("group", "failed", "no room")]


def test_when_the_records_end_early() -> None:
    assert results("step\tgroup\tdone\t", "step\tfile\tbegin\t") == {
        "group": ("done", "planned"),
        "file": ("failed", "its end was not seen"),
        "link": ("skipped", "the run ended before it"),
    }


@given(st.lists(TEXT))
def test_no_line_breaks_the_journal_or_makes_up_a_step(lines: list[str]) -> None:
    """Before its first record a host may print anything (a banner, a warning of its shell)."""
    noise = [line for line in lines if not line.startswith(("step\t", "|"))]
    assert set(results(*noise).values()) == {("skipped", "the run ended before it")}
    assert set(results(*lines)) == {"group", "file", "link"}


def test_the_listener_hears_every_record_at_once() -> None:
    heard: list[tuple[str, str, str]] = []
    journal = Journal(steps=STEPS, listener=lambda *event: heard.append(event))
    journal.record("step\tgroup\tbegin\t")
    assert heard == [("group", "begin", "")]
    journal.record("|text")
    journal.record("step\tgroup\tfailed\ta b")
    assert heard[1:] == [("group", "failed", "a b")]
