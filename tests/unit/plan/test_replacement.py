"""When a daemon is replaced, and what goes before and after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision import paths
from provision.errors import HostError
from provision.facts import Facts, File, Previous
from provision.plan.rollback import plan_rollback, plan_taking_back
from provision.plan.steps import Plan, RemoveTree, SaveGeneration, StartDaemon, Step, WaitForBuilds
from tests.unit.recorded import RELEASE, SPEC, buildkit, ids, planned, settled, with_worker

SETTLED = settled()
OTHER = buildkit(max_parallelism=2)
FOLDER = "/opt/buildkit/v0.32.2-5c8db21cc7b9"


def only(made: Plan, kind: type[Step]) -> Step:
    (step,) = (each for each in made.steps if isinstance(each, kind))
    return step


def previous(generation: str, folder: str = FOLDER) -> Facts:
    return replace(
        SETTLED, previous=Previous(generation=generation, version="BuildKit v0.31.0", folder=folder)
    )


def running() -> str:
    assert SETTLED.daemon
    return SETTLED.daemon.generation


def test_builds_are_waited_for_before_anything_that_the_daemon_is_started_from_changes() -> None:
    made = planned(SETTLED, OTHER)
    assert ids(made) == ["drain", "save", "buildkit-config", "buildkit-unit", "service-restart"]
    drain = only(made, WaitForBuilds)
    assert isinstance(drain, WaitForBuilds)
    assert (drain.seconds, drain.only_after) == (600, ())


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2m", 120), ("1h", 3600), ("7", 7)])
def test_how_long_is_a_setting(text: str, seconds: int) -> None:
    drain = only(planned(SETTLED, buildkit(max_parallelism=2, drain=text)), WaitForBuilds)
    assert isinstance(drain, WaitForBuilds)
    assert drain.seconds == seconds


@pytest.mark.parametrize("text", ["0", "0s", "0m"])
def test_nothing_is_waited_for_on_request(text: str) -> None:
    assert "drain" not in ids(planned(SETTLED, buildkit(max_parallelism=2, drain=text)))


def test_what_runs_is_saved_and_is_what_is_gone_back_to() -> None:
    made = planned(SETTLED, OTHER)
    saved, start = only(made, SaveGeneration), only(made, StartDaemon)
    assert isinstance(saved, SaveGeneration)
    assert isinstance(start, StartDaemon)
    assert (saved.generation, saved.folder) == (running(), FOLDER)
    assert set(saved.files) == {paths.CONFIG, paths.UNIT, paths.TMPFILES}
    assert start.back == saved.generation
    assert start.platforms == ("linux/amd64", "linux/arm64", "linux/arm")


def test_after_a_run_that_was_cut_nothing_is_saved_over_what_is_saved() -> None:
    """The files are a mixture by then; what is saved is what still runs."""
    made = planned(previous(running()), OTHER)
    assert "save" not in ids(made)
    start = only(made, StartDaemon)
    assert isinstance(start, StartDaemon)
    assert start.back == running()


def test_a_restart_from_the_same_has_no_way_back() -> None:
    made = planned(replace(previous("older"), worker=None))
    start = only(made, StartDaemon)
    assert isinstance(start, StartDaemon)
    assert (ids(made), start.back) == (["drain", "service-restart"], "")


def test_a_boot_from_a_new_unit_and_the_old_release_is_noticed() -> None:
    assert SETTLED.daemon
    old = replace(SETTLED.daemon, executable="/opt/buildkit/v0.31.0-000000000000/bin/buildkitd")
    made = planned(replace(SETTLED, daemon=old))
    assert ids(made) == ["drain", "service-restart"]
    assert made.steps[1].detail == "it is another release"


def test_the_state_of_a_newer_daemon_is_copied_before_an_older_one_has_it() -> None:
    for version, copied in (("v0.33.0", "v0.33.0"), ("v0.32.2", ""), ("v0.9.1", ""), ("v0.0.0+unknown", "")):
        start = only(planned(with_worker(SETTLED, version=version), OTHER), StartDaemon)
        assert isinstance(start, StartDaemon)
        assert start.copy_for == copied


def test_a_handler_of_a_platform_that_is_not_listed_restarts_if_it_was_registered() -> None:
    assert SETTLED.worker
    unlisted = tuple(each for each in SETTLED.worker.platforms if "arm64" not in each)
    gone = tuple(each for each in SETTLED.entries if each.name != "qemu-aarch64")
    probes = {**SETTLED.probes, "aarch64": replace(SETTLED.probes["aarch64"], status=127)}
    made = planned(with_worker(replace(SETTLED, entries=gone, probes=probes), platforms=unlisted))
    assert ids(made) == ["handler-aarch64", "rule-aarch64", "drain", "service-restart"]
    drain, start = made.steps[2:]
    assert isinstance(drain, WaitForBuilds)
    assert isinstance(start, StartDaemon)
    assert drain.only_after == start.only_after == ("handler-aarch64",)


def test_releases_but_the_wanted_one_and_the_one_before_are_removed() -> None:
    releases = {**SETTLED.releases, "/opt/buildkit/v0.31.0-a": "1", "/opt/buildkit/v0.30.0-b": "2"}
    made = planned(replace(previous("older", "/opt/buildkit/v0.31.0-a"), releases=releases))
    assert ids(made) == ["record", "release-v0.30.0-b"]
    assert only(made, RemoveTree).target == "/opt/buildkit/v0.30.0-b"
    # The one that runs is the one before, once it is replaced.
    other = replace(RELEASE, digest=replace(RELEASE.digest, value="ab" * 32))
    removed = [step.target for step in planned(SETTLED, SPEC, other).steps if isinstance(step, RemoveTree)]
    assert removed == []


def test_after_a_rollback_that_was_cut_the_way_back_is_what_was_saved_before() -> None:
    """It had saved what runs. Whichever of the two the next run is for, the other one's release stays."""
    files = {paths.UNIT: File(path=paths.UNIT, mode=0o644, text="unit")}
    old = Previous(
        generation="old", version="BuildKit v0.31.0", folder="/opt/buildkit/v0.31.0-a", files=files
    )
    cut = replace(previous(running()), older=old, releases={**SETTLED.releases, old.folder: "1"})
    # Also where the daemon had been stopped, and not started yet.
    for facts in (cut, replace(cut, daemon=None)):
        assert not [step for step in planned(facts).steps if isinstance(step, RemoveTree)]
    for facts in (cut, replace(cut, previous=None)):
        back = plan_rollback(SPEC, facts)
        assert back.generation == "old"
        assert not [step for step in back.steps if isinstance(step, RemoveTree)]
    start = only(plan_rollback(SPEC, cut), StartDaemon)
    assert isinstance(start, StartDaemon)
    assert (start.generation, start.back) == ("old", running())


