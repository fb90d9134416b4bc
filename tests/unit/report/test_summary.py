"""How a run ended, for a person: many hosts by their causes, and a host that broke off without its list of steps."""

from __future__ import annotations

import io
from dataclasses import replace

from provision.errors import HostError, HostKeyError, ProvisionError, UnreachableError, WrongKeyError
from provision.fix import NO_FIX
from provision.report import table
from provision.report.console import console
from provision.result import Finding, HostResult, Report, StepResult, StepStatus
from provision.transport import StoppedError

KEYS = "key0, key1, key2, key3, key4, key5, key6, key7 and 29 more"


def unknown_key(name: str) -> HostKeyError:
    return HostKeyError(
        f"{name}: the host's key is not known", cause=f"It shows SHA256:{name}", hint=f"ssh-keyscan {name}"
    )


def host(name: str, error: ProvisionError | None = None, **more: object) -> HostResult:
    made = HostResult.of_error(name, error) if error else HostResult(host=name, status="ok")
    return replace(made, seconds=1.0, **more)  # type: ignore[arg-type]


def steps(done: int, failed: int, left: int) -> tuple[StepResult, ...]:
    counts: dict[StepStatus, int] = {"done": done, "failed": failed, "skipped": left}
    states = [status for status, number in counts.items() for _ in range(number)]
    return tuple(
        StepResult(
            id=str(number), action="write" if number else "install", target=f"/file{number}", status=state
        )
        for number, state in enumerate(states)
    )


def lines(report: Report, width: int = 100) -> tuple[list[str], list[str]]:
    out, err = io.StringIO(), io.StringIO()
    table.render(report, console(out, width=width), log=False)
    table.complain(report, console(err, width=width))
    return out.getvalue().splitlines(), err.getvalue().splitlines()


def fleet_of_five_hundred() -> Report:
    hosts = [host(f"ok{number}") for number in range(262)]
    hosts += [host(f"key{number}", unknown_key(f"key{number}")) for number in range(37)]
    hosts += [
        host(f"dead{number}", UnreachableError(f"10.0.0.{number} port 22 refused the connection"))
        for number in range(3)
    ]
    hosts += [host("old", HostError("old: kernel 2.6.78 is too old", cause="F flag", hint="a newer one"))]
    hosts += [
        replace(host(f"new{number}"), status="changed", steps=steps(2 + number % 3, 0, 0))
        for number in range(197)
    ]
    return Report(command="provision", hosts=tuple(hosts))


def test_many_hosts_are_grouped_by_cause_worst_first() -> None:
    out, err = lines(fleet_of_five_hundred(), width=140)
    assert [line.rstrip() for line in out] == [
        "HOSTS  RESULT       TIME",
        "    1  failed       1.0 s    kernel 2.6.78 is too old: old",
        f"   37  unreachable  ≤ 1.0 s  the host's key is not known: {KEYS}",
        "    3  unreachable  ≤ 1.0 s  … refused the connection: dead0, dead1, dead2",
        "  262  unchanged    ≤ 1.0 s",
        "  197  changed      ≤ 1.0 s  2 to 4 changes",
        "500 hosts: 1 failed, 40 unreachable, 262 unchanged, 197 changed",
    ]
    # One error for each cause, that of the first host, with commands that can be pasted.
    assert err == [
        "error: old: kernel 2.6.78 is too old",
        "  likely cause: F flag",
        "  what to do: a newer one",
        "error: 37 hosts: the host's key is not known",
        "  likely cause (key0): It shows SHA256:key0",
        "  what to do (key0): ssh-keyscan key0",
        f"  hosts: {KEYS}",
        "error: 3 hosts: … refused the connection",
        "  hosts: dead0, dead1, dead2",
    ]


def test_a_wrong_key_is_the_worst_of_what_keeps_hosts_away() -> None:
    """Somebody may be between; a host that is switched off is only away."""
    wrong = host("spied", WrongKeyError("spied: the host's key has changed"))
    several = fleet_of_five_hundred()
    out, _ = lines(replace(several, hosts=(*several.hosts, wrong)), width=140)
    assert [line.split()[1] for line in out[1:3]] == ["failed", "unreachable"]
    assert out[2].endswith("the host's key has changed: spied")
    few = replace(several, hosts=(host("away", unknown_key("away")), wrong))
    assert [line.split()[0] for line in lines(few)[0][-3:]] == ["spied", "away", "2"]


def test_a_summary_of_many_fits_a_screen_of_any_width() -> None:
    for width in (20, 40, 80):
        out, _ = lines(fleet_of_five_hundred(), width=width)
        assert len(out) < 24
        assert max(map(len, out)) <= max(
            width, len("500 hosts: 1 failed, 40 unreachable, 262 unchanged, 197 changed")
        )


def test_health_of_many_is_grouped_by_what_is_wrong() -> None:
    wrong = Finding(
        id="handler-missing",
        severity="error",
        platform="linux/arm64",
        evidence="",
        consequence="",
        fix=NO_FIX,
    )
    hosts = [replace(host(f"h{number}"), status="unhealthy", findings=(wrong,)) for number in range(30)]
    out, _ = lines(Report(command="health", hosts=(host("fine"), *hosts)), width=140)
    assert out[1].startswith("   30  unhealthy  ≤ 1.0 s  1 error: handler-missing linux/arm64: h0, h1")
    assert out[2].split() == ["1", "ok", "1.0", "s"]


def test_a_few_hosts_are_listed_worst_first() -> None:
    out, err = lines(Report(command="provision", hosts=(host("a"), host("b", unknown_key("b")))))
    assert [line.split()[0] for line in out[-3:]] == ["b", "a", "2"]
    assert err[0] == "error: b: the host's key is not known"


def test_a_host_that_broke_off_is_summed_up() -> None:
    error = HostError("write /file7 failed", cause="no room", hint="free some")
    out, _ = lines(Report(command="provision", hosts=(host("a", error, steps=steps(7, 1, 12)),)))
    assert out == [
        "✗ write /file7",
        "finished: install, 6 × write",
        "failed after 1.0 s: 7 steps done, 1 failed, 12 not begun",
    ]


def test_a_run_that_fails_before_its_first_step_lists_none() -> None:
    out, _ = lines(Report(command="provision", hosts=(host("a", HostError("no room"), untouched=True),)))
    assert out == ["nothing was touched"]


def test_of_a_host_that_was_abandoned_nothing_is_claimed() -> None:
    out, err = lines(Report(command="provision", hosts=(host("a", StoppedError("abandoned")),)))
    assert (out, err) == ([], ["error: abandoned"])
