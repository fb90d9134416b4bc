"""What a selection of hosts means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import UsageError
from provision.hosts.connect import known_to_ssh
from provision.hosts.selection import parse_selection
from provision.spec import LOCAL, Host, Inventory

PI1 = Host(name="pi1", host="10.0.0.1", user="ci", port=2200, platforms=("linux/arm64",))
PI2 = Host(name="pi2")
PI3 = Host(name="pi3", jump="gate")
FILE = Inventory(
    hosts={"pi1": PI1, "pi2": PI2, "pi3": PI3},
    groups={"runners": ("pi3", "pi1", "root@rack.example:22"), "lonely": ()},
)
RACK = Host(name="root@rack.example:22", host="rack.example", user="root", port=22)


def names(text: str) -> list[str]:
    return [host.name for host in parse_selection(text, FILE)]


def refused(text: str, inventory: Inventory = FILE, *, known: bool = True) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_selection(text, inventory, lambda _: known)
    return caught.value


def test_nothing_means_this_machine() -> None:
    assert parse_selection("", FILE) == (LOCAL,)
    refused(" , ")


def test_names_groups_and_all_keep_their_order_and_count_once() -> None:
    assert names("pi2,pi1") == ["pi2", "pi1"]
    assert names("@runners") == ["pi3", "pi1", "root@rack.example:22"]
    assert names("pi1,@runners,all,pi1") == ["pi1", "pi3", "root@rack.example:22", "pi2"]
    assert names("all") == ["pi1", "pi2", "pi3", "root@rack.example:22"]
    assert names("pi1, pi2") == ["pi1", "pi2"]


def test_exclusions_hold_wherever_they_stand() -> None:
    assert names("all,!pi3") == names("!pi3,all") == ["pi1", "pi2", "root@rack.example:22"]
    assert names("all,!@runners") == ["pi2"]
    assert names("pi2,a.example,!a.example") == ["pi2"]
    assert names("pi2,!pi1") == ["pi2"], "a host that is not selected may be left out all the same"


def test_an_exclusion_without_a_login_means_every_login() -> None:
    assert names("pi2,root@pi3,!pi3") == ["pi2"]
    assert names("pi2,root@pi1,!pi1") == ["pi2"]
    assert names("pi2,pi3,ci@pi3,root@pi3,!ci@pi3") == ["pi2", "pi3", "root@pi3"]
    assert names("pi2,ci@10.0.0.9,!10.0.0.9") == ["pi2"]
    assert names("box,box:2222,!box") == ["box:2222"], "another port may be another machine"


@pytest.mark.parametrize(
    ("text", "host", "user", "port"),
    [
        ("ci@10.0.0.5:2222", "10.0.0.5", "ci", 2222),
        ("10.0.0.5", "10.0.0.5", None, None),
        ("box", "box", None, None),
        ("box:22", "box", None, 22),
        ("[::1]:22", "::1", None, 22),
        ("[::1]", "::1", None, None),
        ("::1", "::1", None, None),
        ("me@fe80::1%eth0", "fe80::1%eth0", "me", None),
        ("me@[fe80::1%eth0]:2200", "fe80::1%eth0", "me", 2200),
    ],
)
def test_a_destination_is_taken_apart(text: str, host: str, user: str | None, port: int | None) -> None:
    (found,) = parse_selection(text, FILE)
    assert (found.name, found.address, found.user, found.port) == (text, host, user, port)
    assert not found.local


def test_a_configured_host_keeps_its_section_under_another_login() -> None:
    (host,) = parse_selection("root@pi1", FILE)
    assert (host.name, host.address, host.user, host.port) == ("root@pi1", "10.0.0.1", "root", 2200)
    assert host.platforms == ("linux/arm64",)
    assert [host.name for host in parse_selection("pi1,ci@pi1:2200", FILE)] == ["pi1"], (
        "the same place again"
    )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("@runner", "there is no group @runner", "Did you mean @runners?"),
        ("all,!pi33", "!pi33 leaves out nothing", "Did you mean pi3?"),
        ("all,!@lonly", "there is no group @lonly", "Did you mean @lonely?"),
        ("!pi3", "'!pi3' only says which hosts to leave out", "Write --hosts 'all,!pi3'."),
        ("@lonely", "'@lonely' selects no host", ""),
        ("pi1,!all", "'pi1,!all' selects no host", ""),
    ],
)
def test_a_mistake_is_answered_with_the_nearest_name(text: str, message: str, hint: str) -> None:
    error = refused(text)
    assert (error.message, error.hint) == (message, hint)


def test_a_bare_word_that_means_nothing_is_refused() -> None:
    error = refused("pi1,pi22", known=False)
    assert (error.message, error.hint) == ("there is no host pi22", "Did you mean pi2?")
    assert refused("zzz", Inventory(), known=False).hint.startswith("Give its address")


@pytest.mark.parametrize("text", ["pi33", "ci@pi33", "pi33:2222", "@odd", "all"])
def test_a_mistyped_name_is_refused_wherever_it_stands(text: str) -> None:
    file = Inventory(hosts={"pi3": PI3}, groups={"odd": ("pi3", "pi33")})
    error = refused(text, file, known=False)
    assert (error.message, error.hint) == ("there is no host pi33", "Did you mean pi3?")


def test_each_name_is_looked_up_once() -> None:
    asked: list[str] = []

    def known(name: str) -> bool:
        asked.append(name)
        return True

    parse_selection("box,ci@box,box:22,pi1,other,gone,!gone", FILE, known)
    assert sorted(asked) == ["box", "other"]


@pytest.mark.parametrize("text", ["pi1", "root@pi1", "pi2:22", "box.example", "10.0.0.9", "::1", "@runners"])
def test_only_names_that_may_be_mistyped_are_looked_up(text: str) -> None:
    def known(name: str) -> bool:
        raise AssertionError(name)

    assert parse_selection(text, FILE, known)


@pytest.mark.needs("ssh")
def test_a_host_behind_a_jump_host_need_not_resolve(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host inner\n  ProxyJump gate\nHost plain.invalid\n  User ci\n")
    assert known_to_ssh("inner", str(config))
    assert not known_to_ssh("plain.invalid", str(config))
    assert not known_to_ssh("PLAIN.invalid", str(config)), "ssh -G prints it in lower case"


@pytest.mark.needs("ssh")
def test_a_configuration_that_ssh_refuses_is_not_blamed_on_the_host(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Hots inner\n")
    with pytest.raises(UsageError, match="the SSH configuration cannot be read"):
        known_to_ssh("inner", str(config))


def test_all_without_hosts_is_refused() -> None:
    assert "no hosts" in refused("all", Inventory()).message


@pytest.mark.parametrize(
    "text",
    ["-oProxyCommand=id", "ci@-x", "-l@x", "a;id", "$(id)", "`id`", "a'b", 'a"b', "a:0", "a:70000", "a:",
     "@", "!", "u@", "[::1", "::g", "[box]:22", "a/b", "ssh://a", "a\x1bb", "u u@a", "fe80::1%$(id)", "ä"],
)  # fmt: skip
def test_hostile_and_broken_destinations_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_selection(text if " " not in text else f"x,{text.replace(' ', ';')}", FILE)
    assert caught.value.message.isprintable()


@given(st.text(max_size=15) | st.from_regex(r"[-a-z0-9.@:\[\]!,$`%]{1,15}", fullmatch=True))
def test_whatever_is_selected_is_plain(text: str) -> None:
    try:
        hosts = parse_selection(text, FILE)
    except UsageError:
        return
    for host in hosts:
        for part in (host.address, host.user or "x"):
            assert not part.startswith("-")
            assert not set(part) & set("$`'\"; \n\\")