def test_there_is_no_way_back_to_what_runs() -> None:
    with pytest.raises(HostError, match="nothing to go back to") as raised:
        plan_rollback(SPEC, previous(running()))
    assert "runs already" in raised.value.cause
    with pytest.raises(HostError, match="nothing to go back to"):
        plan_rollback(SPEC, SETTLED)


def test_taking_back_leaves_no_way_forward_to_what_builds_less() -> None:
    """Neither what is saved of it nor its release."""
    old = "/opt/buildkit/v0.31.0-a"
    files = {paths.UNIT: File(path=paths.UNIT, mode=0o644, text="unit")}
    back = Previous(generation="old", version="BuildKit v0.31.0", folder=old, files=files)
    known = replace(SETTLED, previous=back, releases={**SETTLED.releases, old: "1"})
    back_and_forth, for_good = plan_rollback(SPEC, known), plan_taking_back(SPEC, known)
    assert for_good.steps[: len(back_and_forth.steps)] == back_and_forth.steps
    removed = [each.target for each in for_good.steps[len(back_and_forth.steps) :]]
    assert removed == ["what was saved of the daemon that is taken back", FOLDER]
    same = replace(known, previous=replace(back, folder=FOLDER))
    assert ids(plan_taking_back(SPEC, same))[-1] == "previous"
