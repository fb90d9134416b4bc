"""What a host answered, as logs."""

from __future__ import annotations

import json
from dataclasses import replace

from provision.fix import ToolCommand
from provision.logs.answer import Answered, read
from provision.logs.since import Since
from tests.unit.logs.test_builds import FAILED, record
from tests.unit.recorded import SPEC, run_by, settled

DENIED = "failed to push reg.example/app:1: unexpected status from HEAD request: 401 Unauthorized"


def answer(*lines: str, since: Since | None = None, count: int = 100, manager: str = "systemd") -> Answered:
    seen = settled() if manager == "systemd" else run_by("process")
    return read(SPEC, seen, lines, count=count, since=since)


def test_everything_in_its_place() -> None:
    seen = answer(
        "log",
        '|2026-05-31T12:00:00+0000 lab buildkitd[1]: level=error msg="no space left on device"',
        "history\tok",
        f"|{json.dumps(FAILED)}",
        "output\tjd72k1",
        "|#5 0.1 exec /bin/hello: exec format error",
        "kills",
        "|Out of memory: Killed process 12 (cc1)",
        "killed\t3",
        "environment",
        "|HTTPS_PROXY=http://ci:secret@proxy:3128",
        "end",
    )
    logs = seen.logs
    assert logs.source == "journal of buildkit.service"
    assert (len(logs.lines), logs.kills, logs.killed) == (1, ("Out of memory: Killed process 12 (cc1)",), 3)
    assert [(row.ref, row.output) for row in logs.builds] == [
        ("jd72k1", ("#5 0.1 exec /bin/hello: exec format error",))
    ]
    assert [row.version for row in logs.workers] == ["v0.32.2"]
    assert {row.path for row in logs.room} == {"/", "/var/lib/buildkit"}
    assert logs.memory > logs.available > 0
    assert [each.seen for each in logs.known] == [
        "no space left on device",
        "exec /bin/hello: exec format error",
    ]
    assert seen.environment == "HTTPS_PROXY=http://***@proxy:3128\n"
    assert seen.notes == ()


def test_a_known_error_is_told_once_and_the_newest_last() -> None:
    line = f"|x level=error msg={json.dumps(DENIED)}"
    builds = [record(Ref=ref, error={"code": 2, "message": DENIED}) for ref in "ab"]
    full = "|level=error no space left on device"
    seen = answer("log", line, full, line, line, "history\tok", *(f"|{each}" for each in builds))
    assert [(each.times, each.cause.partition(" ")[0]) for each in seen.logs.known] == [
        (1, "the"),
        (3, "reg.example"),
    ]
    assert seen.logs.known[-1].fix.commands == (ToolCommand(task="login", arguments=("reg.example",)),)


def test_one_build_is_one_error_in_the_log() -> None:
    """As buildkitd writes it: at each of its layers, with escaped quotes."""
    said = (
        '|time="2026-11-26T09:48:06Z" level=error msg="/moby.buildkit.v1.{}/Solve returned error: rpc error: code ='
        " Unknown desc = registry.invalid/nobase: failed to resolve source metadata for registry.invalid/nobase:latest:"
        ' failed to do request: Head \\"https://registry.invalid/v2/nobase/manifests/latest\\": dial tcp: lookup'
        ' registry.invalid on 10.0.0.53:53: no such host" spanID=8b06 traceID={}'
    )
    lines = [
        said.format(layer, trace)
        for trace in ("8e1f", "9a2b")
        for layer in ("frontend.LLBBridge", "Control")
    ]
    (known,) = answer("log", *lines).logs.known
    assert (known.times, known.cause) == (2, "buildkitd cannot resolve the name registry.invalid")


def test_what_is_no_error_is_not_explained() -> None:
    assert answer("log", '|level=info msg="no space left on device"').logs.known == ()
    canceled = record(error={"code": 1, "message": "connect: connection refused"})
    assert answer("history\tok", f"|{canceled}").logs.known == ()


def test_secrets_are_gone_everywhere() -> None:
    secret = "Bearer abcdefgh12345678"
    build = record(error={"code": 2, "message": secret})
    seen = answer("log", f"|{secret}", "history\tok", f"|{build}", "output\tjd72k1", f"|{secret}")
    assert "abcdefgh" not in str(seen.logs)


def test_since_is_by_the_hosts_clock_in_a_file() -> None:
    clock = run_by("process").system.clock
    lines = [f"|{stamp(clock - age)} level=error msg={age}" for age in (5000, 500, 50)]
    seen = answer("log", *lines, since=Since(ago=600), manager="process").logs
    assert [line[-3:] for line in seen.lines] == ["500", "=50"]
    assert seen.source == "/var/log/buildkitd.log"
    assert len(answer("log", *lines, since=Since(ago=600), manager="process", count=1).logs.lines) == 1
    old = record(Ref="old", CreatedAt={"seconds": clock - 5000})
    new = record(Ref="new", CreatedAt={"seconds": clock - 50})
    assert [
        row.ref for row in answer("history\tok", f"|{old}", f"|{new}", since=Since(ago=600)).logs.builds
    ] == ["new"]


def stamp(moment: float) -> str:
    from datetime import datetime, timezone  # noqa: PLC0415

    return f'time="{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"'


def test_a_user_without_the_rights_is_told() -> None:
    seen = answer(
        "log",
        "|Hint: You are currently not seeing messages from other users and the system.",
        "|      Users in groups 'adm', 'systemd-journal' can see all messages.",
        "|      Pass -q to turn off this notice.",
        "|No journal files were opened due to insufficient permissions.",
    )
    assert seen.logs.lines == ()
    assert "sudo" in seen.notes[0]


def test_a_daemon_that_does_not_answer() -> None:
    silent = replace(
        settled(), worker=None, worker_error="error: dial unix /x: connect: connection refused\n"
    )
    seen = read(SPEC, silent, ["log"], count=1, since=None)
    assert seen.notes == ("buildkitd does not answer: error: dial unix /x: connect: connection refused",)
    assert "nothing listens" in seen.logs.known[0].cause
    old = answer("history\terror", "|No help topic for 'histories'")
    assert old.notes == ("the history of builds cannot be read: No help topic for 'histories'",)
    unasked = read(SPEC, replace(settled(), worker=None), ["log"], count=1, since=None)
    assert "was not asked" in unasked.notes[0]


def test_an_empty_answer() -> None:
    assert answer().logs.lines == ()
