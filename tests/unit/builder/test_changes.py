"""From what buildx has to what is wanted, with commands that buildx takes in this order."""

from __future__ import annotations

import pytest

from provision.builder.buildx import Instance, parse_instance
from provision.builder.changes import changes
from provision.builder.node import Node, is_name, node_names
from provision.errors import UsageError

# As buildx v0.38.2 wrote it.
STORED = (
    '{"Name":"fleet","Driver":"remote","Nodes":[{"Name":"ci1","Endpoint":"ssh://ci@10.0.0.7","Platforms":'
    '[{"architecture":"amd64","os":"linux"},{"architecture":"arm","os":"linux","variant":"v7"}],"DriverOpts":null,'
    '"Flags":null,"Files":null},{"Name":"pi1","Endpoint":"ssh://pi1","Platforms":[{"architecture":"arm64",'
    '"os":"linux"}],"DriverOpts":null,"Flags":null,"Files":null}],"Dynamic":false}'
)
CI1 = Node(name="ci1", endpoint="ssh://ci@10.0.0.7", platforms=("linux/arm/v7", "linux/amd64"))
PI1 = Node(name="pi1", endpoint="ssh://pi1", platforms=("linux/arm64",))
PI2 = Node(name="pi2", endpoint="ssh://pi2", platforms=("linux/riscv64",))


def commands(wanted: list[Node], now: Instance | None) -> list[str]:
    return [" ".join(each.command) for each in changes("fleet", wanted, now)]


def test_what_buildx_keeps_is_read() -> None:
    stored = parse_instance(STORED)
    assert stored.driver == "remote"
    assert [node.settings for node in stored.nodes] == [CI1.settings, PI1.settings]


def test_a_builder_as_wanted_is_left_alone() -> None:
    """The order of platforms means nothing to buildx."""
    assert commands([CI1, PI1], parse_instance(STORED)) == []


def test_a_new_builder_is_made_node_by_node() -> None:
    assert commands([CI1, PI1], None) == [
        "create --name fleet --driver remote --node ci1 --platform linux/arm/v7,linux/amd64 ssh://ci@10.0.0.7",
        "create --name fleet --append --driver remote --node pi1 --platform linux/arm64 ssh://pi1",
    ]


def test_only_the_node_that_changed_is_changed() -> None:
    moved = Node(name="pi1", endpoint="ssh://pi1:2222", platforms=("linux/arm64",))
    assert commands([CI1, moved], parse_instance(STORED)) == [
        "create --name fleet --append --driver remote --node pi1 --platform linux/arm64 ssh://pi1:2222"
    ]


def test_a_node_leaves_before_another_comes() -> None:
    """With the endpoint of the one that leaves, the other would be refused."""
    renamed = Node(name="pi", endpoint="ssh://pi1", platforms=("linux/arm64",))
    assert commands([CI1, renamed], parse_instance(STORED)) == [
        "create --name fleet --leave --node pi1",
        "create --name fleet --append --driver remote --node pi --platform linux/arm64 ssh://pi1",
    ]


def test_buildx_lets_no_last_node_leave() -> None:
    assert commands([PI2], parse_instance(STORED))[0] == "rm --keep-daemon fleet"


def test_without_a_node_nothing_is_left_of_it() -> None:
    assert commands([], parse_instance(STORED)) == ["rm --keep-daemon fleet"]


def test_options_that_are_no_longer_wanted_go_with_the_node() -> None:
    """Given none, buildx keeps those that it has (store/nodegroup.go)."""
    secured = STORED.replace('"DriverOpts":null', '"DriverOpts":{"cacert":"/ca.pem"}', 1)
    assert [each.split()[:4] for each in commands([CI1, PI1], parse_instance(secured))] == [
        ["create", "--name", "fleet", "--leave"],
        ["create", "--name", "fleet", "--append"],
    ]


def test_a_comma_in_a_path_stays_in_it() -> None:
    node = Node(name="a", endpoint="tcp://a:1", platforms=("linux/amd64",), options={"key": "/a,b"})
    (made,) = changes("fleet", [node], None)
    assert made.command[-3:] == ("--driver-opt", '"key=/a,b"', "tcp://a:1")


def test_a_builder_of_another_kind_is_nobodys_to_change() -> None:
    with pytest.raises(UsageError, match="docker-container"):
        changes("fleet", [CI1], parse_instance(STORED.replace("remote", "docker-container")))


def test_names_are_those_of_the_hosts_as_far_as_buildx_takes_them() -> None:
    names = node_names(["pi1", "ci@10.0.0.7:22", "10.0.0.7", "Pi1", "[fe80::1]:22", "ärm"])
    assert list(names.values()) == [
        "pi1", "ci-10.0.0.7-22", "node-10.0.0.7", "pi1-2", "fe80-1-22", "rm"
    ]  # fmt: skip
    assert all(map(is_name, names.values()))
