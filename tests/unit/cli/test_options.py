"""A flag is one row: its help tells the default that holds, and its text is read or refused in its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.cli import tasks as cli
from provision.cli.options import (
    COMMON,
    FLEET,
    INTERVAL,
    PLATFORM,
    SEVERITY,
    SPEC,
    Option,
    overrides,
    read,
)
from provision.commands import INTERVAL as TOP_INTERVAL
from provision.config.load import load
from provision.config.settings import SETTINGS
from provision.errors import UsageError
from provision.spec import DEFAULT_VERSION, Buildkit, Emulation, Ssh
from tests.lab.cli import provision

ALL = {**COMMON, **SPEC, **FLEET, "severity": SEVERITY, "interval": INTERVAL, "platform": PLATFORM}


def value(name: str, typed: object) -> object:
    return read({name: ALL[name]}, {name: typed})[name]


def test_each_flag_of_a_setting_has_a_setting_and_none_has_two() -> None:
    settings = [option.setting for option in ALL.values() if option.setting]
    assert len(settings) == len(set(settings)) > 10
    assert set(settings) <= SETTINGS.keys()


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("jobs", f"{Ssh.jobs}"),
        ("connect_timeout", f"ConnectTimeout of the SSH configuration, else {Ssh().patience:g}"),
        ("timeout", f"{Ssh.timeout:g}"),
        ("buildkit_version", DEFAULT_VERSION),
        ("group", Buildkit.group),
        ("fetch", Buildkit.fetch),
        ("interpreters", Emulation.interpreters),
        ("platforms", "all that the QEMU at hand runs"),
        ("canary", "0"),
        ("severity", "warning"),
        ("interval", f"{TOP_INTERVAL:g}"),
    ],
)
def test_help_tells_the_default(name: str, default: str) -> None:
    assert ALL[name].help_text == f"{ALL[name].help} [{default}]"
    assert default not in ALL[name].help.split()


def test_a_switch_has_no_default_to_tell() -> None:
    assert [option.help_text for option in ALL.values() if option.default is False] == [
        option.help for option in ALL.values() if option.default is False
    ]


def test_the_help_of_every_task_is_that_of_the_rows(tmp_path: Path) -> None:
    for task in cli.namespace().tasks.values():
        assert set(task.help.values()) <= {option.help_text for option in every_option()}
    seen = " ".join(provision("provision", "--help", cwd=tmp_path).out.split())
    assert f"hosts at once [{Ssh.jobs}]" in seen
    assert f"vX.Y.Z or latest [{DEFAULT_VERSION}]" in seen


def every_option() -> list[Option]:
    from provision.cli import options  # noqa: PLC0415

    found = [each for each in vars(options).values() if isinstance(each, Option)]
    return [*found, *ALL.values(), *options.HEALTH.values()]


@pytest.mark.parametrize(
    ("name", "typed", "expected"),
    [
        ("canary", "", None),
        ("canary", "2", 2),
        ("interval", "", None),
        ("interval", "2", 2.0),
        ("interval", "0.25", 0.25),
        ("severity", "info", "info"),
        ("severity", "warning", "warning"),
        ("platform", "aarch64", "linux/arm64"),
        ("only_failed", False, None),
        ("only_failed", True, True),
        ("hosts", "", None),
        ("hosts", "a,b", "a,b"),
    ],
)
def test_what_is_typed_becomes_a_value(name: str, typed: object, expected: object) -> None:
    assert value(name, typed) == expected


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        *(("interval", each) for each in ("0", "-1", "x", "4000", "1e3")),
        *(("canary", each) for each in ("one", "-1", "1.5", "٣", "10000", "9" * 5000)),
        *(("severity", each) for each in ("fatal", "", "Error", "\x1b[31m")),
    ],
)
def test_what_cannot_be_meant_is_refused_in_the_flags_name(name: str, typed: str) -> None:
    with pytest.raises(UsageError, match=f"^--{name} must be ") as caught:
        value(name, typed)
    assert caught.value.message.isprintable()


def test_only_what_was_typed_overrides_the_file() -> None:
    typed = {name: option.default for name, option in ALL.items()}
    assert overrides(ALL, typed) == ()
    (one,) = overrides(ALL, typed | {"jobs": "3"})
    assert (one.flag, one.setting, one.value) == ("--jobs", "ssh.jobs", 3)
    assert load(None, [one], places=()).pinned == {"ssh.jobs"}
