"""Registered, listed, runs: the three answers per platform, and what a provisioned host still lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.facts import Facts, Mount
from provision.health.platforms import rows, unmet
from provision.result import PlatformRow
from provision.spec import Spec
from tests.unit.recorded import SPEC, WANTED, facts, settled, with_probe, without_arm64

SETTLED = settled()


def row(seen: Facts, platform: str, spec: Spec = SPEC) -> PlatformRow:
    return next(each for each in rows(spec, seen) if each.platform == platform)


def test_a_provisioned_host_has_what_was_wanted() -> None:
    assert unmet(SPEC, SETTLED) == ()
    found = {each.platform: each for each in rows(SPEC, SETTLED)}
    assert tuple(found)[: len(WANTED)] == WANTED
    assert found["linux/amd64"].mode == "native"
    assert found["linux/amd64"].registered is None
    arm64 = found["linux/arm64"]
    assert (arm64.mode, arm64.registered, arm64.listed, arm64.builds) == ("emulated", True, True, None)
    assert (arm64.handler, arm64.flags, arm64.qemu) == ("qemu-aarch64", "PF", "7.2.22")
    assert (arm64.static, arm64.owner, arm64.wanted) == (True, "provision", True)
    quick = with_probe(SETTLED, "aarch64", milliseconds=2.5)
    assert row(quick, "linux/arm64").milliseconds == 2.5
    assert found["linux/arm/v6"].wanted is False
    assert row(SETTLED, "linux/arm64", Spec()).wanted is None, "without a wish"
    # One handler, two platforms; what nobody asked for and nothing runs is left out.
    assert found["linux/arm/v6"].handler == "qemu-arm"
    assert "linux/s390x" not in found
    # The worker's variants of a native platform.
    assert found["linux/amd64/v2"].mode == "native"


def test_a_bare_host_shows_what_is_missing() -> None:
    bare = facts("bare")
    nothing = PlatformRow(platform="linux/arm64", mode="none", registered=False, wanted=True)
    assert row(bare, "linux/arm64") == nothing
    (problem,) = unmet(SPEC, bare)
    assert "buildkitd does not answer" in problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": 43}, "its arguments arrive shifted: the P flag"),
        ({"status": 127}, "its emulator cannot be started inside a container"),
        ({"status": 139}, "ended by signal 11"),
        ({"status": 7}, "status 7 instead of 42"),
    ],
)
def test_why_a_registered_platform_does_not_run(changes: dict[str, object], words: str) -> None:
    seen = with_probe(SETTLED, "aarch64", milliseconds=2.5, **changes)
    (problem,) = unmet(SPEC, seen)
    assert problem.startswith("linux/arm64: ")
    assert words in problem
    found = row(seen, "linux/arm64")
    assert (found.mode, found.registered, found.listed) == ("none", True, True)
    assert found.milliseconds is None, "what did not run took no time"


def test_a_variant_that_is_not_here_is_not_called_native() -> None:
    wish = Spec(platforms=("linux/amd64", "linux/amd64/v4"))
    assert row(SETTLED, "linux/amd64/v4", wish).mode == "none"
    assert unmet(wish, SETTLED) == ("linux/amd64/v4: this processor or emulator does not have the variant",)


def test_what_runs_and_is_not_listed_is_told_apart() -> None:
    seen = without_arm64(SETTLED)
    assert row(seen, "linux/arm64").listed is False
    assert row(seen, "linux/arm64").mode == "emulated"
    assert unmet(SPEC, seen) == ("linux/arm64: it runs here, but buildkitd does not list it",)


def test_no_handler_is_said() -> None:
    seen = replace(with_probe(SETTLED, "aarch64", status=127, executable=""), entries=SETTLED.entries[:1])
    assert unmet(SPEC, seen) == ("linux/arm64: no handler is registered for it",)


def test_of_two_mounts_on_one_folder_the_later_holds_its_files() -> None:
    lower, upper = (Mount(point="/tmp", type=kind, options=frozenset()) for kind in ("ext4", "tmpfs"))
    assert Facts(mounts=(lower, upper)).mount_of("/tmp/x") == upper
