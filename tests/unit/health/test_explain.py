"""The chain of one platform on recorded hosts: which link is named, and with which command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision import paths
from provision.architectures import parse_platform
from provision.facts import Facts, Unit
from provision.fix import PROVISION, Fix, run
from provision.health import ROWS
from provision.health.explain import LINKS, explain
from provision.result import ChainLink, first_broken
from tests.unit import recorded
from tests.unit.recorded import SPEC, settled, with_probe


def chain(facts: Facts, typed: str) -> dict[str, ChainLink]:
    platform = parse_platform(typed)
    links, _findings = explain(replace(SPEC, platforms=(platform,)), facts, platform)
    assert [link.id for link in links] == [row.id for row in LINKS]
    assert all(link.seen for link in links)
    return {link.id: link for link in links}


def broken(links: dict[str, ChainLink]) -> ChainLink:
    found = first_broken(links.values())
    assert found
    return found


@pytest.mark.parametrize(
    "typed", ["arm64", "aarch64", "linux/arm64/v8", "ARM64", "armhf", "x86_64", "amd64", "linux/arm/v7"]
)
def test_what_people_type_works(typed: str) -> None:
    links = chain(settled(), typed)
    assert first_broken(links.values()) is None
    assert links["listing"].status == "ok"


def test_what_a_whole_chain_says() -> None:
    links = chain(settled(), "aarch64")
    assert "little-endian, machine 183" in links["header"].seen
    assert (
        "qemu-aarch64 (flags PF, /usr/bin/qemu-aarch64-static), asked as number 2 of 2"
        in links["handler"].seen
    )
    assert "static, QEMU 7.2.22" in links["emulator"].seen
    assert "set up by this tool" in links["emulator"].seen
    assert links["boot"].seen == "/etc/binfmt.d/qemu-aarch64.conf brings it back"
    native = chain(settled(), "x86_64")
    assert {native[name].status for name in ("table", "handler", "emulator", "boot")} == {"skipped"}


def test_a_bare_host() -> None:
    links = chain(recorded.facts("bare"), "arm64")
    assert broken(links).id == "table"
    assert broken(links).fix == Fix.by(PROVISION)
    assert links["run"].status == "skipped"
    assert links["service"].status == "broken"


def test_a_platform_nobody_set_up() -> None:
    assert broken(chain(settled(), "riscv64")).id == "handler"


def test_what_breaks_now_comes_before_what_will() -> None:
    facts = settled()
    rules = tuple(
        replace(each, target="/dev/null") if "aarch64" in each.path else each for each in facts.rules
    )
    masked = replace(facts, rules=rules)
    assert (broken(chain(masked, "arm64")).id, broken(chain(masked, "arm64")).status) == ("boot", "warning")
    stopped = replace(masked, units={**facts.units, paths.SERVICE: Unit(load="loaded", active="failed")})
    assert (broken(chain(stopped, "arm64")).id, broken(chain(stopped, "arm64")).status) == (
        "service",
        "broken",
    )


@pytest.mark.parametrize("typed", ["amd64", "arm64"])
def test_a_service_that_the_next_boot_does_not_start(typed: str) -> None:
    facts = settled()
    disabled = replace(facts.units[paths.SERVICE], file_state="disabled")
    link = broken(chain(replace(facts, units={**facts.units, paths.SERVICE: disabled}), typed))
    enable = Fix.by(run("systemctl", "enable", paths.SERVICE))
    assert (link.id, link.status, link.fix) == ("service", "warning", enable)


def test_another_platforms_fault_is_not_this_ones() -> None:
    facts = with_probe(settled(), "arm", status=11)
    assert broken(chain(facts, "armhf")).id == "run"
    assert first_broken(chain(facts, "arm64").values()) is None


def test_every_finding_about_a_platform_breaks_a_link() -> None:
    linked = {row.id for row in ROWS.values() if row.link}
    assert {row.link for row in ROWS.values() if row.link} <= {row.id for row in LINKS}
    about = {
        name for name in ROWS if name.startswith(("handler-", "emulator-", "boot-", "binfmt-", "known-bad-"))
    }
    assert about <= linked
