"""The JSON envelope is a contract: this test is changed only together with its version."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import (
    ChecksumError,
    ConfigError,
    HostError,
    HostKeyError,
    ProvisionError,
    ReleaseError,
    UnreachableError,
)
from provision.fix import PROVISION, Fix
from provision.report import Report, Style, output
from provision.report.envelope import render
from provision.result import (
    EXIT_CODES,
    CheckLine,
    Finding,
    HostResult,
    HostStatus,
    ImageRow,
    PlatformRow,
    StepResult,
)
from provision.spec import LOCAL, Host

ROW = PlatformRow(
    platform="linux/arm64",
    mode="emulated",
    registered=True,
    listed=False,
    handler="qemu-aarch64",
    flags="PF",
    interpreter="/usr/bin/qemu-aarch64-static",
    qemu="7.2.22",
    wanted=True,
    milliseconds=1.5,
    static=True,
    owner="provision",
)
STEP = StepResult(
    id="handler-aarch64", action="register", target="qemu-aarch64", status="pending", detail="+x"
)
FINDING = Finding(
    id="handler-without-f",
    severity="error",
    platform="linux/arm64",
    evidence="flags: P",
    consequence="fails in a container",
    fix=Fix.by(PROVISION, words="it registers the handler anew"),
)
IMAGE = ImageRow(
    platform="linux/arm64",
    digest="sha256:ab",
    size=1234,
    layers=2,
    attestations=1,
    entrypoint=("/run", "/bin/sh"),
    libraries=3,
    checked=True,
)
LINE = CheckLine(id="kernel", status="error", seen="4.4", needed="4.8 or newer", fix=Fix(words="upgrade"))

ROW_JSON = {
    "platform": "linux/arm64",
    "mode": "emulated",
    "registered": True,
    "listed": False,
    "builds": None,
    "handler": "qemu-aarch64",
    "flags": "PF",
    "interpreter": "/usr/bin/qemu-aarch64-static",
    "qemu": "7.2.22",
    "wanted": True,
    "milliseconds": 1.5,
    "static": True,
    "owner": "provision",
    "slower": None,
}
STEP_JSON = {"id": "handler-aarch64", "action": "register", "target": "qemu-aarch64", "status": "pending"}


def full(host: HostResult) -> HostResult:
    """The host with one of everything: what a command does not give must not show."""
    return HostResult(
        host=host.host,
        status=host.status,
        error=host.error,
        notes=("mind the gap",),
        seconds=1.23456,
        steps=(STEP,),
        platforms=(ROW,),
        findings=(FINDING,),
        checks=(LINE,),
        images=(IMAGE,),
    )


def decoded(report: Report) -> Any:
    return json.loads(render(report))


@pytest.mark.parametrize(
    ("command", "status", "code", "parts"),
    [
        ("plan", "pending", 2, {"steps": [STEP_JSON]}),
        ("provision", "changed", 0, {"steps": [STEP_JSON], "platforms": [ROW_JSON]}),
        ("rollback", "changed", 0, {"steps": [STEP_JSON], "platforms": [ROW_JSON]}),
        ("remove", "changed", 0, {"steps": [STEP_JSON]}),
        ("platforms", "ok", 0, {"platforms": [ROW_JSON]}),
        (
            "health",
            "unhealthy",
            5,
            {
                "findings": [
                    {
                        "id": "handler-without-f",
                        "severity": "error",
                        "platform": "linux/arm64",
                        "evidence": "flags: P",
                        "consequence": "fails in a container",
                        "fix": "provision provision  # it registers the handler anew",
                    }
                ],
                "platforms": [ROW_JSON],
            },
        ),
        (
            "verify",
            "ok",
            0,
            {
                "findings": [
                    {
                        "id": "handler-without-f",
                        "severity": "error",
                        "platform": "linux/arm64",
                        "evidence": "flags: P",
                        "consequence": "fails in a container",
                        "fix": "provision provision  # it registers the handler anew",
                    }
                ],
                "images": [
                    {
                        "platform": "linux/arm64",
                        "digest": "sha256:ab",
                        "size": 1234,
                        "layers": 2,
                        "attestations": 1,
                        "entrypoint": ["/run", "/bin/sh"],
                        "libraries": 3,
                        "checked": True,
                    }
                ],
            },
        ),
        (
            "check",
            "failed",
            3,
            {
                "checks": [
                    {
                        "id": "kernel",
                        "status": "error",
                        "seen": "4.4",
                        "needed": "4.8 or newer",
                        "fix": "# upgrade",
                    }
                ]
            },
        ),
    ],
)
def test_what_each_command_gives(
    command: str, status: HostStatus, code: int, parts: dict[str, object]
) -> None:
    overall = {"pending": "changed", "unhealthy": "error", "failed": "error"}.get(status, status)
    assert decoded(Report(command=command, hosts=(full(HostResult(host="pi1", status=status)),))) == {
        "version": 1,
        "command": command,
        "status": overall,
        "exit_code": code,
        "hosts": [
            {
                "host": "pi1",
                "status": status,
                "seconds": 1.235,
                "notes": ["mind the gap"],
                "error": None,
                **parts,
            }
        ],
        "errors": [],
    }


def test_hosts_gives_the_selection() -> None:
    host = Host(name="pi1", host="10.0.0.5", user="ci", port=2222, jump="gate", platforms=("linux/arm64",))
    assert decoded(Report(command="hosts", selection=(host, LOCAL))) == {
        "version": 1,
        "command": "hosts",
        "status": "ok",
        "exit_code": 0,
        "hosts": [
            {
                "host": "pi1",
                "status": "ok",
                "address": "10.0.0.5",
                "user": "ci",
                "port": 2222,
                "jump": "gate",
                "local": False,
                "platforms": ["linux/arm64"],
            },
            {
                "host": "localhost",
                "status": "ok",
                "address": "localhost",
                "user": None,
                "port": None,
                "jump": None,
                "local": True,
                "platforms": None,
            },
        ],
        "errors": [],
    }


def test_errors_of_the_run_and_of_hosts_are_listed() -> None:
    gone = HostKeyError("the key has changed", cause="known: A; shown: B", hint="ssh-keygen -R pi2")
    report = Report(
        command="platforms",
        hosts=(
            HostResult(host="pi1", status="ok"),
            HostResult(host="pi2", status="unreachable", error=gone),
        ),
    )
    envelope = decoded(report)
    assert envelope["errors"] == [
        {
            "code": "host-key",
            "message": "pi2: the key has changed (known: A; shown: B)",
            "hint": "ssh-keygen -R pi2",
        }
    ]
    assert envelope["hosts"][1]["error"] == {
        "code": "host-key",
        "message": "the key has changed",
        "cause": "known: A; shown: B",
        "hint": "ssh-keygen -R pi2",
    }
    assert (envelope["status"], envelope["exit_code"]) == ("partial", 4)

    stopped = decoded(Report(command="plan", error=ConfigError("no such file", hint="name another")))
    assert stopped == {
        "version": 1,
        "command": "plan",
        "status": "error",
        "exit_code": 1,
        "hosts": [],
        "errors": [{"code": "config", "message": "no such file", "hint": "name another"}],
    }


@pytest.mark.parametrize(
    ("statuses", "code", "status"),
    [
        ((), 0, "ok"),
        (("ok", "ok"), 0, "ok"),
        (("ok", "changed"), 0, "changed"),
        (("ok", "pending"), 2, "changed"),
        (("pending", "unhealthy"), 5, "partial"),
        (("unhealthy", "unreachable"), 4, "error"),
        (("unreachable", "failed"), 3, "error"),
        (("ok", "failed", "unreachable"), 3, "partial"),
        (("unreachable", "skipped"), 4, "error"),
        (("unhealthy", "skipped"), 4, "error"),
        (("failed", "skipped"), 3, "error"),
        (("failed", "interrupted", "unreachable", "ok"), 130, "partial"),
    ],
)
def test_the_worst_host_decides_the_exit_code(
    statuses: tuple[HostStatus, ...], code: int, status: str
) -> None:
    hosts = tuple(HostResult(host=str(number), status=each) for number, each in enumerate(statuses))
    report = Report(command="x", hosts=hosts)
    assert (report.exit_code, report.status) == (code, status)
    assert Report(command="x", hosts=hosts[::-1]).exit_code == code, "the order of hosts does not matter"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 1),
        (ProvisionError("x"), 3),
        (ReleaseError("x"), 3),
        (ChecksumError("x"), 3),
        (HostError("x"), 3),
        (UnreachableError("x"), 4),
    ],
)
def test_what_stops_a_run_decides_the_exit_code(error: ProvisionError, code: int) -> None:
    report = Report(command="x", error=error)
    assert (report.exit_code, report.status) == (code, "error")


@given(st.lists(st.sampled_from(sorted(EXIT_CODES))))
def test_exit_0_means_that_all_is_well(statuses: list[HostStatus]) -> None:
    report = Report(command="x", hosts=tuple(HostResult(host="h", status=each) for each in statuses))
    assert (report.exit_code == 0) == (set(statuses) <= {"ok", "changed"})
    assert (report.status in ("partial", "error")) == (report.exit_code not in (0, 2))


def test_standard_output_holds_the_envelope_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(
        command="provision",
        hosts=(full(HostResult(host="pi1", status="failed", error=HostError("no"))),),
    )
    style = Style.of("json")
    with style.progress as progress:
        progress.expect(["pi1"])
        progress.step("pi1", "a", "begin", "register")
        progress.transfer("pi1", "send", 1, 2)
        progress.step("pi1", "a", "failed", "no")
        progress.finish("pi1", "failed")
    assert output(report, style) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == 3
    assert err == ""


@given(st.text(st.characters()))
def test_any_text_of_a_host_survives(text: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    report = Report(command="platforms", hosts=(HostResult(host="h", status="ok", notes=(text,)),))
    output(report, Style.of("json", out=stream, err=stream))
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    assert json.loads(buffer.getvalue())["hosts"][0]["notes"] == [text]
