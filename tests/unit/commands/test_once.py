"""One machine under two names is done once."""

from __future__ import annotations

import threading

import pytest

from provision.commands.once import Machines
from provision.errors import HostError
from provision.result import HostResult, HostStatus


def result(host: str, status: HostStatus = "changed") -> HostResult:
    return HostResult(host=host, status=status)


def test_the_second_name_waits_for_the_first_and_has_its_result() -> None:
    machines, begun, go = Machines(), threading.Event(), threading.Event()
    found: list[HostResult] = []

    def slow() -> HostResult:
        begun.set()
        assert go.wait(60)
        return result("a")

    first = threading.Thread(target=lambda: found.append(machines.once("1", "a", slow)))
    first.start()
    assert begun.wait(60)
    second = threading.Thread(target=lambda: found.append(machines.once("1", "b", never)))
    second.start()
    assert not found
    go.set()
    first.join()
    second.join()
    by_name = {each.host: each for each in found}
    assert by_name["a"] == result("a")
    assert (by_name["b"].status, by_name["b"].steps) == ("ok", ())
    assert by_name["b"].notes == ("b is the same machine as a, and is done once, as a",)


def never() -> HostResult:
    raise AssertionError("done twice")


def fails() -> HostResult:
    raise HostError("no room")


def test_other_machines_and_unknown_ones_are_done() -> None:
    machines = Machines()
    for identity, host in (("1", "a"), ("2", "b"), ("", "c"), ("", "d")):
        assert machines.once(identity, host, lambda host=host: result(host)) == result(host)  # type: ignore[misc]


def test_a_failure_is_one_under_both_names() -> None:
    machines = Machines()
    with pytest.raises(HostError, match="no room"):
        machines.once("1", "a", fails)
    with pytest.raises(HostError, match="the same machine as a"):
        machines.once("1", "b", never)
    machines.once("2", "c", lambda: result("c", "failed"))
    with pytest.raises(HostError, match="the same machine as c"):
        machines.once("2", "d", never)
