"""Who builds what: native first, then the fastest emulation, then room; and nothing moves without a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.builder.assignment import Ability, Offer, Shares, assign, loss

NATIVE = Ability(native=True, seconds=0.1)


def emulated(seconds: float | None) -> Ability:
    return Ability(native=False, seconds=seconds)


SERVER = Offer(
    host="server",
    abilities={
        "linux/amd64": NATIVE,
        "linux/arm64": emulated(0.5),
        "linux/s390x": emulated(0.9),
        "linux/riscv64": emulated(0.7),
    },
    room=900,
)
PI = Offer(
    host="pi",
    abilities={
        "linux/arm64": Ability(native=True, seconds=0.3),
        "linux/arm/v7": Ability(native=True, seconds=0.4),
        "linux/amd64": emulated(3.0),
        "linux/s390x": emulated(5.0),
    },
    room=100,
)


def names(shares: Shares) -> dict[str, list[str]]:
    return {host: [each.platform for each in own] for host, own in shares.items()}


@pytest.mark.parametrize("order", [(SERVER, PI), (PI, SERVER)])
def test_native_beats_emulation_whoever_is_named_first(order: tuple[Offer, ...]) -> None:
    """An amd64 machine with QEMU that was named first took the Pi's work away (docker/buildx#1376, #1539)."""
    assert names(assign(order)) == {
        "server": ["linux/amd64", "linux/riscv64", "linux/s390x"],
        "pi": ["linux/arm64", "linux/arm/v7"],
    }


def test_emulation_goes_to_the_fastest_and_says_how_slow_it_is() -> None:
    slow = Offer(host="slow", abilities={"linux/s390x": emulated(2.0)}, room=10_000)
    (share,) = (each for each in assign([slow, SERVER])["server"] if each.platform == "linux/s390x")
    assert (share.native, share.slower) == (False, 9.0)


def test_room_decides_among_equals_then_the_order() -> None:
    offers = [
        Offer(host=name, abilities={"linux/arm64": emulated(seconds)}, room=room)
        for name, seconds, room in (("a", 0.50, 10), ("b", 0.55, 30), ("c", 0.52, 30))
    ]
    assert names(assign(offers)) == {"a": [], "b": ["linux/arm64"], "c": []}


def test_a_small_difference_moves_nothing_and_a_large_one_does() -> None:
    def offers(seconds: float) -> list[Offer]:
        return [
            Offer(host="a", abilities={"linux/arm64": emulated(seconds)}, room=1),
            Offer(host="b", abilities={"linux/arm64": emulated(1.0)}, room=50),
        ]

    held = {"linux/arm64": "a"}
    assert names(assign(offers(1.2), held)) == {"a": ["linux/arm64"], "b": []}
    assert names(assign(offers(1.3), held)) == {"a": [], "b": ["linux/arm64"]}


def test_who_holds_a_platform_that_another_now_runs_natively_gives_it_up() -> None:
    shares = assign([SERVER, PI], {"linux/arm64": "server"})
    assert "linux/arm64" in names(shares)["pi"]


def test_a_host_that_was_not_measured_comes_after_all_that_were() -> None:
    unknown = Offer(host="unknown", abilities={"linux/s390x": emulated(None)}, room=10_000)
    assert names(assign([unknown, SERVER]))["unknown"] == []
    assert names(assign([unknown]))["unknown"] == ["linux/s390x"]


OFFERS = st.lists(
    st.dictionaries(
        st.sampled_from(["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"]),
        st.builds(Ability, native=st.booleans(), seconds=st.none() | st.floats(0.01, 100)),
    ),
    max_size=6,
).map(
    lambda all_abilities: [
        Offer(host=f"h{number}", abilities=abilities, room=number)
        for number, abilities in enumerate(all_abilities)
    ]
)


@given(OFFERS)
def test_everything_that_is_offered_is_given_to_exactly_one_who_offers_it(offers: list[Offer]) -> None:
    shares = assign(offers)
    given_away = [each.platform for own in shares.values() for each in own]
    assert sorted(given_away) == sorted({name for offer in offers for name in offer.abilities})
    for offer in offers:
        for share in shares[offer.host]:
            assert share.native == offer.abilities[share.platform].native
            natives = any(o.abilities.get(share.platform, Ability(native=False)).native for o in offers)
            assert share.native or not natives


@given(OFFERS)
def test_a_second_look_at_the_same_hosts_changes_nothing(offers: list[Offer]) -> None:
    shares = assign(offers)
    held = {each.platform: host for host, own in shares.items() for each in own}
    assert assign(offers, held) == shares


def test_what_a_missing_host_costs() -> None:
    assert loss(["linux/arm64", "linux/arm/v7"], assign([SERVER])) == (
        "server emulates linux/arm64, 5 times slower; nobody builds linux/arm/v7"
    )
    assert loss(["linux/amd64"], assign([SERVER])) == ""
