"""`health` and `explain` of one host, with a transport that answers what a real host said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from provision.commands import inspect
from provision.errors import HostError
from provision.facts import Facts, User, question
from provision.fix import PROVISION, Fix, provision_for
from provision.hosts.fleet import Fleet
from provision.report.progress import Progress
from provision.result import HostResult, Severity
from provision.spec import Host, Spec
from provision.transport import Answer, Listener, Payload, Transport
from tests.unit.recorded import COUNT, FOLDER, SPEC


class Recorded:
    """Answers every question alike, and counts them."""

    def __init__(
        self, answer: Path | Sequence[str], *, local: bool = False, more: tuple[str, ...] = ()
    ) -> None:
        self.name = "pi1"
        self.local = local
        self.address = "localhost"
        self.asked: list[str] = []
        lines = answer.read_text().splitlines() if isinstance(answer, Path) else answer
        self._records = (*more, *lines)

    def ask(
        self,
        script: str,
        *,
        timeout: float,
        payload: Payload | None = None,
        on_record: Listener | None = None,
        endless: bool = False,
    ) -> Answer:
        assert timeout > 0
        assert (payload, on_record, endless) == (None, None, False)
        self.asked.append(script)
        return Answer(status=0, records=self._records, stderr="")

    def open(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *_: object) -> None: ...


def outcome(host: Recorded, work: Callable[[Transport], HostResult]) -> HostResult:
    """The result of work on one host, errors included, as every command gets it."""
    fleet = Fleet(
        connect=lambda _host: host, work=lambda transport, _host: work(transport), jobs=1, progress=Progress
    )
    (result,) = fleet.run([Host(name=host.name)])
    return result


SOUND: Final = FOLDER / "provisioned.txt"
BARE: Final = FOLDER / "bare.txt"


@pytest.fixture(autouse=True)
def one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded programs counted 42 arguments."""
    monkeypatch.setattr(question, "argc", lambda: COUNT)


def told(result: HostResult) -> list[str]:
    """The findings, except that the recorded host has files as this tool wrote them that day."""
    return [found.id for found in result.findings if found.id != "drift"]


def test_health_is_one_request() -> None:
    host = Recorded(SOUND)
    result = inspect.health_of(host, SPEC, "warning")
    assert (told(result), len(host.asked)) == ([], 1)
    assert {row.platform for row in result.platforms if row.listed} >= set(SPEC.platforms or ())


@pytest.mark.parametrize(("threshold", "status"), [("error", "unhealthy"), ("info", "unhealthy")])
def test_a_bare_host(threshold: Severity, status: str) -> None:
    result = inspect.health_of(Recorded(BARE), SPEC, threshold)
    assert (result.status, [found.id for found in result.findings]) == (status, ["not-provisioned"])
    assert result.findings[0].fix == Fix.by(PROVISION)


def test_explain_is_one_request() -> None:
    host = Recorded(SOUND)
    result = inspect.explain(host, Spec(), "linux/arm64")
    assert (result.status, result.findings, len(host.asked)) == ("ok", (), 1)
    broken = inspect.explain(Recorded(BARE), Spec(), "linux/arm64")
    assert broken.status == "unhealthy"
    assert Fix.by(PROVISION) in {link.fix for link in broken.chain}
    assert all(found.fix in {link.fix for link in broken.chain} for found in broken.findings[:1])
    unwanted = inspect.explain(Recorded(BARE), Spec(platforms=("linux/amd64",)), "linux/arm64")
    assert Fix.by(provision_for("linux/arm64")) in {link.fix for link in unwanted.chain}
    assert {link.fix for link in unwanted.chain} >= {found.fix for found in unwanted.findings[:1]}


@pytest.mark.parametrize(("off", "ids"), [(0, []), (-7200, ["clock-off"]), (7200, ["clock-off"])])
def test_the_clock_is_compared(off: int, ids: list[str]) -> None:
    clock = (f"clock\t{int(time.time()) + off}",)
    assert told(inspect.health_of(Recorded(SOUND, more=clock), SPEC, "error")) == ids
    # This machine's own is what others are compared with.
    assert told(inspect.health_of(Recorded(SOUND, local=True, more=clock), SPEC, "error")) == []


def test_deep_is_asked_only_where_buildkitd_answers() -> None:
    bare = Recorded(BARE)
    inspect.health_of(bare, SPEC, "warning", deep=True)
    assert len(bare.asked) == 1
    sound = Recorded(SOUND)
    inspect.health_of(sound, SPEC, "warning", deep=True)
    assert len(sound.asked) == 2
    assert "buildctl" in sound.asked[1]


def test_a_failure_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Recorded(SOUND)

    def fail(*_: object, **__: object) -> Answer:
        raise HostError("the host is on fire")

    monkeypatch.setattr(host, "ask", fail)
    result = outcome(host, lambda transport: inspect.health_of(transport, SPEC, "warning"))
    assert (result.status, result.error and result.error.message) == ("failed", "the host is on fire")


@pytest.mark.parametrize(
    ("user", "login", "sudo"),
    [
        (User(name="root", uid=0), "root", False),
        (User(name="root", uid=0, login="anna"), "anna", True),
        (User(name="ci", uid=1000, sudo="free"), "ci", True),
    ],
)
def test_who_reads_the_fixes(user: User, login: str, sudo: bool) -> None:
    place = inspect.place_of(Facts(user=user))
    assert (place.login, place.sudo) == (login, sudo)


def test_every_command_with_fixes_tells_the_place() -> None:
    for result in (
        inspect.health_of(Recorded(BARE), SPEC, "warning"),
        inspect.explain(Recorded(BARE), SPEC, "linux/arm64"),
        inspect.check_host(Recorded(BARE), SPEC, SPEC.buildkit.version),
    ):
        assert result.place.login == "root"
